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
from condgen.data.images import Images, Labelled
from condgen.metrics import coverage, frechet_distance
from condgen.models import ConditionalModel
from condgen.sampling import sample


@dataclass(frozen=True)
class Likelihood:
    """Likelihood of a split under a model; averages over all its examples.

    Attributes:
        examples: how many.
        nats: −log p(x | conditions) per example.
        bits_per_dim: the same per channel and pixel, in bits.
        swapped: per class condition, bits per dim with each label swapped for another one.
        marginal_nats: −log Σ_y p(y) p(x | y) per example with all y alike probable; `None` where the model's one
            condition is not a class. Unlike `nats` it compares with unconditional models.
        bayes_accuracy: share of examples for which the true class makes x most probable.
    """

    examples: int
    nats: float
    bits_per_dim: float
    swapped: dict[str, float]
    marginal_nats: float | None
    bayes_accuracy: float | None


@torch.inference_mode()
def likelihood(model: ConditionalModel, data: Images, limit: int | None = None, batch_size: int = 100) -> Likelihood:
    """Measure likelihood and the label-swap gap on the test split.

    Args:
        model: in evaluation mode.
        data: after `setup("test")`.
        limit: use only so many examples, chosen by a fixed seed.
        batch_size: examples scored together.
    """
    dataset = data.dataset("test")
    chosen = some_rows(len(dataset), limit)
    count = len(chosen)
    classes = class_conditions(model)
    only = next(iter(classes)) if len(model.generator.encoders) == 1 and classes else None
    generator = torch.Generator().manual_seed(0)
    device = next(model.parameters()).device
    true: list[Tensor] = []
    swapped: dict[str, list[Tensor]] = {name: [] for name in classes}
    table: list[Tensor] = []
    for start in tqdm(range(0, count, batch_size), desc="likelihood", delay=2, leave=False):
        x, conditions = dataset.__getitems__(chosen[start : start + batch_size])
        x = x.to(device)
        own = {name: conditions[name].to(device) for name in model.generator.encoders}
        true.append(model.log_prob(x, own))
        for name, number in classes.items():
            other = swap_labels(conditions[name], number, generator).to(device)
            swapped[name].append(model.log_prob(x, {**own, name: other}))
        if only:
            labels = [torch.full_like(own[only], label) for label in range(classes[only])]
            table.append(torch.stack([model.log_prob(x, {only: ids}) for ids in labels], dim=1))
    nats = -torch.cat(true).double().mean().item()
    per_dim = 1 / (math.prod(data.shape) * math.log(2))
    marginal = bayes = None
    if only:
        log_probs = torch.cat(table).double().cpu()
        marginal = -(log_probs.logsumexp(1) - math.log(log_probs.shape[1])).mean().item()
        bayes = (log_probs.argmax(1) == dataset.images.conditions[only][chosen]).double().mean().item()
    gaps = {name: -torch.cat(parts).double().mean().item() * per_dim for name, parts in swapped.items()}
    return Likelihood(count, nats, nats * per_dim, gaps, marginal, bayes)


def some_rows(available: int, count: int | None) -> list[int]:
    """Choose rows by a fixed seed, all of them where `count` is `None`: files may come class by class.

    Raises:
        ValueError: `count` is less than 1.
    """
    if count is not None and count < 1:
        raise ValueError(f"{count} examples are not at least 1")
    return torch.randperm(available, generator=torch.Generator().manual_seed(0))[:count].tolist()


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
        x: samples, (samples, channels, height, width) of levels.
        conditions: theirs.
        asked_and_read: per class of the data, counts (classes asked, classes read).
        samples: the samples against held-out images, in the features of a classifier of each kind of class.
        floor: as many real *training* images against the same held-out images: the best that a model of the training
            data can be expected to get.
        held_out_accuracy: what each classifier reads on real held-out images.
    """

    x: Tensor
    conditions: dict[str, Tensor]
    asked_and_read: dict[str, Tensor]
    samples: dict[str, Fidelity]
    floor: dict[str, Fidelity]
    held_out_accuracy: dict[str, float]


def generate(
    model: ConditionalModel, data: Images, num_samples: int, seed: int = 0, classifier_steps: int = 1000, **options: Any
) -> Generated:
    """Sample with the conditions of some held-out examples, and let independent classifiers read the samples.

    There is a classifier for each kind of class that the data has, whether or not the model is conditioned on it: an
    unconditional model reads at chance, and its coverage and distance count all the same.

    Args:
        model: in evaluation mode.
        data: after `setup()`.
        num_samples: how many; at most as many as there are held-out and training images.
        seed: of sampling and of the classifiers.
        classifier_steps: training steps of each classifier.
        options: further arguments of `condgen.sampling.sample`.
    """
    held_out, train = data.splits["test"], data.splits["train"]
    chosen = some_rows(len(held_out.x), min(num_samples, len(held_out.x), len(train.x)))
    _, asked = data.dataset("test").__getitems__(chosen)
    own = {name: asked[name] for name in model.generator.encoders}
    x = sample(model, own, num_samples=len(chosen), seed=seed, **options).x.cpu()
    # Training images as the model saw them: binarized where that happens on the fly.
    real = Labelled(*data.dataset("train").__getitems__(some_rows(len(train.x), len(chosen))))
    result = Generated(x, own, {}, {}, {}, {})
    for name in held_out.conditions:
        classes = len(data.names[name])
        classifier = train_classifier(data.dataset("train"), data.levels, name, classes, classifier_steps, seed)
        counts, place = torch.zeros(classes, classes, dtype=torch.long), (asked[name], classifier.read(x)[1])
        result.asked_and_read[name] = counts.index_put(place, torch.tensor(1), accumulate=True)
        result.samples[name] = fidelity(classifier, x, asked[name], held_out.x)
        result.floor[name] = fidelity(classifier, real.x, real.conditions[name], held_out.x)
        result.held_out_accuracy[name] = classifier.accuracy(held_out.x, held_out.conditions[name])
    return result


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
