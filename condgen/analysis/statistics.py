"""What the (γ, β) of feature maps have in common, and what sets them apart: the figures behind a γ–β scatter plot.

Source: Dumoulin et al., "Feature-wise transformations", Distill 2018; the tests hold these figures against the
parameters that it plots.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from condgen.analysis.maps import FeatureMaps, Numbers


@dataclass(frozen=True)
class Axis:
    """The main axis of the points (γ, β) of a map.

    Attributes:
        layer: layer of the map.
        map: number of the map.
        angle: angle to the axis of γ in degrees, above −90 up to 90.
        anisotropy: 1 − the smaller variance / the larger one: 0 for a round cloud, 1 for points on a line.
        shuffled: anisotropy after each map's β are dealt out anew among its rows.
    """

    layer: str
    map: int
    angle: float
    anisotropy: float
    shuffled: float


@dataclass(frozen=True)
class Statistics:
    """Figures of feature maps, by part: `gamma`, `beta` and, where neither is fixed, `both`.

    Attributes:
        rows: number of rows.
        maps: number of maps.
        between: η², the share of the variance that lies between maps: the variance of the maps' means over the total.
        shuffled: η² after all numbers are dealt out anew among maps and rows; 0 for infinitely many rows.
        negative: share of the numbers that are below 0.
        axes: main axis of each map; empty where γ or β is fixed.
    """

    rows: int
    maps: int
    between: dict[str, float]
    shuffled: dict[str, float]
    negative: dict[str, float]
    axes: list[Axis]


def variance_between(values: Numbers) -> float:
    """Return η², the share of the variance of (rows, maps, …) numbers that lies between maps; NaN if none varies.

    Numbers of several kinds, along further axes, are summed: each has its own mean, and their variances add up.
    """
    means = values.mean(axis=0)
    between, total = ((means - means.mean(axis=0)) ** 2).sum(), ((values - values.mean(axis=(0, 1))) ** 2).sum()
    return float(between * len(values) / total) if total > 0 else float("nan")


def statistics(maps: FeatureMaps, seed: int = 0) -> Statistics:
    """Measure how feature maps differ; see `Statistics`.

    Args:
        maps: feature maps, from `feature_maps`.
        seed: seed of the controls.
    """
    rng, parts = np.random.default_rng(seed), dict(maps.parts)
    stacked = {name: part[:, :, None] for name, part in parts.items()}
    if len(parts) == 2:
        stacked["both"] = np.stack(list(parts.values()), axis=2)
    dealt = {name: _dealt(values, rng) for name, values in stacked.items()}
    return Statistics(
        maps.rows,
        len(maps),
        {name: variance_between(values) for name, values in stacked.items()},
        {name: variance_between(values) for name, values in dealt.items()},
        {name: float((part < 0).mean()) for name, part in parts.items()},
        axes(maps, rng) if len(parts) == 2 and maps.rows > 1 else [],
    )


def _dealt(values: Numbers, rng: np.random.Generator) -> Numbers:
    """Deal points (rows, maps, parts) out anew among rows and maps."""
    points = values.reshape(-1, values.shape[2])
    return rng.permutation(points).reshape(values.shape)


def axes(maps: FeatureMaps, rng: np.random.Generator) -> list[Axis]:
    """Measure the main axis of each map."""
    found = []
    for i, points in enumerate(maps.points):
        angle, anisotropy = main_axis(points)
        others = np.stack([points[:, 0], rng.permutation(points[:, 1])], axis=1)
        found.append(Axis(maps.layers[i], maps.numbers[i], angle, anisotropy, main_axis(others)[1]))
    return found


def main_axis(points: Numbers) -> tuple[float, float]:
    """Return the angle in degrees and the anisotropy of points, (rows, 2); see `Axis`."""
    variances, directions = np.linalg.eigh(np.cov(points.T))
    x, y = directions[:, 1]
    angle = float(np.degrees(np.arctan2(y, x)))
    angle = angle - 180 if angle > 90 else angle + 180 if angle <= -90 else angle
    return angle, float(1 - max(variances[0], 0) / variances[1]) if variances[1] > 0 else 0.0
