"""Conditional models: a network, and the FiLM generator that writes its parameters from conditions."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple, TypeAlias, cast, get_args

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from condgen.conditioning import Encoder, FiLMGenerator, FiLMParameters
from condgen.conditioning.condition_dropout import Dropout
from condgen.conditioning.contract import require
from condgen.conditioning.film_generator import Conditions, Memory
from condgen.conditioning.heads import ConcatHead, Head, Start
from condgen.conditioning.mechanism import Conditioning, Mechanism, by_name, in_words
from condgen.conditioning.multi_hop import MultiHop
from condgen.conditioning.self_conditioning import require_causal_network
from condgen.models.contract import DiscriminatorNetwork, GeneratorNetwork, LikelihoodNetwork, StreamingNetwork
from condgen.quantization import check_levels

DiscriminatorMechanism = Literal["none", "concat", "bias", "film", "projection", "auxiliary"]
DiscriminatorConditioning: TypeAlias = DiscriminatorMechanism | dict[str, DiscriminatorMechanism]
Generation = Literal["linear", "multi_hop"]
MEMORIES: dict[Generation, Memory | None] = {"linear": None, "multi_hop": MultiHop}


def memory_of(generation: Generation) -> Memory | None:
    """Return what stands between encoders of tokens and their heads in a FiLM generator.

    Raises:
        ValueError: there is no such generator.
    """
    if generation not in MEMORIES:
        raise ValueError(f"unknown film_generator '{generation}'; known: {', '.join(MEMORIES)}")
    return MEMORIES[generation]


class ConditionalModel(nn.Module):
    """p(x | conditions). The network knows no conditions; the FiLM generator knows no data.

    Args:
        network: likelihood network, such as `PixelCNN` or `WaveNet`; see `condgen.models.contract`.
        conditions: encoder per named condition.
        conditioning: mechanism by which the conditions act, or one for each by name; see `FiLMGenerator`.
        condition_dropout: probability that an example's condition is dropped in training; see `FiLMGenerator`.
        adapted: names of classes with FiLM parameters of their own, by condition; see `FiLMGenerator`.
        film_depth: depth of the FiLM generator; see `FiLMGenerator`.
        film_start: initial weights of its heads, `zero` or `small`.
        film_generator: way from features to heads: `linear`, or `multi_hop`, which attends to tokens layer by layer.
        post_multiplier: two scalars per layer that multiply what conditions write, used if true; see `FiLMGenerator`.

    Raises:
        ValueError: the network or an encoder lacks members of its contract; the message names all of them.
    """

    def __init__(
        self,
        network: nn.Module,
        conditions: Mapping[str, nn.Module],
        conditioning: Conditioning = "bias",
        *,
        condition_dropout: Dropout = 0.0,
        adapted: Mapping[str, Sequence[str]] | None = None,
        film_depth: int = 0,
        film_start: Start = "zero",
        film_generator: Generation = "linear",
        post_multiplier: bool = False,
    ) -> None:
        super().__init__()
        self.network: LikelihoodNetwork = require(network, LikelihoodNetwork)
        if self.network.sample_rate is not None:
            require(network, StreamingNetwork)
        require_causal_network(network)
        self.film_generator = FiLMGenerator(
            conditions, self.network.film_layers, conditioning, dropout=condition_dropout, depth=film_depth,
            start=film_start, adapted=adapted, post_multiplier=post_multiplier, memory=memory_of(film_generator),
        )  # fmt: skip

    @property
    def encoders(self) -> dict[str, Encoder]:
        """The encoder of each condition by name."""
        return self.film_generator.named_encoders

    def film(self, conditions: Conditions) -> FiLMParameters:
        """Return the FiLM parameters of conditions; FiLM parameters pass through."""
        return self.film_generator(conditions)

    def forward(self, x: Tensor, conditions: Conditions) -> Distribution:
        """Return the teacher-forced distribution of x.

        Args:
            x: data on its grid, (batch, channels, *size).
            conditions: tensor per named condition, or FiLM parameters.
        """
        return self.network.output(self.network(x, self.film(conditions)))

    def log_prob(self, x: Tensor, conditions: Conditions, scored: Tensor | None = None) -> Tensor:
        """Return log p(x | conditions) in nats, (batch,).

        Args:
            x: data on its grid, (batch, channels, *size).
            conditions: tensor per named condition, or FiLM parameters.
            scored: positions that count, (batch, *size) of booleans; `None` for all.

        Raises:
            ValueError: x holds anything but whole levels of the data grid.
        """
        check_levels(x, self.network.levels)
        log_prob = self(x, conditions).log_prob(x)
        # Some families give one log-probability for all channels of a position.
        places = log_prob if log_prob.ndim < x.ndim else log_prob.sum(1)
        return (places if scored is None else places.masked_fill(~scored, 0)).flatten(1).sum(1)


class ConditionalGenerator(nn.Module):
    """x = G(z, conditions).

    Args:
        network: generator network, such as `Generator`; see `condgen.models.contract`.
        conditions: encoder per named condition.
        conditioning: mechanism by which the conditions act, or one for each by name; see `FiLMGenerator`.
        film_depth: depth of the FiLM generator; see `FiLMGenerator`.
        film_start: initial weights of its heads, `zero` or `small`.
        film_generator: way from features to heads, `linear` or `multi_hop`; see `ConditionalModel`.
        post_multiplier: two scalars per layer that multiply what conditions write, used if true; see `FiLMGenerator`.

    Raises:
        ValueError: the network or an encoder lacks members of its contract; the message names all of them.
    """

    def __init__(
        self,
        network: nn.Module,
        conditions: Mapping[str, nn.Module],
        conditioning: Conditioning = "film",
        *,
        film_depth: int = 0,
        film_start: Start = "zero",
        film_generator: Generation = "linear",
        post_multiplier: bool = False,
    ) -> None:
        super().__init__()
        self.network: GeneratorNetwork = require(network, GeneratorNetwork)
        self.film_generator = FiLMGenerator(
            conditions, self.network.film_layers, conditioning, depth=film_depth, start=film_start,
            post_multiplier=post_multiplier, memory=memory_of(film_generator),
        )  # fmt: skip

    @property
    def encoders(self) -> dict[str, Encoder]:
        """The encoder of each condition by name."""
        return self.film_generator.named_encoders

    def film(self, conditions: Conditions) -> FiLMParameters:
        """Return the FiLM parameters of conditions; FiLM parameters pass through."""
        return self.film_generator(conditions)

    def forward(self, z: Tensor, conditions: Conditions) -> Tensor:
        """Map noise, (batch, noise), to data in [−1, 1], (batch, *shape)."""
        return self.network(z, self.film(conditions))


Model: TypeAlias = ConditionalModel | ConditionalGenerator


def as_generator(model: Model) -> ConditionalGenerator | None:
    """Return a model as a generator; `None` if it is a likelihood model."""
    return model if isinstance(model, ConditionalGenerator) else None


def as_likelihood(model: Model) -> ConditionalModel | None:
    """Return a model as a likelihood model; `None` if it is a generator."""
    return model if isinstance(model, ConditionalModel) else None


class Judgement(NamedTuple):
    """What a discriminator says about a batch.

    Attributes:
        score: realness, given the conditions, (batch,).
        classes: logits per class condition, (batch, classes), of those whose conditioning is `auxiliary`.
    """

    score: Tensor
    classes: dict[str, Tensor]


class ConditionalDiscriminator(nn.Module):
    """Judges how real x is, given the conditions.

    Sources: Miyato and Koyama, "cGANs with Projection Discriminator", 2018, equation 3; Odena et al., "Conditional
    Image Synthesis with Auxiliary Classifier GANs", 2017.

    Args:
        network: discriminator network, such as `Discriminator`; see `condgen.models.contract`.
        conditions: encoder per named condition.
        conditioning: mechanism of all conditions, or one for each by name: `none`, for all alone; `concat`, `bias` or
            `film` in every layer; `projection`, which adds the inner product of the condition's features, through a
            matrix V, with those of x; or `auxiliary`, which also classifies x.
    """

    def __init__(
        self,
        network: nn.Module,
        conditions: Mapping[str, nn.Module],
        conditioning: DiscriminatorConditioning = "projection",
    ) -> None:
        super().__init__()
        known = get_args(DiscriminatorMechanism)
        each = by_name(conditioning, list(conditions), known, " of a discriminator")
        self.network: DiscriminatorNetwork = require(network, DiscriminatorNetwork)
        self.conditioning: DiscriminatorConditioning = conditioning
        if conditioning in ("projection", "auxiliary") and not conditions:
            raise ValueError(f"a discriminator with conditioning '{conditioning}' needs at least one condition")
        beside = {n: require(conditions[n], Encoder) for n, kind in each.items() if kind in ("projection", "auxiliary")}
        if any(each[name] == "auxiliary" and encoder.classes is None for name, encoder in beside.items()):
            raise ValueError("an auxiliary classifier predicts classes: every condition must be a ClassEmbedding")
        layers, features = self.network.film_layers, self.network.features
        inside = {n: cast(Mechanism, kind) for n, kind in each.items() if kind in ("concat", "bias", "film")}
        own: Conditioning = inside or (
            cast(Mechanism, conditioning) if conditioning in ("concat", "bias", "film") else "none"
        )
        self.film_generator = FiLMGenerator({name: conditions[name] for name in inside}, layers, own)
        projected = {name: encoder for name, encoder in beside.items() if each[name] == "projection"}
        classified = {name: encoder for name, encoder in beside.items() if each[name] == "auxiliary"}
        self.encoders = nn.ModuleDict({name: conditions[name] for name in projected})
        self.project = nn.ModuleDict({n: nn.Linear(e.features, features, bias=False) for n, e in projected.items()})
        self.classify = nn.ModuleDict({n: nn.Linear(features, e.classes or 0) for n, e in classified.items()})

    @property
    def conditions(self) -> list[str]:
        """Names of the conditions that it takes."""
        return [*self.film_generator.encoders, *self.encoders, *self.classify]

    def forward(self, x: Tensor, conditions: Mapping[str, Tensor]) -> Judgement:
        """Judge data, (batch, *shape)."""
        own = {name: conditions[name] for name in self.film_generator.encoders}
        score, features = self.network(x, self.film_generator(own))
        for name, encoder in self.encoders.items():
            score = score + (self.project[name](encoder(conditions[name])) * features).sum(1)
        return Judgement(score, {name: classify(features) for name, classify in self.classify.items()})


@torch.no_grad()
def concat_to_bias(discriminator: ConditionalDiscriminator) -> ConditionalDiscriminator:
    """Turn a discriminator with conditioning `concat` into one with `bias`.

    Wherever all taps see the map, concatenating a constant c adds β = Σ_k c_k Σ_u W[o, k, u] to a convolution. With
    `padding_mode` reflect, replicate or circular, that holds everywhere, and the two discriminators are equal. With
    zeros they differ at the border, where taps outside add nothing, and wherever the border has an influence.

    Args:
        discriminator: discriminator with conditioning `concat`; it is not changed.

    Raises:
        ValueError: it has another conditioning; or a norm, since concatenation acts before it and a bias after it.
    """
    if discriminator.conditioning != "concat":
        raise ValueError("only a discriminator with conditioning 'concat' can become one with 'bias'; this one has "
                         f"'{in_words(discriminator.conditioning)}'")  # fmt: skip
    source = discriminator.film_generator
    if any(source.normalised):
        raise ValueError("concatenation acts before a norm and a bias after it: with a norm other than none, no bias "
                         "is equal to concatenation")  # fmt: skip
    result = copy.deepcopy(discriminator)
    result.conditioning = "bias"
    like = next(discriminator.parameters())
    encoders = dict(result.film_generator.encoders)
    result.film_generator = FiLMGenerator(encoders, result.network.film_layers, "bias").to(like)
    for name, heads in source.concat.items():
        rows = [cast(Tensor, head.conv.weight).flatten(2).sum(2) for head in cast(Iterable[ConcatHead], heads)]
        cast(Head, result.film_generator.beta[name]).weight.copy_(torch.cat(rows))
    return result.train(discriminator.training)
