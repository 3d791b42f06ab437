"""The order of training: decided by a seed and the epoch, so that a resumed run goes on where it stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from condgen.data.batch import Batch


class Shuffled(Sampler[int]):
    """Rows in an order that (seed, epoch) decides. The trainer tells the epoch.

    Args:
        rows: how many.
        seed: of all epochs.
    """

    def __init__(self, rows: int, seed: int) -> None:
        self.rows, self.seed, self.epoch = rows, seed, 0

    def __len__(self) -> int:
        return self.rows

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order comes next."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed((self.seed + 0x9E3779B97F4A7C15 * (self.epoch + 1)) % 2**63)
        yield from torch.randperm(self.rows, generator=generator).tolist()


class ResumableLoader(DataLoader[Batch]):
    """A loader that leaves out what an interrupted epoch has already given.

    Args:
        dataset: see `DataLoader`.
        given: says how many batches the epoch has given, when its first one is asked for.
        options: further arguments of `DataLoader`.
    """

    def __init__(self, dataset: Dataset[Batch], given: Callable[[], int], **options: Any) -> None:
        super().__init__(dataset, **options)
        self.given = given

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        return self._rest()

    def _rest(self) -> Iterator[Batch]:
        # A generator starts at its first `next`: only then has the trainer restored its counters and told the epoch.
        yield from islice(super().__iter__(), self.given(), None)

    def state_dict(self) -> dict[str, object]:
        """Return nothing: the trainer's counters decide. By this method Lightning takes a loader for resumable."""
        return {}

    def load_state_dict(self, state: dict[str, object]) -> None:
        """Take nothing; see `state_dict`."""


def batches_given(trainer: pl.Trainer | None) -> int:
    """Count the training batches that the current epoch of a trainer has given; 0 for whoever reads by hand."""
    if trainer is None or not trainer.training:
        return 0
    return trainer.fit_loop.epoch_loop.batch_progress.current.ready
