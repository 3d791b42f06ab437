"""The likelihood of held-out data under a model, and how much the model uses its conditions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
from torch import Tensor
from tqdm import tqdm

from condgen.data import Batch, Images, Speech
from condgen.data.batch import count_dims
from condgen.data.speech import SpeechSet
from condgen.models import ConditionalModel

SCORED_TOGETHER = 400_000  # samples of audio at most: the softmax of each takes a kilobyte, several times over
EVERY = 100  # classes of a model's only condition up to which an example is scored under each
SWAPS = 9  # other labels that it is scored under where there are more classes, or more conditions


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
        others: number of other labels that each of these averages over per example, and of how many there are. Where
            the two are equal, the mean is exact; else the labels are drawn.
        marginal_nats: −log Σ_y p(y) p(x | y) per example with all y equally probable; `None` unless the model's only
            condition is a class, one of 100 at most. Unlike `nats`, it is comparable with unconditional models.
        bayes_accuracy: share of examples for which the true class makes x most probable; `None` likewise.
    """

    examples: int
    nats: float
    bits_per_dim: float
    dim: str
    swapped: dict[str, float]
    others: dict[str, tuple[int, int]]
    marginal_nats: float | None
    bayes_accuracy: float | None


class Swap(NamedTuple):
    """Labels that are swapped together.

    Attributes:
        classes: number of classes per condition.
        under: number of other labels that an example is scored under.
        others: number of other labels that there are.
    """

    classes: dict[str, int]
    under: int
    others: int


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
    swaps, rng, device = _swaps(model), torch.Generator().manual_seed(0), next(model.parameters()).device
    true, other, dims = list[Tensor](), {name: list[Tensor]() for name in swaps}, 0
    for rows in tqdm(_batches(data, limit, batch_size), desc="likelihood", unit="batch", delay=2, leave=False):
        batch = Batch(*data.dataset("test").__getitems__(rows))
        x, scored = batch.x.to(device), None if batch.scored is None else batch.scored.to(device)
        own = {name: batch.conditions[name].to(device) for name in model.encoders}
        dims += count_dims(batch)
        true.append(model.log_prob(x, own, scored).double())
        for name, swap in swaps.items():
            labels = {m: other_labels(batch.conditions[m], k, swap.under, rng) for m, k in swap.classes.items()}
            each = ({m: ids[i].to(device) for m, ids in labels.items()} for i in range(swap.under))
            other[name].append(torch.stack([model.log_prob(x, {**own, **those}, scored).double() for those in each]))
    log_prob, examples = torch.cat(true), sum(map(len, true))
    per_dim, nats = examples / (dims * math.log(2)), -log_prob.mean().item()
    under_others = {name: torch.cat(parts, 1) for name, parts in other.items()}
    swapped = {name: -found.mean().item() * per_dim for name, found in under_others.items()}
    counts = {name: (swap.under, swap.others) for name, swap in swaps.items()}
    complete = len(model.encoders) == 1 and all(count == of for count, of in counts.values())
    tables = [torch.cat([log_prob[None], found]) for found in under_others.values() if complete]
    marginal, bayes = _over_classes(tables[0]) if tables else (None, None)
    return Likelihood(examples, nats, nats * per_dim, model.network.dim, swapped, counts, marginal, bayes)


def _swaps(model: ConditionalModel) -> dict[str, Swap]:
    """Choose under which other labels to score, by the name of the figure."""
    classes = {name: count for name, count in class_conditions(model).items() if count > 1}
    most = EVERY if len(model.encoders) == 1 else SWAPS + 1
    swaps = {name: Swap({name: k}, k - 1 if k <= most else SWAPS, k - 1) for name, k in classes.items()}
    if len(classes) > 1:
        swaps[" + ".join(classes)] = Swap(classes, 1, math.prod(k - 1 for k in classes.values()))
    return swaps


def _over_classes(log_probs: Tensor) -> tuple[float, float]:
    """Return the marginal in nats, and how often the true class is the most probable one.

    Args:
        log_probs: log p(x | y), (classes, examples), of the true class first.
    """
    marginal = math.log(len(log_probs)) - log_probs.logsumexp(0).mean().item()
    return marginal, (log_probs.argmax(0) == 0).double().mean().item()


def _batches(data: Images | Speech, limit: int | None, batch_size: int) -> list[list[int]]:
    """Choose rows of the test split by batch: of audio, clips of similar length together, so that little is padding."""
    dataset = data.dataset("test")
    chosen = some_rows(len(dataset), limit)
    if data.sample_rate is not None:
        lengths = cast(SpeechSet, dataset).lengths
        chosen.sort(key=lengths.tolist().__getitem__)
        batch_size = max(1, min(batch_size, SCORED_TOGETHER // int(lengths.max())))
    return [chosen[i : i + batch_size] for i in range(0, len(chosen), batch_size)]


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


def other_labels(ids: Tensor, classes: int, count: int, rng: torch.Generator) -> Tensor:
    """Give every example labels other than its own, (count, examples): all others, each once, if there are so many; or
    else drawn ones, all others equally probable."""
    if count == classes - 1:
        away = torch.arange(1, classes)[:, None]
    else:
        away = torch.randint(1, classes, (count, len(ids)), generator=rng)
    return (ids.long() + away) % classes
