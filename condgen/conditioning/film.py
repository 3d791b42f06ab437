"""The FiLM layer: an optional normalisation without affine, then γ ⊙ x + β.

Source: Perez et al., "FiLM: Visual Reasoning with a General Conditioning Layer", AAAI 2018, equation 2; Dumoulin et
al., "Feature-wise transformations", Distill 2018. Conditional biasing, as in PixelCNN and WaveNet, is γ fixed at 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Norm = Literal["none", "batch", "instance", "channel"]


@dataclass(frozen=True)
class GammaBeta:
    """What one FiLM layer receives: `gamma, beta = film["layers.0.film"]`.

    To be looked at, it unpacks as two tensors, a fixed γ as ones and a fixed β as zeros, whatever the mechanism. A
    network reads the attributes, where `None` means fixed and costs no operation.

    Attributes:
        gamma: scale; `None` where it is fixed at 1.
        beta: offset; `None` where it is fixed at 0.
        inner: offset before the layer's normalisation; `None` for none. It exists only for concatenation: conv([x; z])
            is normalised together with what z adds to it. Without a normalisation, that is simply β.
    """

    gamma: Tensor | None = None
    beta: Tensor | None = None
    inner: Tensor | None = None

    def __iter__(self) -> Iterator[Tensor]:
        # Where both are fixed, one number stands for every row and channel.
        like = next((part for part in (self.beta, self.gamma) if part is not None), torch.zeros(1, 1))
        yield torch.ones_like(like) if self.gamma is None else self.gamma
        yield torch.zeros_like(like) if self.beta is None else self.beta

    @property
    def parts(self) -> dict[str, Tensor]:
        """The parts that are not fixed, by name, γ before β."""
        named = {"gamma": self.gamma, "beta": self.beta, "inner": self.inner}
        return {name: part for name, part in named.items() if part is not None}

    def map(self, function: Callable[[Tensor], Tensor]) -> GammaBeta:
        """Apply a function to every part that is not fixed."""
        return GammaBeta(**{name: function(part) for name, part in self.parts.items()})

    def rows(self, rows: Tensor | slice | list[int]) -> GammaBeta:
        """Select some rows of the batch; a batch of 1 is returned as it is, since it applies to every row."""
        return self.map(lambda part: part if len(part) == 1 else part[rows])

    def frames(self, frames: slice) -> GammaBeta:
        """Select some frames of local parts, (batch, channels, frames); global ones apply to every frame."""
        return self.map(lambda part: part if part.ndim < 3 else part[..., frames])

    def row(self, row: int) -> GammaBeta:
        """Select one row of a map, (batch, channels, 1, width), from spatial parts; others apply to every row."""
        return self.map(lambda part: part if part.ndim < 4 or part.shape[2] == 1 else part[:, :, row : row + 1])

    def at(self, *place: int) -> GammaBeta:
        """Select one position, (batch, channels), from parts of any scope.

        Args:
            place: frame, or row and column. The axes of a part line up with the last of these; an axis of length 1
                applies to every position.
        """
        if all(part.ndim == 2 for part in self.parts.values()):
            return self
        return self.map(lambda part: _at(part, place))


Film: TypeAlias = Mapping[str, GammaBeta]
FIXED = GammaBeta()


def _at(part: Tensor, place: tuple[int, ...]) -> Tensor:
    sizes = part.shape[2:]
    within = zip(place[len(place) - len(sizes) :], sizes, strict=True)
    index: list[slice | int] = [slice(None), slice(None), *(min(i, size - 1) for i, size in within)]
    return part[tuple(index)]


def film(x: Tensor, gamma: Tensor | None = None, beta: Tensor | None = None, hop: int = 1) -> Tensor:
    """Apply γ ⊙ x + β.

    Args:
        x: features, (batch, channels, *size).
        gamma: scale, or `None` for 1. Global (batch, channels), local (batch, channels, frames), or spatial
            (batch, channels, height, width); its size lines up with the last axes of `x`. A batch of 1 applies to all
            rows.
        beta: offset, or `None` for 0; same shapes as `gamma`.
        hop: positions of the last axis of `x` that one frame covers.

    Returns:
        A tensor shaped like `x`; `x` itself if both parts are fixed.

    Raises:
        ValueError: the shapes do not fit; the message holds both.
    """
    if gamma is not None:
        x = _apply(torch.mul, "gamma", gamma, x, hop)
    if beta is not None:
        x = _apply(torch.add, "beta", beta, x, hop)
    return x


def align(parameter: Tensor, rank: int) -> Tensor:
    """Give a (batch, channels, *size) tensor `rank` axes by inserting axes of length 1 after the channels."""
    return parameter[(slice(None), slice(None)) + (None,) * (rank - parameter.ndim)]


def _apply(operation: Callable[[Tensor, Tensor], Tensor], name: str, parameter: Tensor, x: Tensor, hop: int) -> Tensor:
    frames = _has_frames(name, parameter, x, hop)
    aligned = align(parameter, x.ndim)
    if not frames:
        return operation(x, aligned)
    # The positions of a frame become an axis of their own, so that nothing is repeated in memory. The channels come
    # last: a WaveNet keeps them so, and the gradient of a frame, a sum over its positions, is 15 times as fast.
    runs = x.movedim(1, -1).unflatten(-2, (-1, hop))
    return operation(runs, aligned.movedim(1, -1)[..., None, :]).flatten(-3, -2).movedim(-1, 1)


def _has_frames(name: str, parameter: Tensor, x: Tensor, hop: int) -> bool:
    """Check a parameter's shape; say whether it has frames that cover several positions each."""
    shapes = f"{name} is {tuple(parameter.shape)} and the features are {tuple(x.shape)}"
    if parameter.ndim < 2 or parameter.ndim > x.ndim:
        raise ValueError(f"FiLM: {shapes}: {name} needs 2 to {x.ndim} axes (batch, channels, then size)")
    if parameter.shape[1] != x.shape[1] or parameter.shape[0] not in (1, x.shape[0]):
        raise ValueError(f"FiLM: {shapes}: batch and channels must agree")
    frames = parameter.ndim > 2 and hop > 1
    if frames and parameter.shape[-1] * hop != x.shape[-1]:
        raise ValueError(f"FiLM: {shapes}: {parameter.shape[-1]} frames × hop {hop} ≠ {x.shape[-1]} positions")
    sizes = list(zip(align(parameter, x.ndim).shape[2:], x.shape[2:], strict=True))
    if any(p not in (1, s) for p, s in (sizes[:-1] if frames else sizes)):
        raise ValueError(f"FiLM: {shapes}: the sizes must agree")
    return frames


class ChannelNorm(nn.Module):
    """Normalise the channels of each position separately (layer norm over channels): the norm that preserves causality.

    Args:
        groups: number of groups of channels, each normalised separately. Colours that are drawn in order must not
            share statistics.
    """

    def __init__(self, groups: int = 1) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, channels, *size) to the same shape, with mean 0 and variance 1 over the channels of a group."""
        runs = x.movedim(1, -1).unflatten(-1, (self.groups, -1))
        return F.layer_norm(runs, runs.shape[-1:]).flatten(-2).movedim(-1, 1)


def normalisation(norm: Norm, channels: int, dims: int, groups: int = 1) -> nn.Module:
    """Build a normalisation without affine for (batch, channels, *size) features with `dims` axes of size."""
    batch = (nn.BatchNorm1d, nn.BatchNorm1d, nn.BatchNorm2d)[dims]
    instance = (nn.InstanceNorm1d, nn.InstanceNorm1d, nn.InstanceNorm2d)[dims]
    makers: dict[str, Callable[[], nn.Module]] = {
        "none": nn.Identity,
        "batch": lambda: batch(channels, affine=False),
        "instance": lambda: instance(channels, affine=False),
        "channel": lambda: ChannelNorm(groups),
    }
    if norm not in makers:
        raise ValueError(f"unknown norm '{norm}'; known: {', '.join(makers)}")
    return makers[norm]()


class FiLM(nn.Module):
    """A FiLM layer. It holds no (γ, β): a FiLM generator writes them, and the network passes them in.

    `film` after `norm="batch"` is conditional batch norm, after `norm="instance"` conditional instance norm.

    Args:
        channels: channels of the features.
        norm: normalisation without affine that comes first.
        dims: axes of size in the features: 1 for audio, 2 for images.
        like: factory for the linear map before this layer, without a bias, for another number of input channels. Only
            `conditioning: concat` needs it, because its β is that map applied to the condition.
        size: size of that map's input, for conditions that have no size of their own.
        hop: positions per frame of a local condition.
        groups: number of groups of channels that `norm="channel"` normalises separately.
    """

    def __init__(
        self,
        channels: int,
        norm: Norm = "none",
        dims: int = 2,
        like: Callable[[int], nn.Module] | None = None,
        size: tuple[int, ...] = (),
        hop: int = 1,
        groups: int = 1,
    ) -> None:
        super().__init__()
        if norm == "channel" and channels < 2 * groups:
            raise ValueError(f"norm 'channel' over {channels // groups} channel(s) leaves nothing: use more channels")
        self.channels, self.norm, self.like, self.size, self.hop = channels, norm, like, size, hop
        self.normalise = normalisation(norm, channels, dims, groups)

    def forward(self, x: Tensor, parameters: GammaBeta) -> Tensor:
        """Normalise (batch, channels, *size) features, then apply γ ⊙ x + β."""
        inner = film(x, beta=parameters.inner, hop=self.hop)
        return film(self.normalise(inner), parameters.gamma, parameters.beta, self.hop)

    def extra_repr(self) -> str:
        return f"{self.channels}, norm={self.norm}"


def film_layers(network: nn.Module) -> dict[str, FiLM]:
    """List the FiLM layers of a network by their module names, in order."""
    return {name: module for name, module in network.named_modules() if isinstance(module, FiLM)}


def check_parameters(layers: Mapping[str, FiLM], parameters: Mapping[str, GammaBeta], axes: int) -> None:
    """Refuse FiLM parameters that belong to another network.

    Args:
        layers: FiLM layers of the network.
        parameters: (γ, β) per FiLM layer; an empty mapping fits every network.
        axes: number of axes of the network's features, batch and channels included.

    Raises:
        ValueError: the layers, the channels, or the number of axes differ; the message names the layer.
    """
    if parameters and set(parameters) != set(layers):
        raise ValueError(f"FiLM parameters of another network: they are for the layers {list(parameters)}")
    for name, pair in parameters.items():
        for part in pair.parts.values():
            if not 2 <= part.ndim <= axes or part.shape[1] != layers[name].channels:
                raise ValueError(f"FiLM parameters of another network: layer '{name}' has {layers[name].channels} "
                                 f"channels in features of {axes} axes, and they are {tuple(part.shape)}")  # fmt: skip


CAUSAL_NORMS: tuple[Norm, ...] = ("none", "channel")


def require_causal(norm: Norm) -> None:
    """Refuse norms through which an output sees later inputs.

    Raises:
        ValueError: `norm` takes statistics over positions or over the batch.
    """
    if norm not in CAUSAL_NORMS:
        raise ValueError(
            f"norm '{norm}' takes its statistics over positions, so an output would see later inputs; "
            f"an autoregressive model accepts: {', '.join(CAUSAL_NORMS)}"
        )
