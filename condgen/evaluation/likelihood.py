"""The likelihood of held-out data under a model, and how much the model uses its conditions."""

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

SCORED_TOGETHER = 400_000  # samples of audio at most: the softmax of each takes a kilobyte, several times over


@dataclass(frozen=True)
class Likelihood:
    """Likelihood of a split under a model; averages over all its examples.

    Attributes:
        examples: number of examples.
        nats: −log p(x | conditions) per example.
        bits_per_dim: −log₂ p(x | conditions) per dimension (a channel of a pixel, or a sample of audio).
        dim: name of a dimension: `dim` or `sample`.
        swapped: bits per dimension with each label swapped for another one, per class condition; and, if there are
            several, with all of them swapped at once (`speaker + digit`).
        marginal_nats: −log Σ_y p(y) p(x | y) per example with all y equally probable; `None` unless the model's only
            condition is a class. Unlike `nats`, it is comparable with unconditional models.
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
        model: model in evaluation mode.
        data: data module after `setup("test")`.
        limit: number of examples to use, chosen by a fixed seed; `None` for all.
        batch_size: examples scored together.
    """
    dataset = data.dataset("test")
    chosen = some_rows(len(dataset), limit)
    if data.sample_rate is not None:  # clips of similar length together, so that little is padding
        lengths = cast(SpeechSet, dataset).lengths
        chosen.sort(key=lengths.tolist().__getitem__)
        batch_size = max(1, min(batch_size, SCORED_TOGETHER // int(lengths.max())))
    classes = class_conditions(model)
    only = next(iter(classes)) if len(model.encoders) == 1 and classes else None
    groups = {name: [name] for name in classes} | ({" + ".join(classes): list(classes)} if len(classes) > 1 else {})
    rng = torch.Generator().manual_seed(0)
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
            others = {m: swap_labels(batch.conditions[m], classes[m], rng).to(device) for m in members}
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
    """Choose rows by a fixed seed, since files may be ordered by class; all of them if `count` is `None`.

    Raises:
        ValueError: `count` is less than 1.
    """
    if count is not None and count < 1:
        raise ValueError(f"{count} examples are too few: at least 1 is needed")
    return torch.randperm(available, generator=torch.Generator().manual_seed(0))[:count].tolist()


def class_conditions(model: ConditionalModel) -> dict[str, int]:
    """List the model's class conditions with their numbers of classes."""
    return {name: encoder.classes for name, encoder in model.encoders.items() if encoder.classes is not None}


def swap_labels(ids: Tensor, classes: int, rng: torch.Generator) -> Tensor:
    """Give every example a class other than its own, with all others equally probable."""
    return (ids + 1 + torch.randint(classes - 1, ids.shape, generator=rng)) % classes if classes > 1 else ids
