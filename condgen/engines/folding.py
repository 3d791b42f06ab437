"""Folding: the FiLM parameters and biases of all layers in few tensors, from which a step takes its place's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from condgen.conditioning import GammaBeta


class Folded(NamedTuple):
    """γ and β of all layers, each (places, layers, batch or 1, features), or (layers, batch or 1, features) of one
    place; `None` where there is nothing to do. A single place serves all.

    Attributes:
        inner: term added to the convolution; without a normalisation and γ, the only one.
        gamma: factor γ.
        beta: term added last.
    """

    inner: Tensor | None = None
    gamma: Tensor | None = None
    beta: Tensor | None = None


def fold(pairs: Sequence[GammaBeta], biases: Sequence[Tensor], normalised: bool) -> Folded:
    """Fold the biases of convolutions and the FiLM parameters behind them.

    Args:
        pairs: (γ, β) per layer, (batch or 1, features) or (batch or 1, features, *places).
        biases: bias of the convolution before each layer, (features,) each.
        normalised: presence of a normalisation between a convolution and γ.
    """
    free = not normalised and all(pair.gamma is None for pair in pairs)
    inner = [_sum(bias, pair.inner, pair.beta if free else None) for bias, pair in zip(biases, pairs, strict=True)]
    gamma, beta = [pair.gamma for pair in pairs], [None if free else pair.beta for pair in pairs]
    return Folded(_stack(inner), _all(gamma, biases, 1), _all(beta, biases, 0))


def _placed(part: Tensor, like: Tensor) -> Tensor:
    """Give a part one axis of places, (batch or 1, features, places)."""
    return (part.flatten(2) if part.ndim > 2 else part[..., None]).to(like)


def _sum(bias: Tensor, *parts: Tensor | None) -> Tensor:
    total = bias[None, :, None]
    for part in parts:
        total = total if part is None else total + _placed(part, bias)
    return total


def _all(parts: Sequence[Tensor | None], biases: Sequence[Tensor], fixed: float) -> Tensor | None:
    """Stack a part of all layers, a number where a layer has it fixed; `None` where all have."""
    if all(part is None for part in parts):
        return None
    return _stack([
        torch.full_like(bias, fixed)[None, :, None] if part is None else _placed(part, bias)
        for part, bias in zip(parts, biases, strict=True)
    ])  # fmt: skip


def _stack(layers: Sequence[Tensor]) -> Tensor:
    """Stack (batch or 1, features, places or 1) of every layer to (places, layers, batch or 1, features)."""
    return torch.stack(torch.broadcast_tensors(*layers)).permute(3, 0, 1, 2).contiguous()


class Places:
    """Folded parameters in buffers that stay where they are, refilled as places come in sight.

    Args:
        folded: parameters of the first places.
        most: largest number of places needed at once; 1 if one place serves all.
    """

    def __init__(self, folded: Folded, most: int) -> None:
        self.buffers = Folded(*(None if part is None else part.new_zeros(most, *part.shape[1:]) for part in folded))
        self.load(folded)

    def load(self, folded: Folded) -> None:
        """Take the parameters of other places."""
        places = max(0 if part is None else len(part) for part in folded)
        for buffer, part in zip(self.buffers, folded, strict=True):
            if buffer is not None and part is not None:
                buffer[:places].copy_(part)

    def at(self, place: Tensor) -> Folded:
        """Pick one place, (1,)."""
        return Folded(*(p if p is None else p[0] if len(p) == 1 else p.index_select(0, place)[0] for p in self.buffers))


def apply_before(x: Tensor, folded: Folded, normalised: bool) -> Tensor:
    """Apply FiLM to what all layers know before the present input is there, (layers, batch, features)."""
    x = x if folded.inner is None else x + folded.inner
    if normalised:
        return x
    x = x if folded.gamma is None else x * folded.gamma
    return x if folded.beta is None else x + folded.beta


def apply(
    before: Tensor, h: Tensor, weight: Tensor, folded: Folded, layer: int, normalise: Callable[[Tensor], Tensor] | None
) -> Tensor:
    """Add the present input of one layer and apply FiLM to the sum.

    Args:
        before: result of `apply_before` for all other inputs, (layers, batch, features).
        h: present input, (batch, in).
        weight: weight of the present input, (in, features).
        folded: parameters at this place.
        layer: number of the layer.
        normalise: normalisation before γ; or `None`.
    """
    if normalise is None and folded.gamma is None:
        return torch.addmm(before[layer], h, weight)
    if normalise is None and folded.gamma is not None:
        return torch.addcmul(before[layer], h @ weight, folded.gamma[layer])
    assert normalise is not None
    y = normalise(torch.addmm(before[layer], h, weight))
    y = y if folded.gamma is None else y * folded.gamma[layer]
    return y if folded.beta is None else y + folded.beta[layer]
