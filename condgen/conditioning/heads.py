"""The heads of a FiLM generator: from a condition's features to its part of (γ, β) of every layer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from condgen.conditioning.film import FiLM, align

Start = Literal["zero", "small"]
SMALL = 0.02  # standard deviation of the heads' weights where they do not start at zero


class Hidden(nn.Sequential):
    """Hidden layers between a condition's features and its heads: linear map and ReLU, at every position alike."""

    def __init__(self, features: int, depth: int) -> None:
        super().__init__(*(layer for _ in range(depth) for layer in (nn.Linear(features, features), nn.ReLU())))

    def forward(self, z: Tensor) -> Tensor:
        """Map (batch, features, *size) to the same shape."""
        return super().forward(z.movedim(1, -1)).movedim(-1, 1)


class Head(nn.Module):
    """One linear map per position, from features to (γ or β) of all layers at once. Starts at zero."""

    def __init__(self, features: int, channels: Sequence[int]) -> None:
        super().__init__()
        self.channels = list(channels)
        self.weight = nn.Parameter(torch.zeros(sum(channels), features))

    def forward(self, z: Tensor) -> Tensor:
        """Map (batch, features, *size) to (batch, channels of all layers, *size)."""
        return (self.weight @ z.reshape(*z.shape[:2], -1)).view(z.shape[0], -1, *z.shape[2:])

    def by_layer(self, z: Tensor) -> Tensor:
        """Map features of each layer's own, (batch, features, layers), to (batch, channels of all layers)."""
        rows = zip(self.weight.split(self.channels), z.unbind(-1), strict=True)
        return torch.cat([own @ weight.T for weight, own in rows], 1)


class ConcatHead(nn.Module):
    """β of concatenation for one layer: by linearity conv([x; z]) = conv_x(x) + conv_z(z), and this is conv_z.

    It is the layer's own kind of convolution, so borders (zero padding) and phases (strided transposed convolution)
    come out as they do when z is concatenated. Starts at zero.
    """

    def __init__(self, features: int, layer: FiLM) -> None:
        super().__init__()
        if layer.like is None:
            raise ValueError("conditioning 'concat' needs FiLM layers that know the convolution before them (`like`)")
        self.size = layer.size
        self.conv = layer.like(features)
        for parameter in self.conv.parameters():
            nn.init.zeros_(parameter)

    def forward(self, z: Tensor) -> Tensor:
        """Map (batch, features, *size) to the (batch, channels, *size) that it adds after the convolution."""
        size = self.size or tuple(z.shape[2:])
        aligned = align(z, 2 + len(size))
        if any(own not in (1, wanted) for own, wanted in zip(aligned.shape[2:], size, strict=True)):
            raise ValueError(f"a condition of size {tuple(z.shape[2:])} does not fit features of size {size}")
        return self.conv(aligned.expand(*z.shape[:2], *size))


class ConcatHeads(nn.ModuleList):
    """The `ConcatHead` of every layer.

    Args:
        features: channels of the condition's features.
        layers: FiLM layers, in order.
    """

    def __init__(self, features: int, layers: Iterable[FiLM]) -> None:
        super().__init__(ConcatHead(features, layer) for layer in layers)

    def forward(self, z: Tensor) -> list[Tensor]:
        """Map (batch, features, *size) to what it adds after the convolution of each layer."""
        return [head(z) for head in self]

    def by_layer(self, z: Tensor) -> list[Tensor]:
        """Map features of each layer's own, (batch, features, layers), to what they add in it."""
        return [head(own) for head, own in zip(self, z.unbind(-1), strict=True)]


class PostMultipliers(nn.Module):
    """Two scalars per layer, γ₀ and β₀, which multiply what all conditions together write there, as

        h = (1 + γ₀ · g) ⊙ x + β₀ · b.

    Source: Oreshkin et al., "TADAM", 2018, section 3.2 (post-multipliers, with an L2 penalty of 0.01 on them there).
    |γ₀| and |β₀| say how much a layer is conditioned.

    Args:
        parts: parts that conditions write, of `gamma` and `beta`.
        layers: number of layers.
        start: value of all scalars at the start.
    """

    def __init__(self, parts: Iterable[str], layers: int, start: float = 0.0) -> None:
        super().__init__()
        self.by_part = nn.ParameterDict({part: nn.Parameter(torch.full((layers,), start)) for part in parts})

    def forward(self, part: str, layers: Sequence[Tensor | None]) -> list[Tensor | None]:
        """Multiply a part of each layer, δ or β, by the layer's scalar; what is fixed stays so."""
        if part not in self.by_part:
            return list(layers)
        return [own if own is None else own * by for own, by in zip(layers, self.by_part[part], strict=True)]


def start_heads(heads: nn.Module, std: float) -> None:
    """Draw the weights of heads from a normal distribution.

    Args:
        heads: module that holds nothing but heads; changed.
        std: standard deviation.
    """
    for weight in heads.parameters():
        nn.init.normal_(weight, std=std)


def gamma_of(scale: Tensor | None, gate: Tensor | None) -> Tensor | None:
    """Return γ = 2σ(δ of gates) ⊙ (1 + δ of scales); `None` where there is neither."""
    gamma = None if scale is None else 1 + scale
    return gamma if gate is None else combined(gamma, 2 * torch.sigmoid(gate), torch.mul)


def combined(a: Tensor | None, b: Tensor, operation: Callable[[Tensor, Tensor], Tensor] = torch.add) -> Tensor:
    """Combine what another condition writes, of any scope, with what is there; by adding it, if not said otherwise."""
    if a is None:
        return b
    rank = max(a.ndim, b.ndim)
    try:
        if a.ndim == b.ndim and a.shape[2:] != b.shape[2:]:  # a single frame would be broadcast over all
            raise RuntimeError
        return operation(align(a, rank), align(b, rank))
    except RuntimeError:
        raise ValueError(
            f"two conditions give FiLM parameters of sizes {tuple(a.shape[2:])} and {tuple(b.shape[2:])}, "
            "which do not fit the same features"
        ) from None
