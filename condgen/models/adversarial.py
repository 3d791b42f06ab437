"""A conditional generator and a conditional discriminator: bodies, and what makes them heed their conditions."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, cast, get_args

import torch
from torch import Tensor, nn

from condgen.conditioning import ClassEmbedding, FiLMGenerator, FiLMParameters
from condgen.conditioning.generator import Kind

Judging = Literal["none", "concat", "bias", "film", "projection", "auxiliary"]


class ConditionalGenerator(nn.Module):
    """x = G(z, conditions).

    Args:
        network: says where its FiLM layers are, such as `Generator`.
        conditions: an encoder per named condition.
        kind: how the conditions act; see `FiLMGenerator`.
    """

    def __init__(self, network: nn.Module, conditions: Mapping[str, nn.Module], kind: Kind = "film") -> None:
        super().__init__()
        self.network: Any = network
        layers: Any = network.film_layers
        self.generator = FiLMGenerator(conditions, layers, kind)

    def film(self, conditions: Mapping[str, Tensor] | FiLMParameters) -> FiLMParameters:
        """Return the FiLM parameters of conditions; parameters pass through."""
        return conditions if isinstance(conditions, FiLMParameters) else self.generator(conditions)

    def forward(self, z: Tensor, conditions: Mapping[str, Tensor] | FiLMParameters) -> Tensor:
        """Map noise, (batch, noise), to data in [−1, 1], (batch, *shape)."""
        return self.network(z, self.film(conditions))


class Judgement(NamedTuple):
    """What a discriminator says of a batch.

    Attributes:
        score: how real it is, given the conditions, (batch,).
        classes: logits per class condition, (batch, classes); empty but for `auxiliary`.
    """

    score: Tensor
    classes: dict[str, Tensor]


class ConditionalDiscriminator(nn.Module):
    """How real x is, given the conditions.

    Sources: Miyato and Koyama, "cGANs with Projection Discriminator", 2018, equation 3; Odena et al., "Conditional
    Image Synthesis with Auxiliary Classifier GANs", 2017.

    Args:
        network: gives scores and features, and says where its FiLM layers are, such as `Discriminator`.
        conditions: an encoder per named condition.
        kind: `none`; `concat`, `bias` or `film` in every layer; `projection`, which adds the inner product of the
            condition's features, through a matrix V, with those of x; or `auxiliary`, which reads classes besides.
    """

    def __init__(self, network: nn.Module, conditions: Mapping[str, nn.Module], kind: Judging = "projection") -> None:
        super().__init__()
        if kind not in get_args(Judging):
            raise ValueError(f"unknown kind of discriminator '{kind}'; known: {', '.join(get_args(Judging))}")
        self.network: Any = network
        self.kind: Judging = kind
        beside: dict[str, Any] = dict(conditions) if kind in ("projection", "auxiliary") else {}
        if kind in ("projection", "auxiliary") and not beside:
            raise ValueError(f"a discriminator of kind '{kind}' needs at least one condition")
        if kind == "auxiliary" and any(not isinstance(e, ClassEmbedding) for e in beside.values()):
            raise ValueError("an auxiliary classifier reads classes: every condition must be a ClassEmbedding")
        inside: Any = kind if kind in ("concat", "bias", "film") else "none"
        layers: Any = network.film_layers
        self.generator = FiLMGenerator({} if inside == "none" else conditions, layers, inside)
        features: Any = network.features
        projected, read = (beside, {}) if kind == "projection" else ({}, beside)
        self.encoders = nn.ModuleDict(projected)
        self.project = nn.ModuleDict({n: nn.Linear(e.features, features, bias=False) for n, e in projected.items()})
        self.classify = nn.ModuleDict({n: nn.Linear(features, len(e.names)) for n, e in read.items()})

    @property
    def conditions(self) -> list[str]:
        """Names of the conditions that it is given."""
        return [*self.generator.encoders, *self.encoders, *self.classify]

    def forward(self, x: Tensor, conditions: Mapping[str, Tensor]) -> Judgement:
        """Judge data, (batch, *shape)."""
        own = {name: conditions[name] for name in self.generator.encoders}
        score, features = self.network(x, self.generator(own))
        for name, encoder in self.encoders.items():
            score = score + (self.project[name](encoder(conditions[name])) * features).sum(1)
        return Judgement(score, {name: classify(features) for name, classify in self.classify.items()})


@torch.no_grad()
def concat_to_bias(discriminator: ConditionalDiscriminator) -> ConditionalDiscriminator:
    """Turn a discriminator of kind `concat` into one of kind `bias`.

    Wherever all taps see the map, what concatenating it constant adds to a convolution is β = Σ_k c_k Σ_u W[o, k, u].
    With `padding_mode` reflect, replicate or circular that is everywhere, and the two discriminators are equal. With
    zeros they differ at the border, where taps beyond it add nothing, and in all that the border reaches.

    Args:
        discriminator: stays as it is.

    Raises:
        ValueError: it is of another kind; or it has a norm, before which concatenation acts and a bias does not.
    """
    if discriminator.kind != "concat":
        raise ValueError(f"only a discriminator of kind 'concat' turns into 'bias'; this one is '{discriminator.kind}'")
    source = discriminator.generator
    if any(source.normalised):
        raise ValueError("concatenation acts before a norm and a bias behind it: with norm other than none, no bias is "
                         "equal to it")  # fmt: skip
    result = copy.deepcopy(discriminator)
    result.kind = "bias"
    like = next(discriminator.parameters())
    result.generator = FiLMGenerator(dict(result.generator.encoders), result.network.film_layers, "bias").to(like)
    for name, heads in source.concat.items():
        rows = [head.conv.weight.flatten(2).sum(2) for head in cast(Any, heads)]
        cast(Any, result.generator.beta[name]).weight.copy_(torch.cat(rows))
    return result.train(discriminator.training)
