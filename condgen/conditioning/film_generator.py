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
Dropout: TypeAlias = float | Mapping[str, float]


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

    In training, conditions are dropped: their features replaced by a learned vector, "none", which starts at zero. Each
    example draws one number for all its conditions, so those of equal probability are dropped together. This is what
    guidance needs at sampling: Ho and Salimans, "Classifier-Free Diffusion Guidance", 2022, algorithm 1.

    Args:
        encoders: encoder per named condition; see `Encoder`.
        layers: FiLM layers of the network by name, from `film_layers(network)`. They are not changed.
        conditioning: mechanism: `none`; `bias` (γ fixed at 1); `scale` (β fixed at 0); `gate` (γ in (0, 2), β fixed at
            0); `film`; `concat` (the condition concatenated to the input of the layer's convolution).
        dropout: probability that an example's condition is dropped in training, for all conditions or by name.
        depth: number of hidden layers with ReLU between each condition's features and its heads.
        start: initial weights of the heads: `zero`, or `small` normal numbers, with which a new model depends on its
            conditions a little.
    """

    def __init__(
        self,
        encoders: Mapping[str, nn.Module],
        layers: Mapping[str, FiLM],
        conditioning: Conditioning = "bias",
        dropout: Dropout = 0.0,
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
        self.dropout = _probabilities(dropout, list(features))
        self.none = nn.ParameterDict({name: nn.Parameter(torch.zeros(features[name])) for name in self.dropout})
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

    @property
    def free(self) -> dict[str, list[str]]:
        """The parts of each layer, `gamma` and `beta`, that are not fixed. What concatenation adds before a
        normalisation counts as `beta`."""
        scales, shifts = len(self.delta) > 0, len(self.beta) + len(self.concat) > 0
        found = {}
        for name, normalised in zip(self.channels, self.normalised, strict=True):
            free = {"gamma": scales or (normalised and self.own_delta is not None), "beta": shifts or normalised}
            found[name] = [part for part, is_free in free.items() if is_free]
        return found

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
        tensors = self._tensors(conditions)
        features = self._encode(tensors)
        if self.training and self.dropout:
            rows = max(map(len, features.values()))
            chance = torch.rand(rows, device=next(self.parameters()).device)
            features = self._drop(features, {name: chance < p for name, p in self.dropout.items()})
        film = self._write(features)
        return film.labelled(labels_of(self.named_encoders, tensors)) if named and film.tensors else film

    def without(self, conditions: Mapping[str, Value]) -> FiLMParameters:
        """Write (γ, β) of the same rows with the conditions that training drops replaced by "none".

        Args:
            conditions: tensor per named condition, as for `forward`; those that are never dropped count.

        Raises:
            ValueError: training dropped none.
        """
        if not self.dropout:
            raise ValueError("guidance needs a model that also knows what is without its conditions: train it with "
                             "--model.condition_dropout 0.1")  # fmt: skip
        features = self._encode(self._tensors(conditions))
        everywhere = torch.ones(1, dtype=torch.bool, device=next(self.parameters()).device)
        return self._write(self._drop(features, dict.fromkeys(self.dropout, everywhere)))

    def _tensors(self, conditions: Mapping[str, Value]) -> dict[str, Tensor]:
        """Turn conditions into tensors; those that were none go to the device of the weights."""
        tensors = as_tensors(self.named_encoders, conditions)
        if all(isinstance(value, Tensor) for value in conditions.values()):
            return tensors
        device = next(self.parameters()).device
        return {name: tensor.to(device) for name, tensor in tensors.items()}

    def _drop(self, features: dict[str, Tensor], dropped: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Replace features, (batch, features, *size), by "none" in the rows that are dropped, (batch or 1,)."""
        replaced = {}
        for name, rows in dropped.items():
            z, inner = features[name], (1,) * (features[name].ndim - 2)
            replaced[name] = torch.where(rows.view(-1, 1, *inner), self.none[name].to(z).view(1, -1, *inner), z)
        return {**features, **replaced}

    def _write(self, features: Mapping[str, Tensor]) -> FiLMParameters:
        """Write (γ, β) of the conditions' features."""
        delta = self._split([self.delta[name](z) for name, z in features.items() if name in self.delta], self.own_delta)
        beta = self._split([self.beta[name](z) for name, z in features.items() if name in self.beta], self.own_beta)
        inner: list[Tensor | None] = [None] * len(beta)
        for name, heads in self.concat.items():
            for i, head in enumerate(cast(nn.ModuleList, heads)):
                place = inner if self.normalised[i] else beta
                place[i] = _add(place[i], head(features[name]))
        gamma = [None if d is None else 2 * torch.sigmoid(d) if self.conditioning == "gate" else 1 + d for d in delta]
        layers = zip(self.channels, gamma, beta, inner, strict=True)
        return FiLMParameters({name: GammaBeta(g, b, i) for name, g, b, i in layers})

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


def _probabilities(dropout: Dropout, conditions: list[str]) -> dict[str, float]:
    """Return the probability to drop each condition, of those that are ever dropped."""
    given = dict(dropout) if isinstance(dropout, Mapping) else dict.fromkeys(conditions, dropout)
    for name, p in given.items():
        if name not in conditions:
            raise ValueError(f"condition_dropout names '{name}', which is no condition of the model; its conditions: "
                             f"{', '.join(conditions) or 'none'}")  # fmt: skip
        if not 0 <= p < 1:
            raise ValueError(f"condition_dropout of '{name}' is {p}: a probability, at least 0 and below 1")
    return {name: float(p) for name, p in given.items() if p}


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
