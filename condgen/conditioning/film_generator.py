"""The FiLM generator: reads the conditions, writes (γ, β) for every FiLM layer of a network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias, cast, get_args

import torch
from torch import Tensor, nn

from condgen.conditioning.contract import Encoder, require
from condgen.conditioning.film import FiLM, GammaBeta, align
from condgen.conditioning.parameters import FiLMParameters
from condgen.conditioning.values import Value, as_tensors, labels_of

Conditioning = Literal["none", "bias", "scale", "gate", "film", "concat"]
Start = Literal["zero", "small"]
SMALL = 0.02  # standard deviation of the heads' weights where they do not start at zero
Conditions: TypeAlias = Mapping[str, Value] | FiLMParameters


class Hidden(nn.Sequential):
    """Hidden layers between a condition's features and its heads: linear map and ReLU, at every position alike."""

    def __init__(self, features: int, depth: int) -> None:
        super().__init__(*(layer for _ in range(depth) for layer in (nn.Linear(features, features), nn.ReLU())))

    def forward(self, z: Tensor) -> Tensor:
        """Map (batch, features, *size) to the same shape."""
        return super().forward(z.movedim(1, -1)).movedim(-1, 1)


class Head(nn.Module):
    """One linear map per position, from features to (γ or β) of all layers at once. Starts at zero."""

    def __init__(self, features: int, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(channels, features))

    def forward(self, z: Tensor) -> Tensor:
        """Map (batch, features, *size) to (batch, channels, *size)."""
        return (self.weight @ z.reshape(*z.shape[:2], -1)).view(z.shape[0], -1, *z.shape[2:])


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


class FiLMGenerator(nn.Module):
    """Conditions to FiLM parameters: an encoder per condition, then linear heads, summed over conditions.

    With `conditioning: bias` on a gated PixelCNN this is V^T h of van den Oord et al. 2016, equation 4, for global
    conditions and V ∗ s of equation 5, an unmasked 1 × 1 convolution, for spatial ones.

    γ = 1 + δ (`scale`, `film`) or 2σ(δ) (`gate`), and δ and β start at 0: a new model is exactly the unconditional
    one, unless its heads start otherwise. For a layer that normalises without affine, the generator also learns what
    the normalisation lacks: a part of δ and β that is the same for every condition. Exclude the heads from weight
    decay: it would pull them back towards "unconditional".

    Args:
        encoders: encoder per named condition; see `Encoder`.
        layers: FiLM layers of the network by name, from `film_layers(network)`. They are not changed.
        conditioning: mechanism: `none`; `bias` (γ fixed at 1); `scale` (β fixed at 0); `gate` (γ in (0, 2), β fixed at
            0); `film`; `concat` (the condition concatenated to the input of the layer's convolution).
        depth: number of hidden layers with ReLU between each condition's features and its heads.
        start: initial weights of the heads: `zero`, or `small` normal numbers, with which a new model depends on its
            conditions a little.
    """

    def __init__(
        self,
        encoders: Mapping[str, nn.Module],
        layers: Mapping[str, FiLM],
        conditioning: Conditioning = "bias",
        depth: int = 0,
        start: Start = "zero",
    ) -> None:
        super().__init__()
        if depth < 0:
            raise ValueError(f"depth {depth} of a FiLM generator is not at least 0")
        if start not in get_args(Start):
            raise ValueError(f"unknown start '{start}' of a FiLM generator; known: {', '.join(get_args(Start))}")
        if conditioning not in get_args(Conditioning):
            raise ValueError(f"unknown conditioning '{conditioning}'; known: {', '.join(get_args(Conditioning))}")
        if conditioning != "none" and not encoders:
            raise ValueError(f"conditioning '{conditioning}' needs at least one condition; an unconditional model has "
                             "conditioning 'none'")  # fmt: skip
        for name in encoders:
            if not name or "." in name or name in dir(nn.ModuleDict()):
                raise ValueError(f"a condition cannot be called '{name}', which PyTorch does not accept as the name of "
                                 "a module: rename it in the data and the model")  # fmt: skip
        self.conditioning: Conditioning = conditioning
        self.encoders = nn.ModuleDict({} if conditioning == "none" else encoders)
        for encoder in self.encoders.values():
            require(encoder, Encoder)
        self.channels = {name: layer.channels for name, layer in layers.items()}
        self.normalised = [layer.norm != "none" for layer in layers.values()]
        total = sum(self.channels.values())
        features = {name: encoder.features for name, encoder in self.named_encoders.items()}
        self.hidden = nn.ModuleDict({name: Hidden(f, depth) for name, f in features.items()})
        scales, shifts = conditioning in ("scale", "gate", "film"), conditioning in ("bias", "film")
        self.delta = nn.ModuleDict({name: Head(f, total) for name, f in features.items() if scales})
        self.beta = nn.ModuleDict({name: Head(f, total) for name, f in features.items() if shifts})
        self.concat = nn.ModuleDict(
            {
                name: nn.ModuleList(ConcatHead(f, layer) for layer in layers.values())
                for name, f in features.items()
                if conditioning == "concat"
            }
        )
        if start == "small":
            for weight in nn.ModuleList([self.delta, self.beta, self.concat]).parameters():
                nn.init.normal_(weight, std=SMALL)
        own = total if any(self.normalised) else 0
        learns_scale = own and (scales or conditioning in ("none", "concat"))
        self.own_delta = nn.Parameter(torch.zeros(own)) if learns_scale else None
        self.own_beta = nn.Parameter(torch.zeros(own)) if own else None

    @property
    def named_encoders(self) -> dict[str, Encoder]:
        """The encoder of each condition by name."""
        return {name: cast(Encoder, encoder) for name, encoder in self.encoders.items()}

    def forward(self, conditions: Conditions) -> FiLMParameters:
        """Write (γ, β) for every FiLM layer.

        Args:
            conditions: tensor per named condition, all with the same number of rows or with one, which serves all;
                names, lists and arrays are turned into such by the rule of `condgen.conditioning.values`, and then the
                rows of the result know their names. Or FiLM parameters, which are returned unchanged, so that whatever
                accepts conditions accepts FiLM parameters too.

        Raises:
            ValueError: a name is unknown or missing, or a shape does not fit; the message gives names and shapes.
        """
        if isinstance(conditions, FiLMParameters):
            return conditions
        named = not all(isinstance(value, Tensor) for value in conditions.values())
        tensors = as_tensors(self.named_encoders, conditions)
        if named:
            device = next(self.parameters()).device
            tensors = {name: tensor.to(device) for name, tensor in tensors.items()}
        features = self._encode(tensors)
        delta = self._split([self.delta[name](z) for name, z in features.items() if name in self.delta], self.own_delta)
        beta = self._split([self.beta[name](z) for name, z in features.items() if name in self.beta], self.own_beta)
        inner: list[Tensor | None] = [None] * len(beta)
        for name, heads in self.concat.items():
            for i, head in enumerate(cast(nn.ModuleList, heads)):
                place = inner if self.normalised[i] else beta
                place[i] = _add(place[i], head(features[name]))
        gamma = [None if d is None else 2 * torch.sigmoid(d) if self.conditioning == "gate" else 1 + d for d in delta]
        layers = zip(self.channels, gamma, beta, inner, strict=True)
        labels = labels_of(self.named_encoders, tensors) if named else {}
        return FiLMParameters({name: GammaBeta(g, b, i) for name, g, b, i in layers}, labels)

    def _encode(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Turn each condition into its features."""
        features = {}
        for name, encoder in self.encoders.items():
            try:
                features[name] = self.hidden[name](encoder(tensors[name]))
            except ValueError as error:
                raise ValueError(f"condition '{name}': {error}") from None
        return features

    def _split(self, parts: list[Tensor], own: Tensor | None) -> list[Tensor | None]:
        """Sum the heads' outputs over conditions and split the sum by layer."""
        total: Tensor | None = None
        for part in parts:
            total = _add(total, part)
        sizes = list(self.channels.values())
        layers = [None] * len(sizes) if total is None else list(total.split(sizes, dim=1))
        if own is not None:
            static = own[None].split(sizes, dim=1)
            layers = [_add(p, s) if n else p for p, s, n in zip(layers, static, self.normalised, strict=True)]
        return layers


def _add(a: Tensor | None, b: Tensor) -> Tensor:
    if a is None:
        return b
    rank = max(a.ndim, b.ndim)
    try:
        if a.ndim == b.ndim and a.shape[2:] != b.shape[2:]:  # a single frame would be broadcast over all
            raise RuntimeError
        return align(a, rank) + align(b, rank)
    except RuntimeError:
        raise ValueError(
            f"two conditions give FiLM parameters of sizes {tuple(a.shape[2:])} and {tuple(b.shape[2:])}, "
            "which do not fit the same features"
        ) from None
