"""Whole representations on a map of two dimensions, and who their neighbours are, there and in the full space."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.neighbors import KNeighborsClassifier

from condgen.analysis.maps import Numbers, pooled
from condgen.conditioning import FiLMParameters

Method = Literal["pca", "tsne"]
NEIGHBOURS, FOLDS = 10, 5


@dataclass(frozen=True)
class Neighbours:
    """How well the nearest neighbours of rows tell their class.

    Attributes:
        accuracy: share of rows whose class most of their k nearest neighbours in the other folds have.
        shuffled: the same after the classes are dealt out anew among the rows.
        majority: share of rows that have the commonest class.
        k: number of neighbours that were asked.
    """

    accuracy: float
    shuffled: float
    majority: float
    k: int


def whole(film: FiLMParameters) -> Numbers:
    """Return whole representations, (rows, numbers): every γ and β, averaged over frames and positions."""
    return pooled(film).flatten().detach().cpu().double().numpy()


def without(points: Numbers, *words: Sequence[str]) -> Numbers:
    """Take the mean of each class away from its points, of one condition after another: what is left is of the others,
    where conditions add up and every class goes with every other."""
    for labels in map(np.asarray, words):
        means = {word: points[labels == word].mean(axis=0) for word in set(labels.tolist())}
        points = points - np.stack([means[word] for word in labels.tolist()])
    return points


def project(points: Numbers, method: Method = "tsne", seed: int = 0) -> Numbers:
    """Lay points, (rows, numbers), out on a map, (rows, 2).

    Args:
        points: points, three or more of them.
        method: principal components (`pca`), or t-SNE of the first 50 of these (`tsne`).
        seed: seed of t-SNE.
    """
    if len(points) < 3:
        raise ValueError(f"{len(points)} rows are too few for a map: 3 are needed")
    if not np.ptp(points, axis=0).any():
        return np.zeros((len(points), 2))  # equal points, of which t-SNE's C code makes NaN, and then a crash
    components = PCA(min(50 if method == "tsne" else 2, *points.shape), random_state=seed).fit_transform(points)
    if method == "pca" or components.shape[1] == 1:
        return np.pad(components, ((0, 0), (0, max(0, 2 - components.shape[1]))))[:, :2]
    perplexity = min(30.0, (len(points) - 1) / 3)
    return TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(components).astype(float)


def neighbours(points: Numbers, words: Sequence[str], k: int = NEIGHBOURS, seed: int = 0) -> Neighbours | None:
    """Ask the nearest neighbours of each row for its class, over five folds of rows (fewer, of rarer classes).

    Classes of a single row are left out: no neighbour could be of them.

    Args:
        points: points, (rows, numbers).
        words: class of each row.
        k: number of neighbours; fewer where the rarest class has fewer.
        seed: seed of the control.

    Returns:
        The figures; `None` where fewer than two classes have two rows or more.
    """
    counts = Counter(words)
    rows = [i for i, word in enumerate(words) if counts[word] > 1]
    labels = np.asarray([words[i] for i in rows])
    if len(set(labels)) < 2:
        return None
    rarest = min(Counter(labels.tolist()).values())
    folds, k = min(FOLDS, rarest), min(k, max(1, rarest - 1))

    def accuracy(of: np.ndarray) -> float:
        classifier, splits = KNeighborsClassifier(k), StratifiedKFold(folds)
        return float(cross_val_score(classifier, points[rows], of, cv=splits).mean())

    dealt = np.random.default_rng(seed).permutation(labels)
    return Neighbours(accuracy(labels), accuracy(dealt), max(Counter(labels.tolist()).values()) / len(labels), k)
