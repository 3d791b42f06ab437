"""The order of training, decided by a seed and the epoch, so that a resumed run continues where it stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from condgen.data.batch import Batch


class Shuffled(Sampler[int]):
    """Rows in an order that (seed, epoch) decides. The trainer sets the epoch.

    Args:
        rows: number of rows.
        seed: seed of the orders of all epochs.
    """

    def __init__(self, rows: int, seed: int) -> None:
        self.rows, self.seed, self.epoch = rows, seed, 0

    def __len__(self) -> int:
        return self.rows

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order comes next."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        rng = torch.Generator().manual_seed((self.seed + 0x9E3779B97F4A7C15 * (self.epoch + 1)) % 2**63)
        yield from torch.randperm(self.rows, generator=rng).tolist()


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
