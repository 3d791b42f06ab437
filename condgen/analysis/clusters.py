"""Sub-clusters of the (γ, β) of a feature map, and which condition explains them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_mutual_info_score, silhouette_score
from sklearn.mixture import GaussianMixture
from tqdm import tqdm

from condgen.analysis.maps import FeatureMaps, Numbers

FEWEST = 20  # rows, below which a mixture would be fitted to almost nothing


@dataclass(frozen=True)
class Explained:
    """How far a condition explains clusters.

    Attributes:
        information: adjusted mutual information of cluster and condition: 1 if each says the other, 0 at chance.
        shuffled: the same after the condition's labels are dealt out anew among the rows.
        value: class of the condition that lies in a cluster of its own more than any other does.
        within: share of this class's rows that are in that cluster.
        elsewhere: share of all other rows that are in that cluster.
    """

    information: float
    shuffled: float
    value: str
    within: float
    elsewhere: float


@dataclass(frozen=True)
class Clusters:
    """Sub-clusters of a map.

    Attributes:
        layer: layer of the map.
        map: number of the map.
        count: number of clusters that explain the points best by the Bayesian information criterion.
        silhouette: mean silhouette of the points, from −1 to 1; `None` for a single cluster.
        members: cluster of each row.
        explained: explanation by each condition; empty for a single cluster.
    """

    layer: str
    map: int
    count: int
    silhouette: float | None
    members: list[int]
    explained: dict[str, Explained]


def clusters(maps: FeatureMaps, most: int = 4, seed: int = 0) -> list[Clusters]:
    """Find the sub-clusters of each map by Gaussian mixtures.

    Args:
        maps: feature maps, from `feature_maps`, of 20 rows or more.
        most: number of clusters up to which they are looked for.
        seed: seed of the mixtures and of the controls.

    Raises:
        ValueError: there are too few rows.
    """
    if maps.rows < FEWEST:
        raise ValueError(f"{maps.rows} rows are too few for clusters: {FEWEST} are needed")
    rng, found = np.random.default_rng(seed), []
    for i, points in enumerate(tqdm(maps.points, desc="sub-clusters", unit="map", delay=2, leave=False)):
        members = members_of(points, most, seed)
        count = int(members.max()) + 1
        explained = {} if count == 1 else {n: explain(members, words, rng) for n, words in maps.labels.items()}
        silhouette = None if count == 1 else float(silhouette_score(_unit(points), members))
        found.append(Clusters(maps.layers[i], maps.numbers[i], count, silhouette, members.tolist(), explained))
    return found


def members_of(points: Numbers, most: int = 4, seed: int = 0) -> np.ndarray:
    """Return the cluster of each of some points, (rows, parts), counted from 0, none of them empty."""
    if not np.ptp(points, axis=0).any():
        return np.zeros(len(points), int)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        # Of units of their own spread; a little more than nothing keeps a cluster from closing around equal points.
        fits = [GaussianMixture(count, reg_covar=1e-3, n_init=3, random_state=seed).fit(_unit(points))
                for count in range(1, most + 1)]  # fmt: skip
    best = min(fits, key=lambda fit: fit.bic(_unit(points)))
    return np.unique(best.predict(_unit(points)), return_inverse=True)[1]


def _unit(points: Numbers) -> Numbers:
    spread = points.std(axis=0)
    return (points - points.mean(axis=0)) / np.where(np.ptp(points, axis=0) > 0, spread, 1)


def explain(members: np.ndarray, words: Sequence[str], rng: np.random.Generator) -> Explained:
    """Say how far the classes of rows explain their clusters; see `Explained`."""
    labels = np.asarray(words)
    apart = [(value, cluster, *_shares(members == cluster, labels == value))
             for value in dict.fromkeys(words) for cluster in range(members.max() + 1)]  # fmt: skip
    value, _, within, elsewhere = max(apart, key=lambda found: found[2] - found[3])
    return Explained(
        float(adjusted_mutual_info_score(labels, members)),
        float(adjusted_mutual_info_score(rng.permutation(labels), members)),
        value, within, elsewhere,
    )  # fmt: skip


def _shares(inside: np.ndarray, of_value: np.ndarray) -> tuple[float, float]:
    """Return the shares inside, of the rows of a value and of all others."""
    others = inside[~of_value]
    return float(inside[of_value].mean()), float(others.mean()) if len(others) else 0.0
