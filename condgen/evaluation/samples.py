"""What a conditional model's samples are worth: read by classifiers, compared with real examples, and as lessons.

Every figure stands beside the one that real data gets, since alone it says little.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from condgen.data import Batch, Images, Labelled, Speech
from condgen.data.images import ImageSet
from condgen.evaluation.classifier import ImageClassifier, train_classifier
from condgen.evaluation.distances import coverage, frechet_distance
from condgen.evaluation.likelihood import Likelihood, some_rows
from condgen.evaluation.views import view
from condgen.models.conditional import Model, as_generator
from condgen.sampling import sampler

NEIGHBOURS = 5  # of `coverage`, and so the fewest examples less one


def matching_rows(available: Mapping[str, Tensor], asked: Mapping[str, Tensor]) -> list[int]:
    """Choose for each row asked for an available one with all the same classes, none twice while others are left.

    Sets that differ in their classes' shares differ in distribution for that alone.

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
        shuffled: share read as the class that another, random image was asked for: chance, unless images heed no class.
        coverage: share of held-out real images near which one of the images lies.
        frechet: Fréchet distance to the held-out real images.
        within: mean over classes of the Fréchet distance within a class, which lost conditions cannot hide from.
    """

    accuracy: float
    shuffled: float
    coverage: float
    frechet: float
    within: float


def fidelity(classifier: ImageClassifier, x: Tensor, asked: Tensor, held_out: Tensor, true: Tensor) -> Fidelity:
    """Compare images with held-out real ones.

    Args:
        classifier: that reads them.
        x: (images, channels, height, width) of levels.
        asked: their classes, (images,).
        held_out: real images, shaped alike.
        true: their classes, (held-out images,).
    """
    features, read = classifier.read(x)
    real, _ = classifier.read(held_out)
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
class Reading:
    """What a classifier of one kind of class reads.

    Attributes:
        classifier: trained on real training data.
        asked_and_read: counts, (classes asked, classes read).
        samples: the samples against held-out examples, in the classifier's features.
        floor: as many real *training* examples of the same classes against the same held-out ones: the best that a
            model of the training data can be expected to get.
        held_out_accuracy: what it reads in real held-out examples.
    """

    classifier: ImageClassifier
    asked_and_read: Tensor
    samples: Fidelity
    floor: Fidelity
    held_out_accuracy: float


@dataclass(frozen=True)
class Generated:
    """Samples with the conditions of real held-out examples.

    Attributes:
        x: samples, (samples, channels, *size) of levels.
        originals: the held-out examples whose conditions they have, shaped alike.
        conditions: theirs, also those that the model does not use.
        lengths: of audio, in samples.
    """

    x: Tensor
    originals: Tensor
    conditions: dict[str, Tensor]
    lengths: list[int] | None


def generate(model: Model, data: Images | Speech, num_samples: int, seed: int = 0, **options: Any) -> Generated:
    """Sample with the conditions of some held-out examples.

    Args:
        model: in evaluation mode.
        data: after `setup()`.
        num_samples: how many; at most as many as there are held-out and training examples.
        seed: of sampling.
        options: further arguments of the model's sampler.
    """
    test = data.dataset("test")
    if min(num_samples, len(test)) <= NEIGHBOURS:
        raise ValueError(f"{min(num_samples, len(test))} samples or held-out examples are too few to compare: over "
                         f"{NEIGHBOURS} are needed")  # fmt: skip
    view(data)  # before anything long, whether a classifier can look at the data
    chosen = some_rows(len(test), min(num_samples, len(test), len(data.dataset("train"))))
    held_out = Batch(*test.__getitems__(chosen))
    x, lengths = draw_like(model, held_out, seed, **options)
    return Generated(x, held_out.x, held_out.conditions, lengths)


def draw_like(model: Model, real: Batch, seed: int, **options: Any) -> tuple[Tensor, list[int] | None]:
    """Draw a sample with the conditions of each real example; return levels and, of audio, lengths."""
    own = {name: real.conditions[name] for name in model.encoders}
    lengths = None if real.scored is None else real.scored.sum(1).tolist()
    generator = as_generator(model)
    if generator is None:
        options = {**options, "length": lengths}
    elif lengths is not None:
        lengths = [generator.network.shape[-1]] * len(lengths)
    return sampler(model)(model, own, num_samples=len(real.x), seed=seed, **options).x.cpu(), lengths


def train_classifiers(data: Images | Speech, steps: int, seed: int) -> dict[str, ImageClassifier]:
    """Train a classifier for each kind of class that the training data have, on real training data.

    There is one whether or not a model is conditioned on it: an unconditional model reads at chance, and its coverage
    and distance count all the same. A kind with a single class is left out: anyone reads it right.
    """
    seen = view(data)
    train, kinds = seen.split("train"), {n: len(names) for n, names in data.names.items() if len(names) > 1}
    known = train.images.conditions
    return {n: train_classifier(train, seen.levels, n, kinds[n], steps, seed) for n in kinds if n in known}


def read(generated: Generated, data: Images | Speech, classifiers: Mapping[str, ImageClassifier]) -> dict[str, Reading]:
    """Let classifiers read samples, as many training examples of the same classes, and held-out examples."""
    seen, asked = view(data), generated.conditions
    train, held_out = seen.split("train"), seen.split("test").images
    drawn = seen.drawn(generated.x, generated.lengths or [])
    # Training examples as the model saw them: binarized where that happens on the fly.
    known = train.images.conditions
    real, classes, _ = train.__getitems__(matching_rows(known, {name: asked[name] for name in known}))
    readings = {}
    for name, classifier in classifiers.items():
        if name not in held_out.conditions:
            continue
        true = held_out.conditions[name]
        counts = torch.zeros(classifier.classes, classifier.classes, dtype=torch.long)
        place = (asked[name], classifier.read(drawn)[1])
        readings[name] = Reading(
            classifier,
            counts.index_put(place, torch.tensor(1), accumulate=True),
            fidelity(classifier, drawn, asked[name], held_out.x, true),
            fidelity(classifier, real, classes[name], held_out.x, true),
            classifier.accuracy(held_out.x, true),
        )
    return readings


@dataclass(frozen=True)
class Lesson:
    """A classifier that has seen samples alone reads real held-out examples ("GAN-train").

    Samples that miss modes, or do not heed their class, teach little, however good each looks.

    Source: Shmelkov et al., "How good is my GAN?", 2018; Ravuri and Vinyals, "Classification Accuracy Score for
    Conditional Generative Models", 2019.

    Attributes:
        count: samples that it was trained on.
        accuracy: share of held-out examples that it reads right.
        real_accuracy: the same for a classifier of the same recipe trained on as many real training examples.
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
    """Train a classifier of each kind of class on samples alone, and let it read real held-out examples.

    Args:
        model: draws samples with the conditions of training examples; `None` to teach with these examples themselves.
        data: after `setup()`.
        count: how many; at most as many as there are training examples.
        seed: of sampling and of the classifiers.
        classifier_steps: training steps of each classifier.
        options: further arguments of the model's sampler.

    Returns:
        The share of held-out examples that is read right, by kind of class.
    """
    seen = view(data)
    train, held_out = seen.split("train"), seen.split("test").images
    rows = some_rows(len(train), count)
    ids = {name: values[rows] for name, values in train.images.conditions.items()}
    images = ImageSet(Labelled(train.images.x[rows], ids, train.images.binarize))
    if model is not None:
        x, lengths = draw_like(model, Batch(*data.dataset("train").__getitems__(rows)), seed + 1, **options)
        images = ImageSet(Labelled(seen.drawn(x, lengths or []), ids))
    accuracy = {}
    for name, names in data.names.items():
        if len(names) > 1 and name in ids and name in held_out.conditions:
            pupil = train_classifier(images, seen.levels, name, len(names), classifier_steps, seed)
            accuracy[name] = pupil.accuracy(held_out.x, held_out.conditions[name])
    return accuracy


def summary(
    measured: Likelihood | None, readings: Mapping[str, Reading], lessons: Mapping[str, Lesson] | None = None
) -> dict[str, Any]:
    """Put all figures into plain data for report.json."""
    report: dict[str, Any] = {}
    if measured is not None:
        gaps = {name: bits - measured.bits_per_dim for name, bits in measured.swapped.items()}
        report["likelihood"] = {**asdict(measured), "swap_gap": gaps}
    report["samples"] = {
        name: {
            "count": int(found.asked_and_read.sum()),
            **asdict(found.samples),
            "held_out_accuracy": found.held_out_accuracy,
            "floor": asdict(found.floor),
            "asked_and_read": found.asked_and_read.tolist(),
        }
        for name, found in readings.items()
    }
    for name, lesson in (lessons or {}).items():
        report["samples"][name]["lesson"] = asdict(lesson)
    return report
