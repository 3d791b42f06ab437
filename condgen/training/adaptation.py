"""A new class from a few examples: its row is learnt, and nothing else.

The class starts where others are, and its row is the one of largest posterior: the likelihood of the examples times a
normal prior around that start, as wide as the known classes differ. So one clip moves it a little and twenty move it as
far as they ask for; and steps are in units of that width, whatever the scale of the model.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.func import functional_call
from tqdm import tqdm

from condgen.conditioning import FiLMParameters
from condgen.conditioning.mechanism import WRITTEN, Mechanism
from condgen.data.batch import Batch, BatchSet, count_dims
from condgen.models import ConditionalModel

What = Literal["embedding", "film"]


@dataclass(frozen=True)
class Adaptation:
    """How a new class is learnt.

    Attributes:
        what: numbers that are learnt: the row of the class in the `embedding`, from which the heads make (γ, β); or
            `film`, an offset of every γ and β of its own, which is more free.
        steps: steps of Adam, over which the learning rate falls to 0; none for the start itself.
        learning_rate: learning rate, in units of the prior's width.
        batch_size: examples of a step, at most.
        prior: weight of the prior; 0 for none.
        seed: seed of the order of the examples and of their crops.
    """

    what: What = "embedding"
    steps: int = 60
    learning_rate: float = 0.1
    batch_size: int = 4
    prior: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("steps", 0), ("batch_size", 1), ("prior", 0)):
            if not getattr(self, name) >= least:
                raise ValueError(f"{name} {getattr(self, name)} is not at least {least}")
        if not 0 < self.learning_rate < math.inf:
            raise ValueError(f"learning_rate {self.learning_rate} is not more than 0")


class Learnt(NamedTuple):
    """What was learnt of a class.

    Attributes:
        state: entries of the FiLM generator's state that have changed, by name.
        before: bits per dimension of the examples at the start.
        after: bits per dimension at the end.
        width: mean width of the prior.
        moved: root mean square of how far the numbers moved, in units of the prior's width.
    """

    state: dict[str, Tensor]
    before: float
    after: float
    width: float
    moved: float


class Free(NamedTuple):
    """The numbers that are free: the last ones along an axis of an entry of the FiLM generator's state."""

    key: str
    entry: Tensor
    axis: int

    @property
    def start(self) -> Tensor:
        """The numbers of the class at the start."""
        return self.entry.select(self.axis, -1)

    def with_row(self, row: Tensor) -> dict[str, Tensor]:
        """Return the entry with other numbers of the class, and those of all other classes as they are."""
        others = self.entry.narrow(self.axis, 0, self.entry.shape[self.axis] - 1)
        return {self.key: torch.cat([others, row.unsqueeze(self.axis)], self.axis)}


def learn(model: ConditionalModel, condition: str, examples: BatchSet, plan: Adaptation) -> Learnt:
    """Learn the last class of a condition.

    Args:
        model: model in evaluation mode, in which the class has its start: dropout would only blur what is measured.
        condition: condition of the class.
        examples: examples of the class, with their other conditions.
        plan: way to learn.

    Raises:
        ValueError: the loss is no longer finite.
    """
    free = _free(model, condition, plan.what)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.seed)
        before, dims = _bits(model, examples, free, free.start, plan.batch_size)
        width = _width(model, condition, examples.__getitems__([0]), free, plan.what)
        u = torch.zeros_like(free.start, requires_grad=True)
        optimizer = torch.optim.Adam([u], lr=plan.learning_rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, plan.steps))
        order = _order(len(examples), plan.batch_size)
        bar = tqdm(range(plan.steps), desc=f"learning {plan.what}", unit="step", delay=2, leave=False)
        for step in bar:
            loss = _loss(model, examples.__getitems__(next(order)), free.with_row(free.start + width * u))
            if not loss.isfinite():
                raise ValueError(f"the loss is {loss.item()} at step {step}: lower the learning rate "
                                 f"(now {plan.learning_rate}), or raise the prior (now {plan.prior})")  # fmt: skip
            # Of these numbers alone: those of all others would cost as much again, and are not wanted.
            (u.grad,) = torch.autograd.grad(loss + plan.prior * u.square().sum() / (2 * dims), u)
            optimizer.step()
            schedule.step()
            bar.set_postfix_str(f"{loss.item() / math.log(2):.3f} bits per {model.network.dim}", refresh=False)
        row = (free.start + width * u).detach()
        torch.manual_seed(plan.seed)  # the same crops
        after, _ = _bits(model, examples, free, row, plan.batch_size)
    moved = u.detach().square().mean().sqrt()
    return Learnt(free.with_row(row), before, after, float(width.mean()), float(moved))


def _free(model: ConditionalModel, condition: str, what: What) -> Free:
    state = model.film_generator.state_dict()
    if what == "film":
        key = f"offsets.{condition}.numbers"
        return Free(key, state[key], 0)
    ((parameter, axis),) = model.encoders[condition].named_axes.items()
    key = f"encoders.{condition}.{parameter}"
    return Free(key, state[key], axis)


def _order(count: int, batch_size: int) -> Iterator[Sequence[int]]:
    """Go through all rows again and again, each time in another order; drawn by the global generator."""
    while True:
        for rows in torch.randperm(count).split(batch_size):
            yield rows.tolist()


def _loss(model: ConditionalModel, batch: Batch, entry: Mapping[str, Tensor]) -> Tensor:
    """Return the nats per dimension of a batch, with an entry of the FiLM generator's state replaced."""
    x, conditions, scored = _moved(model, batch)
    film: FiLMParameters = functional_call(model.film_generator, dict(entry), (conditions,))
    return -model.log_prob(x, film, scored).sum() / max(1, count_dims(batch))


def _moved(model: ConditionalModel, batch: Batch) -> Batch:
    """Move a batch to the model's device, with the conditions that the model has."""
    device = next(iter(model.parameters())).device
    own = {name: batch.conditions[name].to(device) for name in model.encoders}
    return Batch(batch.x.to(device), own, None if batch.scored is None else batch.scored.to(device))


@torch.no_grad()
def _bits(model: ConditionalModel, examples: BatchSet, free: Free, row: Tensor, batch_size: int) -> tuple[float, int]:
    """Measure the bits per dimension of all examples, and count their dimensions."""
    nats, dims = 0.0, 0
    for rows in torch.arange(len(examples)).split(batch_size):
        batch = examples.__getitems__(rows.tolist())
        count = count_dims(batch)
        nats += _loss(model, batch, free.with_row(row)).item() * count
        dims += count
    return nats / (max(1, dims) * math.log(2)), dims


@torch.no_grad()
def _width(model: ConditionalModel, condition: str, example: Batch, free: Free, what: What) -> Tensor:
    """Measure how much the known classes differ: the prior's standard deviation of each number that is free.

    Half of the variance is the number's own, half the mean over all, since the classes may be few. Where all are alike,
    or there is one alone, it is their size.
    """
    known = (model.encoders[condition].classes or 1) - 1
    if what == "embedding":
        rows = free.entry.narrow(free.axis, 0, known).movedim(free.axis, 0)
    else:
        conditions = {name: value[:1] for name, value in _moved(model, example).conditions.items()}
        ids = torch.arange(known, device=conditions[condition].device)
        rows = _global(model.film({**conditions, condition: ids}), model.film_generator.mechanisms[condition])
    spread = rows.var(0, correction=1) if known > 1 else torch.zeros_like(rows[0])
    spread = spread if spread.any() else rows.square().mean(0)
    spread = spread if spread.any() else torch.ones_like(spread)
    return ((spread + spread.mean()) / 2).sqrt()


def _global(film: FiLMParameters, mechanism: Mechanism) -> Tensor:
    """Return the FiLM parameters that a condition decides, (rows, numbers), averaged over positions."""
    parts = [pair.parts[part].flatten(2).mean(2) if pair.parts[part].ndim > 2 else pair.parts[part]
             for pair in film.values() for part in WRITTEN[mechanism]]  # fmt: skip
    return torch.cat(parts, 1)
