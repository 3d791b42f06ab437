"""FiLM parameters in units of the features that they modulate.

γ and β are known only up to scale: a convolution twice as large with a γ half as large is the same network. A norm
before FiLM settles that; where there is none, parameters compare across feature maps only in units of the features'
spread.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from condgen.conditioning import FiLM, FiLMParameters, GammaBeta


@dataclass
class _Sums:
    """Count, sum and sum of squares of features, by channel."""

    count: int = 0
    total: Tensor | float = 0.0
    squares: Tensor | float = 0.0

    def hook(self, module: nn.Module, inputs: object, output: Tensor) -> None:
        runs = output.detach().double().movedim(1, -1).flatten(0, -2)
        self.count, self.total, self.squares = (
            self.count + len(runs), self.total + runs.sum(0), self.squares + (runs**2).sum(0)
        )  # fmt: skip

    @property
    def spread(self) -> Tensor:
        mean = torch.as_tensor(self.total / self.count)
        return (torch.as_tensor(self.squares / self.count) - mean**2).clamp(min=0).sqrt()


@torch.no_grad()
def feature_spread(before: Mapping[str, nn.Module], run: Callable[[], object]) -> dict[str, Tensor]:
    """Measure the standard deviation of features before FiLM, (channels,) per layer, over a batch and all positions.

    Args:
        before: module whose output, (batch, channels, …), FiLM modulates, per layer; see `before_film`.
        run: function that lets the network work on data.

    Raises:
        ValueError: a module was not called.
    """
    sums = {name: _Sums() for name in before}
    hooks = [module.register_forward_hook(sums[name].hook) for name, module in before.items()]
    try:
        run()
    finally:
        for hook in hooks:
            hook.remove()
    idle = [name for name, found in sums.items() if not found.count]
    if idle:
        raise ValueError(f"the layer '{idle[0]}' was not called, so its features have no spread")
    return {name: found.spread for name, found in sums.items()}


def before_film(layers: Mapping[str, FiLM]) -> dict[str, nn.Module]:
    """Return what gives the features before each FiLM layer of condgen's networks: its normalisation, or identity."""
    return {name: layer.normalise for name, layer in layers.items()}


def standardised(film: FiLMParameters, spread: Mapping[str, Tensor]) -> FiLMParameters:
    """Return the parameters that would stand here if the features came with a standard deviation of 1.

    Where γ is free, that is γ·s and the same β: γx + β = (γs)(x/s) + β. Where γ is fixed at 1, the layer's result can
    only be measured in units of s as well: x/s + β/s. Features that do not vary keep their parameters.

    Args:
        film: FiLM parameters.
        spread: standard deviation s of the features per channel, per layer; see `feature_spread`.
    """
    scaled = {}
    for name, pair in film.items():
        s = torch.where(spread[name] > 0, spread[name], 1)
        scaled[name] = (GammaBeta(_times(pair.gamma, s), pair.beta, pair.inner) if pair.gamma is not None
                        else GammaBeta(None, _times(pair.beta, 1 / s), _times(pair.inner, 1 / s)))  # fmt: skip
    return FiLMParameters(scaled, film.labels)


def _times(part: Tensor | None, factors: Tensor) -> Tensor | None:
    return None if part is None else part * factors.to(part).reshape(-1, *(1,) * (part.ndim - 2))
