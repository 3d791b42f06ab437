"""What is measured of a model of the mechanism study, and the classifiers that read its samples."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from typing import Any, cast

import numpy as np
import torch
from mechanism_cells import FAMILIES, Cell, Family, Place
from mechanism_data import is_held_out
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from torch import Tensor

from condgen.conditioning import FiLMParameters
from condgen.data import Images, Labelled, Speech
from condgen.data.batch import Batch, count_dims
from condgen.evaluation.classifier import ImageClassifier
from condgen.evaluation.likelihood import class_conditions, likelihood, other_labels, some_rows
from condgen.evaluation.samples import Generated, fidelity, generate, matching_rows, sample_like, train_classifiers
from condgen.evaluation.views import view
from condgen.models import ConditionalModel
from condgen.models.conditional import Model, as_generator, as_likelihood

STEPS_OF_PATH = 8
SAMPLING: dict[str, Any] = {"engine": "cached", "batch_size": 256, "progress": False}


class Discriminant:
    """Reads the pictures of sounds by linear discriminants, which are learned in a second.

    Args:
        train: real training examples, as pictures.
        condition: condition to read.
        classes: number of its classes.
    """

    def __init__(self, train: Labelled, condition: str, classes: int) -> None:
        self.classes = classes
        self.model = LinearDiscriminantAnalysis(solver="eigen", shrinkage="auto")
        self.model.fit(self._flat(train.x), train.conditions[condition].numpy())

    def classify(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Read pictures: discriminants (pictures, classes − 1) and the most probable class of each, (pictures,)."""
        flat = self._flat(x)
        return torch.from_numpy(self.model.transform(flat)), torch.from_numpy(self.model.predict(flat))

    @staticmethod
    def _flat(x: Tensor) -> np.ndarray:
        return x.flatten(1).numpy() / 255


@cache
def classifiers(place: Place, family: Family) -> dict[str, Any]:
    """Train a classifier of each condition of a family's data, once; of images, other processes read its file."""
    data = place.data(family)
    if data.sample_rate is not None:
        train = pictures(place, family)[0]
        return {name: Discriminant(train, name, len(data.names[name])) for name in train.conditions}
    file, made = place.out / "data" / f"{family.data}.classifiers.pt", dict[str, ImageClassifier]()
    if not file.is_file():
        made = train_classifiers(data, 2 if place.quick else 400, seed=0)
        torch.save({name: classifier.state_dict() for name, classifier in made.items()}, file)
    for name, state in torch.load(file, weights_only=True).items():
        made[name] = ImageClassifier(cast(Images, data).shape, data.levels, name, len(data.names[name])).eval()
        made[name].load_state_dict(state)
    return made


@cache
def pictures(place: Place, family: Family) -> tuple[Labelled, Labelled]:
    """Return training and test examples as classifiers see them."""
    seen = view(place.data(family))
    return seen.split("train").images, seen.split("test").images


def share_between_maps(film: FiLMParameters) -> float | None:
    """Return η²: the share of the variance of (γ, β) that lies between feature maps, not between a map's conditions.

    A map's points are its conditions and, where its parameters vary in space, its positions. Parts that no condition
    changes are left out; `None` if there are no others.
    """
    between = total = 0.0
    for part in ("gamma", "beta", "inner"):
        found = [pair.parts[part] for pair in film.values() if part in pair.parts]
        maps = [values.transpose(0, 1).flatten(1).double() for values in found if len(values) > 1]
        if maps:
            means = torch.cat([values.mean(1) for values in maps])
            within = torch.cat([values.var(1, correction=0) for values in maps]).mean()
            between, total = between + float(means.var(correction=0)), total + float(means.var(correction=0) + within)
    return between / total if total else None


def every_condition(model: Model) -> dict[str, Tensor]:
    """Return every combination of a model's classes."""
    grids = torch.meshgrid(*map(torch.arange, class_conditions(cast(ConditionalModel, model)).values()), indexing="ij")
    return {name: grid.flatten() for name, grid in zip(model.encoders, grids, strict=True)}


@torch.inference_mode()
def largest_step(model: Model, test: Batch, classifier: ImageClassifier) -> float:
    """Measure how smooth the way from one condition to another is: its largest of 8 steps over the mean one.

    It is 1 where all are equal and 8 where all happens in one. A step is the change of an example's log-likelihood as
    its FiLM parameters go straight from its own conditions to others; for a generator, of the classifier's
    probabilities for the picture that the same noise becomes.
    """
    rng = torch.Generator().manual_seed(0)
    classes = class_conditions(cast(ConditionalModel, model))
    own = {name: test.conditions[name] for name in classes}
    others = {name: other_labels(own[name], k, 1, rng)[0] for name, k in classes.items()}
    generator, scores = as_generator(model), as_likelihood(model)
    ends = model.film(own), model.film(others)
    z = torch.randn(len(test.x), generator.network.noise, generator=rng) if generator else None
    found = []
    for place in torch.linspace(0, 1, STEPS_OF_PATH + 1).tolist():
        film = ends[0].interpolate(ends[1], place)
        if scores is not None:
            found.append(scores.log_prob(test.x, film, test.scored)[:, None])
        elif generator is not None and z is not None:
            x = generator.network.quantization.encode(generator(z, film).float())
            found.append(classifier(x).softmax(1))
    steps = torch.stack(found).diff(dim=0).abs().sum(2)
    return float((steps.amax(0) / steps.mean(0).clamp(min=1e-12)).mean())


@torch.inference_mode()
def bits(model: ConditionalModel, data: Images | Speech, rows: list[int]) -> float:
    """Return −log₂ p(x | conditions) per dimension of some rows of the test split."""
    nats, dims = 0.0, 0
    for start in range(0, len(rows), 50):
        batch = Batch(*data.dataset("test").__getitems__(rows[start : start + 50]))
        own = {name: batch.conditions[name] for name in model.encoders}
        nats, dims = nats - float(model.log_prob(batch.x, own, batch.scored).double().sum()), dims + count_dims(batch)
    return nats / (dims * math.log(2))


def of_pairs(cell: Cell, place: Place, model: ConditionalModel, samples: int) -> dict[str, Any]:
    """Measure the pairs of conditions that may be held out, and the others: bits, and how samples of them are read."""
    family = FAMILIES[cell.family]
    data, readers, found = place.data(family, cell.study == "pairs"), classifiers(place, family), {}
    ids = data.class_ids("test")
    out = [is_held_out(*pair) for pair in zip(*(ids[name].tolist() for name in family.conditions), strict=True)]
    for kind, wanted in (("held-out pairs", True), ("other pairs", False)):
        rows = [i for i, o in enumerate(out) if o == wanted]
        rows = [rows[i] for i in torch.randperm(len(rows), generator=torch.Generator().manual_seed(0)).tolist()]
        batch = Batch(*data.dataset("test").__getitems__((rows * samples)[:samples]))
        x, lengths = sample_like(model, batch, 0, **SAMPLING)
        seen = view(place.data(family)).pictures(x, lengths or [])
        correct = {name: reader.classify(seen)[1] == batch.conditions[name] for name, reader in readers.items()}
        shares = {name: float(each.double().mean()) for name, each in correct.items()}
        found[kind] = {"bits": bits(model, data, rows[: place.examples(family)]), "read as asked": shares}
    return found


def read(place: Place, family: Family, x: Tensor, asked: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return the share of pictures read as asked, per condition, and their coverage, a mean over classifiers."""
    test, readers = pictures(place, family)[1], classifiers(place, family)
    found = {name: fidelity(c, x, asked[name], test.x, test.conditions[name]) for name, c in readers.items()}
    coverages = [each.coverage for each in found.values()]
    return {"read as asked": {name: each.accuracy for name, each in found.items()},
            "coverage": sum(coverages) / len(coverages)}  # fmt: skip


def read_both(place: Place, family: Family, drawn: Generated) -> dict[str, Any]:
    """Read samples, and equally many training examples of the same classes."""
    train = pictures(place, family)[0]
    asked = {name: drawn.conditions[name] for name in train.conditions}
    rows = matching_rows(train.conditions, asked)
    same = {name: ids[rows] for name, ids in train.conditions.items()}
    x = view(place.data(family)).pictures(drawn.x, drawn.lengths or [])
    return {"samples": read(place, family, x, asked), "real": read(place, family, train.x[rows], same)}


def measure(cell: Cell, place: Place, model: Model) -> dict[str, Any]:
    """Measure a model: the pairs of its conditions, and, unless they are all that is asked, everything else."""
    family, scores = FAMILIES[cell.family], as_likelihood(model)
    found: dict[str, Any] = {}
    samples = 10 if place.quick else family.samples
    if scores is not None and len(family.conditions) > 1:
        found |= of_pairs(cell, place, scores, samples)
    if cell.study == "pairs":
        return found
    data = place.data(family)
    if scores is not None:
        measured = likelihood(scores, data, place.examples(family))
        gaps = {name: value - measured.bits_per_dim for name, value in measured.swapped.items()}
        found |= {"bits": measured.bits_per_dim, "swap gap": gaps}
    found |= read_both(place, family, generate(model, data, samples, **(SAMPLING if scores is not None else {})))
    if model.encoders:
        with torch.no_grad():
            found["between maps"] = share_between_maps(model.film(every_condition(model)))
        rows = some_rows(len(data.dataset("test")), 10 if place.quick else 50)
        test = Batch(*data.dataset("test").__getitems__(rows))
        found["largest step"] = largest_step(model, test, next(iter(classifiers(place, family).values())))
    return found
