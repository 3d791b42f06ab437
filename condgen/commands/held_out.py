"""Losses of `condgen analyze`, in the model's own unit: bits per dimension of held-out examples or, of a generator, the
share of its samples that are not read as asked."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from condgen.commands.subject import LeftOut, Subject, class_combinations
from condgen.conditioning import FiLMParameters
from condgen.data import Batch
from condgen.data.batch import count_dims
from condgen.evaluation.likelihood import some_rows
from condgen.models.conditional import as_likelihood

TOGETHER = 50  # examples scored at once


class Examples(NamedTuple):
    """Held-out examples on the model's device, whose conditions are those of the model alone."""

    batch: Batch
    dims: int

    def conditions(self, changes: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """Return the conditions with other ids of some classes, one per example or one for all."""
        count = len(self.batch.x)
        return {
            **self.batch.conditions, **{name: ids.to(self.batch.x.device).expand(count) for name, ids in
                                        (changes or {}).items()}
        }  # fmt: skip


def unit_of(of: Subject) -> str:
    """Name the unit of the model's loss."""
    likelihood = as_likelihood(of.model)
    if likelihood is None:
        return "share of samples not read as asked"
    return "bits per sample" if likelihood.network.dim == "sample" else f"bits/{likelihood.network.dim}"


def held_out(of: Subject, count: int, classes: Mapping[str, int] | None = None) -> Examples:
    """Take some held-out examples, of some classes only.

    Raises:
        LeftOut: there are no data, or none of these classes.
    """
    data = of.require_data()
    ids = data.class_ids("test")
    rows = [row for row in some_rows(len(data.dataset("test")), None)
            if all(int(ids[name][row]) == label for name, label in (classes or {}).items())][:count]  # fmt: skip
    if not rows:
        raise LeftOut("there are no held-out examples of these classes")
    batch = Batch(*data.dataset("test").__getitems__(rows))
    own = {name: batch.conditions[name].to(of.device) for name in of.model.encoders}
    scored = None if batch.scored is None else batch.scored.to(of.device)
    return Examples(Batch(batch.x.to(of.device), own, scored), count_dims(batch))


@torch.inference_mode()
def bits(of: Subject, examples: Examples, film: FiLMParameters) -> float:
    """Return −log₂ p(x | FiLM parameters) per dimension; parameters have a row per example, or one for all."""
    model, total = as_likelihood(of.model), 0.0
    assert model is not None
    for start in range(0, len(examples.batch.x), TOGETHER):
        rows = slice(start, start + TOGETHER)
        scored = None if examples.batch.scored is None else examples.batch.scored[rows]
        total -= float(model.log_prob(examples.batch.x[rows], film.select(rows), scored).double().sum())
    return total / (examples.dims * math.log(2))


@torch.inference_mode()
def film_of(of: Subject, conditions: Mapping[str, Tensor]) -> FiLMParameters:
    """Return the FiLM parameters of conditions."""
    return of.model.film(conditions)


def over_classes(of: Subject, examples: Examples) -> tuple[FiLMParameters, FiLMParameters]:
    """Return mean and standard deviation of the parameters over all combinations of classes: one row per example where
    each has local conditions of its own, else one row."""
    from condgen.analysis import over_rows

    combinations = {name: ids.to(of.device) for name, ids in class_combinations(of.model).items()}
    count = len(next(iter(combinations.values()), ()))
    if not count:
        return over_rows(film_of(of, examples.conditions()))
    rest = {name: part for name, part in examples.conditions().items() if name not in combinations}
    found = []
    for row in range(len(examples.batch.x) if rest else 1):
        own = {name: part[row : row + 1].expand(count, *part.shape[1:]) for name, part in rest.items()}
        found.append(over_rows(film_of(of, {**combinations, **own})))
    mean, spread = (FiLMParameters.stack(parts) for parts in zip(*found, strict=True))
    return mean, spread


def misread(
    of: Subject, film: FiLMParameters, labels: Mapping[str, Sequence[str]], num_samples: int, seed: int
) -> float:
    """Return the share of samples that a classifier does not read as asked, averaged over class conditions.

    Args:
        of: model.
        film: FiLM parameters to draw with, a row per combination of classes.
        labels: class that each row stands for, per condition.
        num_samples: number of samples per row.
        seed: seed of the noise.
    """
    known = {name: words for name, words in labels.items() if name in of.classifiers}
    if not known:
        raise LeftOut(f"there is no classifier of {', '.join(labels)} ({of.no_data or 'the data lack them'})")
    x, wrong = of.draw(film, num_samples, [seed + row for row in range(film.batch_size)]), []
    for name, words in known.items():
        asked = torch.tensor([of.classes[name].index(word) for word in words]).repeat_interleave(num_samples)
        wrong.append(float((of.read(x, name).argmax(1) != asked).double().mean()))
    return sum(wrong) / len(wrong)
