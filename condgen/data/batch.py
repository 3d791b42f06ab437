"""Batches, as every data module yields them and every task takes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol, TypeVar

from torch import Tensor

from condgen.conditioning import DataCondition

Split = Literal["train", "val", "test"]
T = TypeVar("T")


class Batch(NamedTuple):
    """Examples on their grid with their conditions.

    Attributes:
        x: levels, (batch, channels, *size).
        conditions: tensor per named condition, (batch, …).
        scored: mask of the positions that count, (batch, *size) of booleans; `None` for all. The others are padding,
            or context that another example scores.
    """

    x: Tensor
    conditions: dict[str, Tensor]
    scored: Tensor | None = None


class BatchSet(Protocol):
    """A split of the data, with its length and with whole batches by row."""

    def __len__(self) -> int: ...
    def __getitems__(self, indices: Sequence[int]) -> Batch: ...


class ConditionedData(Protocol):
    """What tasks and evaluation require of a data module: images or speech of whole levels, with named conditions.

    Attributes:
        shape: channels and size of an example; `None` if examples differ in length.
        levels: whole levels of the data.
        sample_rate: samples of audio per second; `None` for images.
        names: names of the classes per class condition, in the order of their ids.
        conditions: description of each condition that a batch has, by name.
        crop: samples of a clip that a training example scores; `None` if examples are whole.
    """

    @property
    def shape(self) -> tuple[int, ...] | None: ...
    @property
    def levels(self) -> int: ...
    @property
    def sample_rate(self) -> int | None: ...
    @property
    def names(self) -> dict[str, list[str]]: ...
    @property
    def conditions(self) -> dict[str, DataCondition]: ...
    @property
    def crop(self) -> int | None: ...
    def dataset(self, split: Split) -> BatchSet:
        """Return a split, after `setup`; it has `len(…)`, and `__getitems__(rows)`, which returns a `Batch`."""
        ...

    def class_ids(self, split: Split) -> dict[str, Tensor]:
        """Return the class ids of a split per condition, (examples,) each, after `setup`."""
        ...


def count_dims(batch: Batch) -> int:
    """Count the dimensions of a batch that are scored: channels and positions."""
    return batch.x.numel() if batch.scored is None else int(batch.scored.sum()) * batch.x.shape[1]


def splits_of(stage: str | None) -> tuple[Split, ...]:
    """Return the splits that a stage of the trainer needs; all of them for no stage."""
    wanted: dict[str | None, tuple[Split, ...]] = {"fit": ("train", "val"), "validate": ("val",), "test": ("test",)}
    return wanted.get(stage, ("train", "val", "test"))


def as_is(batch: T) -> T:
    """Return a batch unchanged: data sets return whole batches, so there is nothing to collate."""
    return batch
