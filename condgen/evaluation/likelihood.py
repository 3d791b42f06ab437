"""What a likelihood model is worth on held-out data, and how much it uses its conditions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor
from tqdm import tqdm

from condgen.data import Batch, Images, Speech
from condgen.data.batch import count_dims
from condgen.data.speech import SpeechSet
from condgen.models import ConditionalModel

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
    if data.sample_rate is not None:  # clips of like length together, so that little is padding
        lengths = cast(SpeechSet, dataset).lengths
        chosen.sort(key=lengths.tolist().__getitem__)
        batch_size = max(1, min(batch_size, SCORED_TOGETHER // int(lengths.max())))
    classes = class_conditions(model)
    only = next(iter(classes)) if len(model.encoders) == 1 and classes else None
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
        own = {name: batch.conditions[name].to(device) for name in model.encoders}
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


def class_conditions(model: ConditionalModel) -> dict[str, int]:
    """List the model's class conditions with their numbers of classes."""
    return {name: encoder.classes for name, encoder in model.encoders.items() if encoder.classes is not None}


def swap_labels(ids: Tensor, classes: int, generator: torch.Generator) -> Tensor:
    """Give every example a class other than its own, each of the others alike probable."""
    return (ids + 1 + torch.randint(classes - 1, ids.shape, generator=generator)) % classes if classes > 1 else ids
