"""The FiLM generator: reads the conditions, writes (γ, β) for every FiLM layer of a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, cast, get_args

import torch
from torch import Tensor, nn

from condgen.conditioning.adapted import Offset, moved
from condgen.conditioning.condition_dropout import Dropout, draw_dropped, probabilities, replaced
from condgen.conditioning.contract import Encoder, TokenEncoder, missing, require
from condgen.conditioning.film import FiLM, GammaBeta
from condgen.conditioning.heads import (
    SMALL,
    ConcatHeads,
    Head,
    Hidden,
    PostMultipliers,
    Start,
    combined,
    gamma_of,
    start_heads,
)
from condgen.conditioning.mechanism import SCALES, SHIFTS, WRITTEN, Conditioning, each_mechanism
from condgen.conditioning.parameters import FiLMParameters
from condgen.conditioning.values import Value, as_tensors, labels_of

Conditions: TypeAlias = Mapping[str, Value] | FiLMParameters
Memory: TypeAlias = Callable[[int, int], nn.Module]


class FiLMGenerator(nn.Module):
    """Conditions to FiLM parameters: an encoder per condition, then linear heads, summed over conditions.

    With `conditioning: bias` on a gated PixelCNN this is V^T h of van den Oord et al. 2016, equation 4, for global
    conditions and V ∗ s of equation 5, an unmasked 1 × 1 convolution, for spatial ones. With a mechanism for each
    condition, `{mask: bias, first_frame: scale}` is Yang et al., "Efficient Video Object Segmentation via Network
    Modulation", 2018, equation 1.

    γ = 1 + δ (`scale`, `film`) or 2σ(δ) (`gate`), and δ and β start at 0: a new model is exactly the unconditional
    one, unless its heads start otherwise; `condgen.conditioning.mechanism` says how several mechanisms compose. For a
    layer that normalises without affine, the generator also learns what the normalisation lacks: a part of δ and β
    that is the same for every condition. Exclude the generator from weight decay: it would pull the heads back towards
    "unconditional".

    In training, conditions are dropped: their features replaced by a learned vector, "none", which starts at zero. Each
    example draws one number for all its conditions, so those of equal probability are dropped together. This is what
    guidance needs at sampling; see `condgen.conditioning.condition_dropout`.

    Args:
        encoders: encoder per named condition; see `Encoder`.
        layers: FiLM layers of the network by name, from `film_layers(network)`. They are not changed.
        conditioning: mechanism of all conditions, or one for each by name: `none`, for all alone; `bias` (γ fixed at
            1); `scale` (β fixed at 0); `gate` (γ in (0, 2), β fixed at 0); `film`; `concat` (the condition concatenated
            to the input of the layer's convolution).
        dropout: probability that an example's condition is dropped in training, for all conditions or by name.
        depth: number of hidden layers with ReLU between each condition's features and its heads.
        start: initial weights of the heads: `zero`, or `small` normal numbers, with which a new model depends on its
            conditions a little.
        adapted: names of the classes that have FiLM parameters of their own, by condition; see
            `condgen.conditioning.adapted`.
        post_multiplier: two scalars per layer that multiply what conditions write, used if true; see
            `PostMultipliers`. They start at zero or small in the place of the heads, which then start at random:
            with both at zero, nothing would ever learn.
        memory: factory, given a number of features and of layers, for what stands between an encoder of tokens and its
            heads, such as `MultiHop`; `None` for nothing.
    """

    def __init__(
        self,
        encoders: Mapping[str, nn.Module],
        layers: Mapping[str, FiLM],
        conditioning: Conditioning = "bias",
        *,
        dropout: Dropout = 0.0,
        depth: int = 0,
        start: Start = "zero",
        adapted: Mapping[str, Sequence[str]] | None = None,
        post_multiplier: bool = False,
        memory: Memory | None = None,
    ) -> None:
        super().__init__()
        if depth < 0:
            raise ValueError(f"depth {depth} of a FiLM generator is not at least 0")
        if start not in get_args(Start):
            raise ValueError(f"unknown start '{start}' of a FiLM generator; known: {', '.join(get_args(Start))}")
        for name in encoders:
            if not name or "." in name or name in dir(nn.ModuleDict()):
                raise ValueError(f"a condition cannot be called '{name}', which PyTorch does not accept as the name of "
                                 "a module: rename it in the data and the model")  # fmt: skip
        self.mechanisms = each_mechanism(conditioning, encoders)
        self.conditioning = conditioning
        self.encoders = nn.ModuleDict({name: encoders[name] for name in self.mechanisms})
        for encoder in self.encoders.values():
            require(encoder, Encoder)
        self.channels = {name: layer.channels for name, layer in layers.items()}
        self.normalised = [layer.norm != "none" for layer in layers.values()]
        features = {name: encoder.features for name, encoder in self.named_encoders.items()}
        self.hidden = nn.ModuleDict({name: Hidden(f, depth) for name, f in features.items()})
        self.memory = _memories(self.named_encoders, memory, len(layers))
        self.delta = self._heads(features, (*SCALES, "gate"))
        self.beta = self._heads(features, SHIFTS)
        concat = {n: f for n, f in features.items() if self.mechanisms[n] == "concat"}
        self.concat = nn.ModuleDict({name: ConcatHeads(f, layers.values()) for name, f in concat.items()})
        self.dropout = probabilities(dropout, list(features))
        self.none = nn.ParameterDict({name: nn.Parameter(torch.zeros(features[name])) for name in self.dropout})
        small = SMALL if start == "small" else 0.0
        self.post = PostMultipliers(self.written, len(layers), small) if post_multiplier else None
        for heads in (self.delta, self.beta, self.concat) if small or post_multiplier else ():
            for name, head in heads.items():  # behind multipliers, heads keep the size of the features
                start_heads(head, features[name] ** -0.5 if post_multiplier else small)
        own = sum(self.channels.values()) if any(self.normalised) else 0
        learns_scale = own and {*self.mechanisms.values()} != {"bias"}
        self.own_delta = nn.Parameter(torch.zeros(own)) if learns_scale else None
        self.own_beta = nn.Parameter(torch.zeros(own)) if own else None
        self.offsets = self._offsets(adapted or {})

    def _heads(self, features: Mapping[str, int], kinds: Sequence[str]) -> nn.ModuleDict:
        acting = [name for name, kind in self.mechanisms.items() if kind in kinds]
        return nn.ModuleDict({name: Head(features[name], [*self.channels.values()]) for name in acting})

    def _offsets(self, adapted: Mapping[str, Sequence[str]]) -> nn.ModuleDict:
        unknown = [name for name in adapted if name not in self.encoders]
        if unknown:
            raise ValueError(f"there is no condition {', '.join(unknown)} with adapted classes")
        each, encoders = self.offset_sizes, self.named_encoders
        return nn.ModuleDict({name: Offset(encoders[name], own, each[name]) for name, own in adapted.items()})

    @property
    def named_encoders(self) -> dict[str, Encoder]:
        """The encoder of each condition by name."""
        return {name: cast(Encoder, encoder) for name, encoder in self.encoders.items()}

    @property
    def written(self) -> list[str]:
        """The parts of a layer, `gamma` and `beta`, that some condition writes."""
        found = {part for kind in self.mechanisms.values() for part in WRITTEN[kind]}
        return [part for part in ("gamma", "beta") if part in found]

    @property
    def free(self) -> dict[str, list[str]]:
        """The parts of each layer, `gamma` and `beta`, that are not fixed, by whichever condition or by the layer's own
        part. What concatenation adds before a normalisation counts as `beta`."""
        found = {}
        for name, normalised in zip(self.channels, self.normalised, strict=True):
            own = {"gamma": self.own_delta is not None, "beta": True} if normalised else {}
            found[name] = [part for part in ("gamma", "beta") if part in self.written or own.get(part)]
        return found

    @property
    def offset_sizes(self) -> dict[str, int]:
        """The number of γ and β, of all layers together, that each condition writes."""
        return {name: len(WRITTEN[kind]) * sum(self.channels.values()) for name, kind in self.mechanisms.items()}

    @property
    def importance(self) -> dict[str, dict[str, float]]:
        """How much each layer is conditioned, by part: the absolute values of the post-multipliers.

        Raises:
            ValueError: the generator has none.
        """
        if self.post is None:
            raise ValueError("this FiLM generator has no post-multipliers, so it does not say how much a layer is "
                             "conditioned: build it with post_multiplier")  # fmt: skip
        by_part = {part: scalars.detach().abs().tolist() for part, scalars in self.post.by_part.items()}
        return {name: {part: of[i] for part, of in by_part.items()} for i, name in enumerate(self.channels)}

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
        dropped: dict[str, Tensor] = {}
        if self.training and self.dropout:
            dropped = draw_dropped(self.dropout, max(map(len, features.values())), next(self.parameters()).device)
        film = self._write(features, tensors, dropped)
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
        tensors = self._tensors(conditions)
        everywhere = torch.ones(1, dtype=torch.bool, device=next(self.parameters()).device)
        return self._write(self._encode(tensors), tensors, dict.fromkeys(self.dropout, everywhere))

    def _tensors(self, conditions: Mapping[str, Value]) -> dict[str, Tensor]:
        """Turn conditions into tensors; those that were none go to the device of the weights."""
        tensors = as_tensors(self.named_encoders, conditions)
        if all(isinstance(value, Tensor) for value in conditions.values()):
            return tensors
        device = next(self.parameters()).device
        return {name: tensor.to(device) for name, tensor in tensors.items()}

    def _encode(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Turn each condition into its features, of all layers or, behind a memory, (batch, features, layers)."""
        features = {}
        for name, encoder in self.encoders.items():
            try:
                z = encoder(tensors[name])
                if name in self.memory:
                    z = self.memory[name](z, *cast(TokenEncoder, encoder).states(tensors[name]))
                features[name] = self.hidden[name](z)
            except ValueError as error:
                raise ValueError(f"condition '{name}': {error}") from None
        return features

    def _write(
        self, features: Mapping[str, Tensor], tensors: Mapping[str, Tensor], dropped: Mapping[str, Tensor]
    ) -> FiLMParameters:
        """Write (γ, β) of the conditions' features, with "none" in the rows, (batch or 1,), that are dropped."""
        absent = {name: replaced(features[name], self.none[name], rows) for name, rows in dropped.items()}
        z = {**features, **absent}
        scale, gate = (self._sum(self.delta, z, kinds) for kinds in (SCALES, ("gate",)))
        beta = self._sum(self.beta, z, SHIFTS)
        inner: list[Tensor | None] = [None] * len(beta)
        for name, heads in self.concat.items():
            for i, own in enumerate(self._read(name, heads, z)):
                place = inner if self.normalised[i] else beta
                place[i] = combined(place[i], own)
        if self.post is not None:
            scale, gate = (self.post("gamma", part) for part in (scale, gate))
            beta, inner = (self.post("beta", part) for part in (beta, inner))
        only_gates = {"gate"} == {kind for kind in self.mechanisms.values() if "gamma" in WRITTEN[kind]}
        gate = self._with_own(gate, self.own_delta) if only_gates else gate
        scale = scale if only_gates else self._with_own(scale, self.own_delta)
        layers = zip(self.channels, scale, gate, self._with_own(beta, self.own_beta), inner, strict=True)
        film = FiLMParameters({name: GammaBeta(gamma_of(s, g), b, i) for name, s, g, b, i in layers})
        for name, offset in self.offsets.items():
            own = cast(Offset, offset)(tensors[name].to(next(offset.parameters()).device))
            own = replaced(own, torch.zeros_like(own[0]), dropped[name]) if name in dropped else own
            film = moved(film, own, WRITTEN[self.mechanisms[name]], self.channels)
        return film

    def _read(self, name: str, head: nn.Module, z: Mapping[str, Tensor]) -> Any:
        """Let a head of a condition read its features."""
        heads = cast(Head | ConcatHeads, head)
        return heads.by_layer(z[name]) if name in self.memory else heads(z[name])

    def _sum(self, heads: nn.ModuleDict, z: Mapping[str, Tensor], kinds: Sequence[str]) -> list[Tensor | None]:
        """Sum what the heads of some mechanisms write over conditions, and split the sum by layer."""
        total: Tensor | None = None
        for name, head in heads.items():
            if self.mechanisms[name] in kinds:
                total = combined(total, self._read(name, head, z))
        sizes = list(self.channels.values())
        return [None] * len(sizes) if total is None else list(total.split(sizes, dim=1))

    def _with_own(self, parts: list[Tensor | None], own: Tensor | None) -> list[Tensor | None]:
        """Add what the layers that normalise have of their own."""
        if own is None:
            return parts
        static = own[None].split(list(self.channels.values()), dim=1)
        return [combined(p, s) if n else p for p, s, n in zip(parts, static, self.normalised, strict=True)]


def _memories(encoders: Mapping[str, Encoder], memory: Memory | None, layers: int) -> nn.ModuleDict:
    """Make the memory of each encoder of tokens."""
    if memory is None:
        return nn.ModuleDict()
    made = {n: memory(e.features, layers) for n, e in encoders.items() if not missing(e, TokenEncoder)}
    if not made:
        raise ValueError("a multi-hop FiLM generator attends to the tokens of a condition, and no condition has any: "
                         f"{', '.join(encoders) or 'there is none'}. Give one an encoder of tokens, or use the linear "
                         "generator")  # fmt: skip
    return nn.ModuleDict(made)
