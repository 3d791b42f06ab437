"""The quality of a conditional model's samples: read by classifiers, compared with real examples, and used to teach.

Every figure is given beside the one for real data, since on its own it says little.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from condgen.data import Batch, Images, Labelled, Speech
from condgen.data.images import ImageSet
from condgen.evaluation.by_class import OfClass, alarms, by_class
from condgen.evaluation.classifier import ImageClassifier, train_classifier
from condgen.evaluation.distances import coverage, frechet_distance
from condgen.evaluation.likelihood import Likelihood, some_rows
from condgen.evaluation.views import view
from condgen.models.conditional import Model, as_generator
from condgen.sampling import sampler

NEIGHBOURS = 5  # k of `coverage`, which needs more examples than this


def matching_rows(available: Mapping[str, Tensor], asked: Mapping[str, Tensor]) -> list[int]:
    """For each row asked for, choose an available one with all the same classes, none twice while others are left.

    Sets whose classes have different shares differ in distribution for that reason alone.

    Args:
        available: class ids per condition, (examples,).
        asked: class ids for the same conditions, (rows,).
    """
    order = torch.randperm(
        len(next(iter(available.values()), torch.zeros(0))), generator=torch.Generator().manual_seed(0)
    )
    places: dict[tuple[int, ...], list[int]] = {}
    for i in order.tolist():
        places.setdefault(tuple(int(ids[i]) for ids in available.values()), []).append(i)
    rows = []
    for row in zip(*(asked[name].tolist() for name in available), strict=True):
        same = places.get(tuple(row)) or order.tolist()
        rows.append(same[0])
        same.append(same.pop(0))
    return rows


@dataclass(frozen=True)
class Fidelity:
    """Images read by an independent classifier, and compared with held-out real images in its features.

    Attributes:
        accuracy: share of images read as the class asked for.
        shuffled: share read as the class that another, random image was asked for, which is chance level; a model that
            ignores the class does no better.
        coverage: share of held-out real images that have one of the images nearby.
        frechet: Fréchet distance to the held-out real images.
        within: mean over classes of the Fréchet distance within a class, which reveals ignored conditions.
    """

    accuracy: float
    shuffled: float
    coverage: float
    frechet: float
    within: float


def fidelity(classifier: ImageClassifier, x: Tensor, asked: Tensor, held_out: Tensor, true: Tensor) -> Fidelity:
    """Compare images with held-out real ones.

    Args:
        classifier: classifier that reads them.
        x: levels of the images, (images, channels, height, width).
        asked: classes asked for, (images,).
        held_out: levels of real images, (held-out images, channels, height, width).
        true: classes of the real images, (held-out images,).
    """
    features, read = classifier.classify(x)
    real, _ = classifier.classify(held_out)
    others = asked[torch.randperm(len(asked), generator=torch.Generator().manual_seed(0))]
    pairs = [(real[true == label], features[asked == label]) for label in range(classifier.classes)]
    within = [frechet_distance(*pair) for pair in pairs if min(map(len, pair)) > 1]
    return Fidelity(
        (read == asked).double().mean().item(),
        (read == others).double().mean().item(),
        coverage(real, features, NEIGHBOURS),
        frechet_distance(real, features),
        sum(within) / len(within) if within else float("nan"),
    )


@dataclass(frozen=True)
class Assessment:
    """What a classifier of one kind of class reads.

    Attributes:
        classifier: classifier trained on real training data.
        names: names of the classes.
        asked_and_read: number of samples by the ids of the class asked for and the class read; none of 0.
        samples: figures of the samples, compared with held-out examples.
        floor: figures of an equal number of real *training* examples of the same classes, compared with the same
            held-out ones: the best that a model of the training data can be expected to reach.
        held_out_accuracy: share of real held-out examples that the classifier reads correctly.
        classes: figures of the samples of each class, by name.
    """

    classifier: ImageClassifier
    names: list[str]
    asked_and_read: Counter[tuple[int, int]]
    samples: Fidelity
    floor: Fidelity
    held_out_accuracy: float
    classes: dict[str, OfClass]


@dataclass(frozen=True)
class Generated:
    """Samples with the conditions of real held-out examples.

    Attributes:
        x: levels of the samples, (samples, channels, *size).
        originals: levels of the held-out examples whose conditions they have, one per sample.
        conditions: conditions of these examples, including those that the model does not use.
        lengths: lengths of audio, in samples; `None` for images.
    """

    x: Tensor
    originals: Tensor
    conditions: dict[str, Tensor]
    lengths: list[int] | None


def generate(model: Model, data: Images | Speech, num_samples: int, seed: int = 0, **options: Any) -> Generated:
    """Sample with the conditions of some held-out examples.

    Args:
        model: model in evaluation mode.
        data: data module after `setup()`.
        num_samples: number of samples, limited to the number of held-out and of training examples.
        seed: seed of sampling.
        options: further arguments of the model's sampler.
    """
    test = data.dataset("test")
    if min(num_samples, len(test)) <= NEIGHBOURS:
        raise ValueError(f"{min(num_samples, len(test))} samples or held-out examples are too few to compare: more "
                         f"than {NEIGHBOURS} are needed")  # fmt: skip
    view(data)  # fails before any long work if a classifier cannot read the data
    chosen = some_rows(len(test), min(num_samples, len(test), len(data.dataset("train"))))
    held_out = Batch(*test.__getitems__(chosen))
    x, lengths = sample_like(model, held_out, seed, **options)
    return Generated(x, held_out.x, held_out.conditions, lengths)


def sample_like(model: Model, real: Batch, seed: int, **options: Any) -> tuple[Tensor, list[int] | None]:
    """Draw a sample with the conditions of each real example; return levels and, for audio, lengths."""
    own = {name: real.conditions[name] for name in model.encoders}
    lengths = None if real.scored is None else real.scored.sum(1).tolist()
    generator = as_generator(model)
    if generator is None:
        options = {**options, "length": lengths}
    elif lengths is not None:
        lengths = [generator.network.shape[-1]] * len(lengths)
    # Without conditions there is one row only, unless lengths make rows.
    count = 1 if own or options.get("length") else len(real.x)
    return sampler(model)(model, own, num_samples=count, seed=seed, **options).x.cpu(), lengths


def train_classifiers(data: Images | Speech, steps: int, seed: int) -> dict[str, ImageClassifier]:
    """Train a classifier for each kind of class that the training data have, on real training data.

    There is one whether or not a model is conditioned on it: samples of an unconditional model are read at chance
    level, but their coverage and distance still count. A kind with a single class is left out, since reading it is
    trivial.
    """
    seen = view(data)
    train, kinds = seen.split("train"), {n: len(names) for n, names in data.names.items() if len(names) > 1}
    known = train.images.conditions
    return {n: train_classifier(train, seen.levels, n, kinds[n], steps, seed) for n in kinds if n in known}


def assess(
    generated: Generated, data: Images | Speech, classifiers: Mapping[str, ImageClassifier]
) -> dict[str, Assessment]:
    """Let classifiers read samples, an equal number of training examples of the same classes, and held-out examples."""
    seen, asked = view(data), generated.conditions
    train, held_out = seen.split("train"), seen.split("test").images
    pictures = seen.pictures(generated.x, generated.lengths or [])
    # Training examples as the model saw them: binarized if that happens on the fly.
    known = train.images.conditions
    real, classes, _ = train.__getitems__(matching_rows(known, {name: asked[name] for name in known}))
    assessments = {}
    for name, classifier in classifiers.items():
        if name not in held_out.conditions:
            continue
        true = held_out.conditions[name]
        read = classifier.classify(pictures)[1].tolist()
        assessments[name] = Assessment(
            classifier,
            data.names[name],
            Counter(zip(asked[name].tolist(), read, strict=True)),
            fidelity(classifier, pictures, asked[name], held_out.x, true),
            fidelity(classifier, real, classes[name], held_out.x, true),
            classifier.accuracy(held_out.x, true),
            by_class(classifier, pictures, asked[name], held_out.x, true, data.names[name]),
        )
    return assessments


@dataclass(frozen=True)
class Lesson:
    """A classifier that has seen only samples reads real held-out examples ("GAN-train").

    Samples that miss modes, or ignore their class, teach little, however good each one looks.

    Source: Shmelkov et al., "How good is my GAN?", 2018; Ravuri and Vinyals, "Classification Accuracy Score for
    Conditional Generative Models", 2019.

    Attributes:
        count: number of samples that it was trained on.
        accuracy: share of held-out examples that it reads correctly.
        real_accuracy: same share for a classifier trained in the same way on an equal number of real training examples.
    """

    count: int
    accuracy: float
    real_accuracy: float


def teach(
    model: Model | None,
    data: Images | Speech,
    count: int,
    seed: int = 0,
    classifier_steps: int = 1000,
    **options: Any,
) -> dict[str, float]:
    """Train a classifier for each kind of class on samples only, and let it read real held-out examples.

    Args:
        model: model that draws samples with the conditions of training examples; `None` to teach with these examples
            themselves.
        data: data module after `setup()`.
        count: number of samples, limited to the number of training examples.
        seed: seed of sampling and of the classifiers.
        classifier_steps: training steps of each classifier.
        options: further arguments of the model's sampler.

    Returns:
        The share of held-out examples that is read correctly, by kind of class.
    """
    seen = view(data)
    train, held_out = seen.split("train"), seen.split("test").images
    rows = some_rows(len(train), count)
    ids = {name: values[rows] for name, values in train.images.conditions.items()}
    images = ImageSet(Labelled(train.images.x[rows], ids, train.images.binarize))
    if model is not None:
        x, lengths = sample_like(model, Batch(*data.dataset("train").__getitems__(rows)), seed + 1, **options)
        images = ImageSet(Labelled(seen.pictures(x, lengths or []), ids))
    accuracy = {}
    for name, names in data.names.items():
        if len(names) > 1 and name in ids and name in held_out.conditions:
            pupil = train_classifier(images, seen.levels, name, len(names), classifier_steps, seed)
            accuracy[name] = pupil.accuracy(held_out.x, held_out.conditions[name])
    return accuracy


def _by_name(found: Assessment) -> dict[str, dict[str, int]]:
    """Return how often each class was read, by name, for each that was asked for."""
    counts: dict[str, dict[str, int]] = {}
    for (asked, read), count in sorted(found.asked_and_read.items()):
        counts.setdefault(found.names[asked], {})[found.names[read]] = count
    return counts


def mean_of(figures: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the mean of each figure."""
    return {name: sum(each[name] for each in figures) / len(figures) for name in figures[0]}


def summary(
    measured: Likelihood | None,
    assessments: Sequence[Mapping[str, Assessment]],
    lessons: Mapping[str, Lesson] | None = None,
) -> dict[str, Any]:
    """Convert all figures to plain data for report.json.

    Args:
        measured: likelihood of held-out examples; `None` where the model has none.
        assessments: readings of the samples, for each time that they were drawn, by kind of class. Figures are means
            over these; counts, and figures by class, are of the first.
        lessons: lessons that the samples have taught, by kind of class.
    """
    report: dict[str, Any] = {}
    if measured is not None:
        gaps = {name: bits - measured.bits_per_dim for name, bits in measured.swapped.items()}
        report["likelihood"] = {**asdict(measured), "swap_gap": gaps}
    report["samples"] = {
        name: {
            "count": found.asked_and_read.total(),
            **mean_of(drawn := [asdict(assessed[name].samples) for assessed in assessments]),
            "samplings": drawn,
            "held_out_accuracy": found.held_out_accuracy,
            "floor": asdict(found.floor),
            "asked_and_read": _by_name(found),
            "by_class": {label: asdict(figures) for label, figures in found.classes.items()},
            "alarms": list(alarms(name, found.classes).values()),
        }
        for name, found in (assessments[0].items() if assessments else ())
    }
    for name, lesson in (lessons or {}).items():
        report["samples"][name]["lesson"] = asdict(lesson)
    return report
