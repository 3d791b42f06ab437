"""The order of training and all that is random about fetching an example: decided by a seed and the epoch, so that a
resumed run continues where it stopped, and several processes see what one would."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any
from zlib import crc32

import numpy as np
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from condgen.data.batch import Batch

Order = Callable[[torch.Generator], Sequence[int]]


class SeededRow(int):
    """The number of a row with the seed of all that is random about fetching it.

    Attributes:
        seed: seed.
    """

    seed: int

    def __new__(cls, row: int, seed: int) -> SeededRow:
        own = super().__new__(cls, row)
        own.seed = seed
        return own

    def __reduce__(self) -> tuple[type[SeededRow], tuple[int, int]]:  # to go to a loading process
        return SeededRow, (int(self), self.seed)


def generator_of(row: int, purpose: str) -> torch.Generator | None:
    """Return the random numbers of a row for one purpose; PyTorch's own, `None`, where the row has no seed.

    Args:
        row: row, a `SeededRow` in training.
        purpose: word for what is drawn; different words have different numbers.
    """
    if not isinstance(row, SeededRow):
        return None
    return torch.Generator().manual_seed(row.seed ^ crc32(purpose.encode()))


def beside(row: int, other: int) -> int:
    """Return another row, with the seed of the row that it is fetched for if that has one."""
    return SeededRow(other, row.seed) if isinstance(row, SeededRow) else other


def shuffled(rows: int) -> Order:
    """Return the order in which all rows are shuffled."""
    return lambda rng: torch.randperm(rows, generator=rng).tolist()


class TrainingRows(DistributedSampler[int]):
    """Rows of an epoch in an order that (seed, epoch) decides. The trainer sets the epoch.

    Several processes share each batch of one process with as many times the batch size, each a stretch of it; the last
    batch of an epoch, which may be short, too. Where it holds fewer rows than there are processes, some are repeated.

    Args:
        rows: number of rows.
        order: order of the rows, given random numbers.
        seed: seed of the orders of all epochs.
        batch_size: rows per batch and process.
        trainer: trainer, which knows how many processes there are; `None` for one.
    """

    def __init__(self, rows: int, order: Order, seed: int, batch_size: int, trainer: pl.Trainer | None = None) -> None:
        own, processes = (0, 1) if trainer is None else (trainer.global_rank, trainer.world_size)
        # Its base tells Lightning that the rows are shared out already.
        super().__init__(range(rows), processes, own, shuffle=False)  # type: ignore[arg-type]
        self.rows, self.order, self.seed, self.batch_size = rows, order, seed, batch_size

    def __len__(self) -> int:
        whole, rest = divmod(self.rows, self.batch_size * self.num_replicas)
        return whole * self.batch_size + len(self._share(range(rest)))

    def __iter__(self) -> Iterator[int]:
        seed = (self.seed + 0x9E3779B97F4A7C15 * (self.epoch + 1)) % 2**63
        order = self.order(torch.Generator().manual_seed(seed))
        seeds = np.random.SeedSequence(seed).generate_state(self.rows, np.uint64) >> np.uint64(1)
        step = self.batch_size * self.num_replicas
        for start in range(0, self.rows, step):
            for place in self._share(range(start, min(start + step, self.rows))):
                yield SeededRow(order[place], int(seeds[place]))

    def _share(self, places: Sequence[int]) -> Sequence[int]:
        """Return this process's part of a batch of all."""
        count, n, own = len(places), self.num_replicas, self.rank
        if count < n:
            return [places[own % count]] if count else []
        return places[count * own // n : count * (own + 1) // n]


class ResumableLoader(DataLoader[Batch]):
    """A loader that skips the batches that an interrupted epoch has already yielded.

    Args:
        dataset: dataset to load from; see `DataLoader`.
        given: function that returns the number of batches that the epoch has already yielded, called at its start.
        options: further arguments of `DataLoader`.
    """

    def __init__(self, dataset: Dataset[Batch], given: Callable[[], int], **options: Any) -> None:
        super().__init__(dataset, **options)
        self.given = given

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        return self._rest()

    def _rest(self) -> Iterator[Batch]:
        # A generator starts at its first `next`: only then has the trainer restored its counters and set the epoch.
        yield from islice(super().__iter__(), self.given(), None)

    def state_dict(self) -> dict[str, object]:
        """Return nothing: the trainer's counters decide. This method tells Lightning that the loader is resumable."""
        return {}

    def load_state_dict(self, state: dict[str, object]) -> None:
        """Ignore the state; see `state_dict`."""


def batches_given(trainer: pl.Trainer | None) -> int:
    """Count the training batches that a trainer's current epoch has received; 0 if there is no training under way."""
    if trainer is None or not trainer.training:
        return 0
    return trainer.fit_loop.epoch_loop.batch_progress.current.ready
