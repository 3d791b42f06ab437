"""Batches, as every data module gives and every task takes them."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from torch import Tensor

Split = Literal["train", "val", "test"]


class Batch(NamedTuple):
    """Examples on their grid with their conditions.

    Attributes:
        x: levels, (batch, channels, *size).
        conditions: one tensor per named condition, (batch, …).
        scored: which positions count, (batch, *size) of booleans; `None` for all. The others are padding, or context
            that another example scores.
    """

    x: Tensor
    conditions: dict[str, Tensor]
    scored: Tensor | None = None


def count_dims(batch: Batch) -> int:
    """Count the dimensions of a batch that are scored: channels and positions."""
    return batch.x.numel() if batch.scored is None else int(batch.scored.sum()) * batch.x.shape[1]


def splits_of(stage: str | None) -> tuple[Split, ...]:
    """Return the splits that a stage of the trainer needs; all for none."""
    wanted: dict[str | None, tuple[Split, ...]] = {"fit": ("train", "val"), "validate": ("val",), "test": ("test",)}
    return wanted.get(stage, ("train", "val", "test"))


def as_is(batch: Any) -> Any:
    """Collate nothing: data sets give whole batches."""
    return batch
