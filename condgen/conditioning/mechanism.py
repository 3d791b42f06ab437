"""Mechanisms: what a condition may do to a FiLM layer, one for all conditions or one for each, and how they compose.

Each condition c writes a δ_c of its own, a β_c, or both, and a layer receives

    γ = 2σ(Σ δ_c of gates) ⊙ (1 + Σ δ_c of `scale` and `film`),   β = Σ β_c of `bias`, `film` and `concat`.

With one mechanism for all conditions that is what this mechanism says by itself: 1 + Σ δ, or 2σ(Σ δ). A gate opens or
closes what is scaled, and leaves every β as it is. Where no condition scales, γ is fixed at 1 and costs no multiply.
All of it happens at every position by itself, so that a causal network stays causal.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, TypeAlias, TypeVar, get_args

Mechanism = Literal["none", "bias", "scale", "gate", "film", "concat"]
Conditioning: TypeAlias = Mechanism | dict[str, Mechanism]
Kind = TypeVar("Kind", bound=str)

# What conditions decide of a layer's (γ, β), by mechanism.
WRITTEN: dict[Mechanism, tuple[str, ...]] = {
    "none": (), "bias": ("beta",), "scale": ("gamma",), "gate": ("gamma",), "film": ("gamma", "beta"),
    "concat": ("beta",),
}  # fmt: skip
SCALES = ("scale", "film")  # whose δ is added to 1
SHIFTS = ("bias", "film")  # whose β is a linear map of the features


def each_mechanism(conditioning: Conditioning, conditions: Iterable[str]) -> dict[str, Mechanism]:
    """Return the mechanism of each condition that acts; none where the conditioning is `none`.

    Args:
        conditioning: mechanism of all conditions, or one for each by name.
        conditions: names of the conditions of a model.

    Raises:
        ValueError: a mechanism is unknown, is for no condition of the model, or is missing; the message names it.
    """
    found = by_name(conditioning, list(conditions), get_args(Mechanism))
    if isinstance(conditioning, str):
        if conditioning != "none" and not found:
            raise ValueError(f"conditioning '{conditioning}' needs at least one condition; an unconditional model has "
                             "conditioning 'none'")  # fmt: skip
        return {} if conditioning == "none" else found
    return found


def by_name(
    conditioning: Kind | Mapping[str, Kind], conditions: list[str], known: tuple[str, ...], of: str = ""
) -> dict[str, Kind]:
    """Return the mechanism of each condition, in the order of the conditions.

    Args:
        conditioning: mechanism of all conditions, or one for each by name.
        conditions: names of the conditions.
        known: mechanisms that there are.
        of: words that follow in an error, such as " of a discriminator".

    Raises:
        ValueError: a mechanism is unknown, is for no condition, is `none`, or is missing.
    """
    single = isinstance(conditioning, str)
    given: dict[str, Kind] = dict.fromkeys(conditions, conditioning) if single else dict(conditioning)  # type: ignore[arg-type]
    for kind in [conditioning] if single else given.values():
        if kind not in known:
            raise ValueError(f"unknown conditioning '{kind}'{of}; known: {', '.join(known)}")
    if single:
        return given
    for name in given:
        if name not in conditions:
            raise ValueError(f"conditioning{of} names '{name}', which is no condition of the model; its conditions: "
                             f"{', '.join(conditions) or 'none'}")  # fmt: skip
        if given[name] == "none":
            raise ValueError(f"conditioning{of} gives '{name}' the mechanism 'none': leave the condition out of "
                             "model.conditions, or give it one that acts")  # fmt: skip
    for name in conditions:
        if name not in given:
            others = ", ".join(kind for kind in known if kind != "none")
            raise ValueError(f"conditioning{of} says nothing of the condition '{name}': give conditioning.{name} one "
                             f"of {others}")  # fmt: skip
    return {name: given[name] for name in conditions}


def in_words(conditioning: str | Mapping[str, str]) -> str:
    """Say a conditioning in words: `bias`, or `bias of mask, scale of first_frame`."""
    if isinstance(conditioning, str):
        return conditioning
    return ", ".join(f"{kind} of {name}" for name, kind in conditioning.items())
