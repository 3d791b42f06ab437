"""Ablations of task representations: what is lost when a part of (γ, β) says the same for every condition."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

from condgen.conditioning import FiLMParameters, GammaBeta

NOISES = (0.25, 0.5, 1.0, 2.0, 4.0)


class Representation(NamedTuple):
    """FiLM parameters of some examples, with what there is to compare them with.

    Attributes:
        film: own parameters of each example.
        mean: mean over conditions; one row, or one per example.
        spread: standard deviation over conditions, likewise.
        shuffled: parameters with the conditions dealt out anew among the examples.
    """

    film: FiLMParameters
    mean: FiLMParameters
    spread: FiLMParameters
    shuffled: FiLMParameters


Change = Callable[[Representation], FiLMParameters]


@dataclass(frozen=True)
class Ablation:
    """Losses, in the unit of what measured them.

    Attributes:
        own: loss with each example's own parameters.
        mean: loss with the mean over conditions in place of all of them: that of a network which knows no condition.
        shuffled: loss with the conditions dealt out anew among the examples.
        parts: loss with γ (`gamma`) or β (`beta`) alone at its mean; empty where one of them is fixed.
        only: loss with one group of layers alone at the examples' own parameters, all others at the mean.
        without: loss with one group of layers at the mean.
        noise: loss with normal noise, of so many standard deviations over conditions, added to every γ and β.
    """

    own: float
    mean: float
    shuffled: float
    parts: dict[str, float]
    only: dict[str, float]
    without: dict[str, float]
    noise: dict[float, float]


def over_rows(film: FiLMParameters) -> tuple[FiLMParameters, FiLMParameters]:
    """Return mean and standard deviation over rows, one row each."""
    return film.mean(), film.map(lambda part: part.std(0, keepdim=True, correction=0))


def mixed(film: FiLMParameters, other: FiLMParameters, kept: Callable[[str, str], bool]) -> FiLMParameters:
    """Take some parts of FiLM parameters and the rest from others, one row of which may serve all rows.

    Args:
        film: FiLM parameters.
        other: parameters of the same network.
        kept: choice of what stays, by the name of the layer and that of the part, `gamma` or `beta`.
    """

    def part_of(name: str, part: str, tensor: Tensor) -> Tensor:
        mine = kept(name, "gamma" if part == "gamma" else "beta")  # an offset before the normalisation is one too
        both = torch.broadcast_tensors(tensor, other[name].parts[part])
        return both[0] if mine else both[1]

    return FiLMParameters({
        name: GammaBeta(**{part: part_of(name, part, tensor) for part, tensor in pair.parts.items()})
        for name, pair in film.items()
    })  # fmt: skip


def noisy(of: Representation, size: float, seed: int = 0) -> FiLMParameters:
    """Add normal noise, of so many standard deviations over conditions, to every γ and β."""
    generator = torch.Generator().manual_seed(seed)

    def drawn(part: Tensor) -> Tensor:
        # One number per row and feature map: what FiLM modulates as a whole is moved as a whole.
        shape = (*part.shape[:2], *(1,) * (part.ndim - 2))
        return torch.randn(shape, generator=generator, dtype=torch.float64).to(part)

    noise = {
        name: GammaBeta(**{
            part: tensor + size * of.spread[name].parts[part] * drawn(tensor) for part, tensor in pair.parts.items()
        })
        for name, pair in of.film.items()
    }  # fmt: skip
    return FiLMParameters(noise)


def ablate(
    loss: Callable[[Change], float], film: FiLMParameters, groups: Mapping[str, Sequence[str]],
    noises: Sequence[float] = NOISES, seed: int = 0,
) -> Ablation:  # fmt: skip
    """Measure what is lost by each ablation.

    Args:
        loss: mean loss over some examples, each with the parameters that a change makes of its `Representation`.
        film: some FiLM parameters of the network, which say what is fixed.
        groups: layers that are ablated together, by name; see `groups_of`.
        noises: sizes of the noise.
        seed: seed of the noise.
    """
    free = {"gamma" if part == "gamma" else "beta" for pair in film.values() for part in pair.parts}
    changes: dict[tuple[str, Any], Change] = {
        ("own", ""): lambda of: of.film, ("mean", ""): lambda of: mixed(of.film, of.mean, lambda layer, part: False),
        ("shuffled", ""): lambda of: of.shuffled,
    }  # fmt: skip
    for part in sorted(free) if len(free) > 1 else ():
        changes["parts", part] = _keeping(lambda layer, own, part=part: own != part)  # type: ignore[misc]
    for name, layers in groups.items() if len(groups) > 1 else ():
        changes["only", name] = _keeping(lambda layer, part, layers=tuple(layers): layer in layers)  # type: ignore[misc]
        changes["without", name] = _keeping(lambda layer, part, layers=tuple(layers): layer not in layers)  # type: ignore[misc]
    for size in noises:
        changes["noise", size] = lambda of, size=size: noisy(of, size, seed)  # type: ignore[misc]
    found = {key: loss(change) for key, change in tqdm(changes.items(), desc="ablations", delay=2, leave=False)}

    parts, only, without, noise = (
        {name: value for (of, name), value in found.items() if of == kind}
        for kind in ("parts", "only", "without", "noise")
    )
    return Ablation(found["own", ""], found["mean", ""], found["shuffled", ""], parts, only, without, noise)


def _keeping(kept: Callable[[str, str], bool]) -> Change:
    return lambda of: mixed(of.film, of.mean, kept)
