"""Arithmetic of conditions: is f(b, x) = f(a, x) + f(b, y) − f(a, y), and is a change of one condition a direction?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from condgen.analysis.maps import Numbers
from condgen.analysis.projection import whole
from condgen.conditioning import FiLMParameters


@dataclass(frozen=True)
class Arithmetic:
    """How the representations of two conditions add up.

    Attributes:
        first: name of the first condition.
        second: name of the second condition.
        analogies: number of analogies f(a, x) + f(b, y) − f(a, y) against f(b, x).
        error: root of their mean squared error, over the root of the mean squared distance of representations from
            their mean: 0 if conditions add up.
        shuffled: the same against the representation of another, random pair of classes.
        variance: share of the variance of representations that each condition explains by itself, by name, and that
            only both together do (`together`).
        directions: mean cosine between the changes from one class to another, over the classes of the other condition,
            by the condition that changes: 1 if a change is a direction of its own, whatever the rest.
        unrelated: mean cosine between changes of it that have no class in common.
    """

    first: str
    second: str
    analogies: int
    error: float
    shuffled: float
    variance: dict[str, float]
    directions: dict[str, float]
    unrelated: dict[str, float]


def arithmetic(film: FiLMParameters, first: str, second: str, most: int = 2000, seed: int = 0) -> Arithmetic:
    """Measure how two conditions add up; see `Arithmetic`.

    Args:
        film: FiLM parameters with labels of both, a row or more for every pair of classes; rows of one pair are
            averaged.
        first: name of the first condition.
        second: name of the second condition.
        most: number of analogies up to which all are measured; of more, as many random ones.
        seed: seed of the choice and of the controls.

    Raises:
        ValueError: a condition has no labels or a single class; or a pair of classes is missing.
    """
    grid, rng = grid_of(film, first, second), np.random.default_rng(seed)
    a, b, x, y = _quadruples(grid.shape[0], grid.shape[1], most, rng)
    made, true = grid[a, x] + grid[b, y] - grid[a, y], grid[b, x]
    spread = _root(grid - grid.mean(axis=(0, 1)))
    sides = {first: grid, second: grid.swapaxes(0, 1)}
    told = {name: _cosines(side, rng) for name, side in sides.items()}
    return Arithmetic(
        first, second, len(a), _root(made - true) / spread, _root(made - rng.permutation(true)) / spread,
        shares(grid, first, second), {name: same for name, (same, _) in told.items()},
        {name: other for name, (_, other) in told.items()},
    )  # fmt: skip


def grid_of(film: FiLMParameters, first: str, second: str) -> Numbers:
    """Return whole representations by class of two conditions, (classes, classes, numbers)."""
    for name in (first, second):
        if name not in film.labels:
            raise ValueError(f"no labels of '{name}'; there are labels of: {', '.join(film.labels) or 'nothing'}")
        if len(set(film.labels[name])) < 2:
            raise ValueError(f"condition '{name}' has a single class, '{film.labels[name][0]}': nothing to add to it")
    points, labels = whole(film), film.labels
    places: dict[tuple[str, str], list[int]] = {}
    for i, pair in enumerate(zip(labels[first], labels[second], strict=True)):
        places.setdefault(pair, []).append(i)
    classes = [list(dict.fromkeys(labels[name])) for name in (first, second)]
    missing = [(one, other) for one in classes[0] for other in classes[1] if (one, other) not in places]
    if missing:
        raise ValueError(f"no row has {first} '{missing[0][0]}' and {second} '{missing[0][1]}', and arithmetic needs "
                         "every pair of classes")  # fmt: skip
    return np.array([[points[places[one, other]].mean(axis=0) for other in classes[1]] for one in classes[0]])


def shares(grid: Numbers, first: str, second: str) -> dict[str, float]:
    """Split the variance of a grid, (classes, classes, numbers), by what explains it: either condition by itself, or
    only both together."""
    centred = grid - grid.mean(axis=(0, 1))
    rows, columns = centred.mean(axis=1, keepdims=True), centred.mean(axis=0, keepdims=True)
    parts = {first: rows, second: columns, "together": centred - rows - columns}
    total = (centred**2).mean()
    # Conditions without any effect share nothing.
    return {n: float((p**2).mean() * centred.shape[2] / (total * p.shape[2])) if total else 0.0
            for n, p in parts.items()}  # fmt: skip


def _quadruples(rows: int, columns: int, most: int, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """List (a, b, x, y) with a ≠ b and x ≠ y: all of them, or so many random ones."""
    count = rows * (rows - 1) * columns * (columns - 1)
    chosen = np.arange(count) if count <= most else rng.choice(count, most, replace=False)
    chosen, y = np.divmod(chosen, columns - 1)
    chosen, x = np.divmod(chosen, columns)
    a, b = np.divmod(chosen, rows - 1)
    return a, b + (b >= a), x, y + (y >= x)


def _root(differences: Numbers) -> float:
    return float(np.sqrt((differences**2).sum(axis=-1).mean())) or np.finfo(float).tiny


def _cosines(grid: Numbers, rng: np.random.Generator, most: int = 500) -> tuple[float, float]:
    """Return the mean cosine of changes a → b under different second classes, and of unrelated changes."""
    rows, columns = grid.shape[:2]
    a, b, x, y = _quadruples(rows, columns, most, rng)
    one, other = grid[b, x] - grid[a, x], grid[b, y] - grid[a, y]
    away = [(i, j) for i in range(len(a)) for j in rng.choice(len(a), min(len(a), 8), replace=False)
            if not {a[i], b[i]} & {a[j], b[j]}][:most]  # fmt: skip
    unrelated = _cosine(one[[i for i, _ in away]], other[[j for _, j in away]]) if away else float("nan")
    return _cosine(one, other), unrelated


def _cosine(one: Numbers, other: Numbers) -> float:
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return float(((one * other).sum(axis=1) / np.where(lengths > 0, lengths, 1)).mean())
