"""Paths from one condition to another through FiLM parameters, and how smoothly what they do changes along the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from condgen.analysis.maps import Numbers, choose_layers
from condgen.conditioning import FiLMParameters


@dataclass(frozen=True)
class Smoothness:
    """How what is measured changes along a path.

    Attributes:
        straightness: distance between the ends / length of the path: 1 if nothing is changed back on the way.
        evenness: share of the steps that would make the whole way if all steps that count were equal: 1 for equal
            steps, 1 / steps if all happens in one of them.
        shuffled: straightness after the points between the ends are dealt out anew.
    """

    straightness: float
    evenness: float
    shuffled: float


def path(
    start: FiLMParameters, end: FiLMParameters, weights: Sequence[float], layers: Sequence[str] = ()
) -> FiLMParameters:
    """Return the parameters on the way, (1 − a)·start + a·end: all rows for the first weight a, then for the next.

    Args:
        start: parameters for a = 0; one row, or several.
        end: parameters for a = 1, as many rows.
        weights: weights a.
        layers: layers that move, while the others stay at the start; all where none is named.
    """
    moving = set(choose_layers(start, layers))
    steps = []
    for a in weights:
        there = start.interpolate(end, a)
        steps.append(FiLMParameters({name: (there if name in moving else start)[name] for name in start}))
    return FiLMParameters.stack(steps)


def groups_of(film: FiLMParameters, most: int = 10) -> dict[str, list[str]]:
    """Put neighbouring layers together into so many groups at most, by a name such as `layers.0.film – layers.2.film`;
    layers whose parts are all fixed are left out."""
    names = [name for name, pair in film.items() if pair.parts]
    size = -(-len(names) // most) or 1
    parts = [names[i : i + size] for i in range(0, len(names), size)]
    return {part[0] if len(part) == 1 else f"{part[0]} – {part[-1]}": part for part in parts}


def smoothness(points: Numbers, seed: int = 0) -> Smoothness:
    """Measure how smoothly points, (steps + 1, numbers), follow each other; see `Smoothness`. Distances are sums of
    absolute differences."""
    order = np.random.default_rng(seed).permutation(np.arange(1, len(points) - 1))
    lengths = np.abs(np.diff(points, axis=0)).sum(axis=1)
    direct = float(np.abs(points[-1] - points[0]).sum())
    if not lengths.any():
        return Smoothness(1.0, 1.0, 1.0)
    shuffled = np.abs(np.diff(points[[0, *order, -1]], axis=0)).sum()
    shares = lengths / lengths.sum()
    return Smoothness(direct / float(lengths.sum()), float(1 / (shares**2).sum() / len(shares)), direct / shuffled)


def turning_points(weights: Sequence[float], answers: Sequence[str]) -> list[tuple[float, str]]:
    """List where the answer changes along a path: the weight from which on it is another one, and which; the first
    answer first."""
    before = [None, *answers]
    return [(a, now) for a, now, last in zip(weights, answers, before, strict=False) if now != last]
