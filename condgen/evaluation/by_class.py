"""Samples class by class: an average over all classes hides one that has collapsed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from condgen.evaluation.classifier import ImageClassifier

ENOUGH = 10  # samples of a class from which on its shares say something
CLOSE = 0.1  # of the distance of real neighbours: two samples that are nearer are all but copies


@dataclass(frozen=True)
class OfClass:
    """Samples of one class, read by a classifier.

    Attributes:
        count: number of samples.
        read: share of them that is read as the class.
        real_read: share of real examples of the class that is read as the class.
        diversity: share of samples that are not all but copies of another one of the class.
    """

    count: int
    read: float
    real_read: float
    diversity: float


def by_class(
    classifier: ImageClassifier, x: Tensor, asked: Tensor, held_out: Tensor, true: Tensor, names: Sequence[str]
) -> dict[str, OfClass]:
    """Look at the samples of each class by itself; classes without samples are left out.

    Args:
        classifier: classifier that reads them.
        x: levels of the samples, (samples, channels, height, width).
        asked: classes asked for, (samples,).
        held_out: levels of real examples, (examples, channels, height, width).
        true: classes of the real examples, (examples,).
        names: names of the classes.
    """
    (features, read), (real, real_read) = (classifier.classify(levels) for levels in (x, held_out))
    found = {}
    for label, name in enumerate(names):
        ours, theirs = asked == label, true == label
        if ours.any():
            near = CLOSE * _neighbours(real[theirs]).median() if theirs.sum() > 1 else torch.tensor(0.0)
            apart = (_neighbours(features[ours]) > near).double().mean() if ours.sum() > 1 else torch.tensor(1.0)
            found[name] = OfClass(int(ours.sum()), _share(read[ours], label), _share(real_read[theirs], label),
                                  float(apart))  # fmt: skip
    return found


def _neighbours(features: Tensor) -> Tensor:
    """Return the distance of every row to the nearest other one."""
    return torch.cdist(features, features).fill_diagonal_(float("inf")).min(1).values


def _share(read: Tensor, label: int) -> float:
    return float((read == label).double().mean()) if len(read) else 0.0


def alarms(condition: str, found: Mapping[str, OfClass]) -> dict[str, str]:
    """Say what is wrong with the samples of single classes, by class.

    Args:
        condition: condition that the classes belong to.
        found: figures by class.
    """
    said = {}
    for name, figures in found.items():
        wrong = []
        if figures.diversity < 0.75:
            wrong.append(f"{1 - figures.diversity:.0%} are all but copies of others")
        if figures.read < figures.real_read / 2:
            wrong.append(f"{figures.read:.0%} are read as it, of real ones {figures.real_read:.0%}")
        if wrong and figures.count >= ENOUGH:
            said[name] = f"{condition} '{name}' has collapsed or is ignored: of its samples, {'; '.join(wrong)}"
    return said
