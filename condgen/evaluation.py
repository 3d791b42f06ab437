"""What a conditional image model is worth: likelihood, use of its condition, and its samples read by others.

Every figure stands beside the one that real data gets, since alone it says little.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from condgen.classifier import ImageClassifier, train_classifier
from condgen.conditioning import ClassEmbedding
from condgen.data import Batch, Images, Speech
from condgen.data.batch import count_dims
from condgen.data.speech import SpeechSet
from condgen.metrics import coverage, frechet_distance
from condgen.models import ConditionalModel
from condgen.sampling import sample
from condgen.views import view

NEIGHBOURS = 5  # of `coverage`, and so the fewest examples less one
SCORED_TOGETHER = 400_000  # samples of audio at the most: the softmax of each takes a kilobyte, several times


@dataclass(frozen=True)
class Likelihood:
    """Likelihood of a split under a model; averages over all its examples.

    Attributes:
        examples: how many.
        nats: −log p(x | conditions) per example.
        bits_per_dim: the same per dimension (a channel of a pixel, or a sample of audio), in bits.
        dim: what a dimension is called.
        swapped: per class condition, bits per dimension with each label swapped for another one; and, where there are
            several, with all of them swapped at once (`speaker + digit`).
        marginal_nats: −log Σ_y p(y) p(x | y) per example with all y alike probable; `None` where the model's one
            condition is not a class. Unlike `nats` it compares with unconditional models.
        bayes_accuracy: share of examples for which the true class makes x most probable.
    """

    examples: int
    nats: float
    bits_per_dim: float
    dim: str
    swapped: dict[str, float]
    marginal_nats: float | None
    bayes_accuracy: float | None


@torch.inference_mode()
def likelihood(
    model: ConditionalModel, data: Images | Speech, limit: int | None = None, batch_size: int = 100
) -> Likelihood:
    """Measure likelihood and the label-swap gap on the test split.

    Args:
        model: in evaluation mode.
        data: after `setup("test")`.
        limit: use only so many examples, chosen by a fixed seed.
        batch_size: examples scored together.
    """
    dataset = data.dataset("test")
    chosen = some_rows(len(dataset), limit)
    if isinstance(dataset, SpeechSet):  # clips of like length together, so that little is padding
        chosen.sort(key=dataset.lengths.tolist().__getitem__)
        batch_size = max(1, min(batch_size, SCORED_TOGETHER // int(dataset.lengths.max())))
    classes = class_conditions(model)
    only = next(iter(classes)) if len(model.generator.encoders) == 1 and classes else None
    groups = {name: [name] for name in classes} | ({" + ".join(classes): list(classes)} if len(classes) > 1 else {})
    generator = torch.Generator().manual_seed(0)
    device = next(model.parameters()).device
    true: list[Tensor] = []
    swapped: dict[str, list[Tensor]] = {name: [] for name in groups}
    table: list[Tensor] = []
    labels: list[Tensor] = []
    dims = 0
    for start in tqdm(range(0, len(chosen), batch_size), desc="likelihood", delay=2, leave=False):
        batch = Batch(*dataset.__getitems__(chosen[start : start + batch_size]))
        x, scored = batch.x.to(device), None if batch.scored is None else batch.scored.to(device)
        own = {name: batch.conditions[name].to(device) for name in model.generator.encoders}
        dims += count_dims(batch)
        true.append(model.log_prob(x, own, scored))
        for name, members in groups.items():
            others = {m: swap_labels(batch.conditions[m], classes[m], generator).to(device) for m in members}
            swapped[name].append(model.log_prob(x, {**own, **others}, scored))
        if only:
            every = [torch.full_like(own[only], label) for label in range(classes[only])]
            table.append(torch.stack([model.log_prob(x, {only: ids}, scored) for ids in every], dim=1))
            labels.append(own[only])
    per_dim = len(chosen) / (dims * math.log(2))
    nats = {name: -torch.cat(parts).double().mean().item() for name, parts in {**swapped, "": true}.items()}
    marginal = bayes = None
    if only:
        log_probs = torch.cat(table).double()
        marginal = -(log_probs.logsumexp(1) - math.log(log_probs.shape[1])).mean().item()
        bayes = (log_probs.argmax(1) == torch.cat(labels)).double().mean().item()
    own_nats = nats.pop("")
    bits = {name: value * per_dim for name, value in nats.items()}
    return Likelihood(len(chosen), own_nats, own_nats * per_dim, model.network.dim, bits, marginal, bayes)


def some_rows(available: int, count: int | None) -> list[int]:
    """Choose rows by a fixed seed, all of them where `count` is `None`: files may come class by class.

    Raises:
        ValueError: `count` is less than 1.
    """
    if count is not None and count < 1:
        raise ValueError(f"{count} examples are not at least 1")
    return torch.randperm(available, generator=torch.Generator().manual_seed(0))[:count].tolist()


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


def class_conditions(model: ConditionalModel) -> dict[str, int]:
    """List the model's class conditions with their numbers of classes."""
    return {n: len(e.names) for n, e in model.generator.encoders.items() if isinstance(e, ClassEmbedding)}


def swap_labels(ids: Tensor, classes: int, generator: torch.Generator) -> Tensor:
    """Give every example a class other than its own, each of the others alike probable."""
    return (ids + 1 + torch.randint(classes - 1, ids.shape, generator=generator)) % classes if classes > 1 else ids


@dataclass(frozen=True)
class Fidelity:
    """Images read by an independent classifier, and compared with held-out real images in its features.

    Attributes:
        accuracy: share of images read as the class asked for.
        coverage: share of held-out real images near which one of the images lies.
        frechet: Fréchet distance to the held-out real images.
    """

    accuracy: float
    coverage: float
    frechet: float


def fidelity(classifier: ImageClassifier, x: Tensor, asked: Tensor, held_out: Tensor) -> Fidelity:
    """Compare images, (images, channels, height, width) of levels, with held-out real ones, of the same shape."""
    features, read = classifier.read(x)
    real, _ = classifier.read(held_out)
    return Fidelity((read == asked).double().mean().item(), coverage(real, features), frechet_distance(real, features))


@dataclass(frozen=True)
class Generated:
    """Samples with the conditions of real held-out examples, and how they compare with real ones.

    Attributes:
        x: samples, (samples, channels, *size) of levels.
        originals: the held-out examples whose conditions they have, shaped alike.
        conditions: theirs, also those that the model does not use.
        lengths: theirs, of audio.
        asked_and_read: per class of the data, counts (classes asked, classes read).
        samples: the samples against held-out examples, in the features of a classifier of each kind of class.
        floor: as many real *training* examples of the same classes against the same held-out ones: the best that a
            model of the training data can be expected to get.
        held_out_accuracy: what each classifier reads on real held-out examples.
        classifiers: that read them.
    """

    x: Tensor
    originals: Tensor
    conditions: dict[str, Tensor]
    lengths: list[int] | None
    asked_and_read: dict[str, Tensor]
    samples: dict[str, Fidelity]
    floor: dict[str, Fidelity]
    held_out_accuracy: dict[str, float]
    classifiers: dict[str, ImageClassifier]


def generate(
    model: ConditionalModel,
    data: Images | Speech,
    num_samples: int,
    seed: int = 0,
    classifier_steps: int = 1000,
    **options: Any,
) -> Generated:
    """Sample with the conditions of some held-out examples, and let independent classifiers read the samples.

    There is a classifier for each kind of class that the data has, whether or not the model is conditioned on it: an
    unconditional model reads at chance, and its coverage and distance count all the same.

    Args:
        model: in evaluation mode.
        data: after `setup()`.
        num_samples: how many; at most as many as there are held-out and training examples.
        seed: of sampling and of the classifiers.
        classifier_steps: training steps of each classifier.
        options: further arguments of `condgen.sampling.sample`.
    """
    test = data.dataset("test")
    if min(num_samples, len(test)) <= NEIGHBOURS:
        raise ValueError(f"{min(num_samples, len(test))} samples or held-out examples are too few to compare: over "
                         f"{NEIGHBOURS} are needed")  # fmt: skip
    view(data)  # before anything long, whether a classifier can look at the data
    chosen = some_rows(len(test), min(num_samples, len(test), len(data.dataset("train"))))
    held_out = Batch(*test.__getitems__(chosen))
    own = {name: held_out.conditions[name] for name in model.generator.encoders}
    lengths = None if held_out.scored is None else held_out.scored.sum(1).tolist()
    x = sample(model, own, num_samples=len(chosen), length=lengths, seed=seed, **options).x.cpu()
    result = Generated(x, held_out.x, held_out.conditions, lengths, {}, {}, {}, {}, {})
    read(result, data, classifier_steps, seed)
    return result


def read(result: Generated, data: Images | Speech, classifier_steps: int, seed: int) -> None:
    """Train a classifier for each kind of class, and enter what they read."""
    seen, asked = view(data), result.conditions
    train, held_out = seen.split("train"), seen.split("test").images
    drawn = seen.drawn(result.x, result.lengths or [])
    # Training examples as the model saw them: binarized where that happens on the fly.
    known = train.images.conditions
    real, conditions, _ = train.__getitems__(matching_rows(known, {name: asked[name] for name in known}))
    for name, names in data.names.items():
        if name not in held_out.conditions:
            continue
        if len(names) < 2:
            continue  # a single class is read right by anyone
        if name not in result.classifiers:
            result.classifiers[name] = train_classifier(train, seen.levels, name, len(names), classifier_steps, seed)
        classifier = result.classifiers[name]
        counts = torch.zeros(len(names), len(names), dtype=torch.long)
        place = (asked[name], classifier.read(drawn)[1])
        result.asked_and_read[name] = counts.index_put(place, torch.tensor(1), accumulate=True)
        result.samples[name] = fidelity(classifier, drawn, asked[name], held_out.x)
        result.floor[name] = fidelity(classifier, real, conditions[name], held_out.x)
        result.held_out_accuracy[name] = classifier.accuracy(held_out.x, held_out.conditions[name])


def summary(measured: Likelihood | None, generated: Generated | None) -> dict[str, Any]:
    """Put all figures into plain data for report.json."""
    report: dict[str, Any] = {}
    if measured is not None:
        report["likelihood"] = {**measured.__dict__, "swap_gap": _gaps(measured)}
    if generated is not None:
        report["samples"] = {
            name: {
                "count": len(generated.x),
                **generated.samples[name].__dict__,
                "held_out_accuracy": generated.held_out_accuracy[name],
                "floor": generated.floor[name].__dict__,
                "asked_and_read": generated.asked_and_read[name].tolist(),
            }
            for name in generated.samples
        }
    return report


def _gaps(measured: Likelihood) -> Mapping[str, float]:
    return {name: bits - measured.bits_per_dim for name, bits in measured.swapped.items()}
