"""Batches, as every data module yields them and every task takes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, Protocol, TypeVar, cast

from torch import Tensor

from condgen.conditioning import DataCondition

Split = Literal["train", "val", "test"]
SPLIT_NAMES: dict[str, Split] = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
T = TypeVar("T")


class NoExamples(ValueError):
    """A split of a source is empty."""


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


def as_batch(found: object) -> Batch:
    """Return a batch of a loader as a `Batch`: (levels, conditions), with or without a mask, in a tuple or a list.

    Raises:
        ValueError: it is something else; the message says what a batch is.
    """
    parts = list(found) if isinstance(found, tuple | list) else [found]
    if len(parts) in (2, 3):
        x, given, scored = [*parts, None][:3]
        named = isinstance(given, Mapping) and all(isinstance(value, Tensor) for value in given.values())
        if isinstance(x, Tensor) and named and (scored is None or isinstance(scored, Tensor)):
            batch = Batch(x, dict(cast(Mapping[str, Tensor], given)), scored)
            for name, values in batch.conditions.items():
                if len(values) != len(x):
                    raise ValueError(
                        f"a batch of {len(x)} examples has {len(values)} values of '{name}': one per example"
                    )
            return batch
    kinds = ", ".join(type(part).__name__ for part in parts)
    raise ValueError(f"a batch is (levels, {{condition: values}}), or has a mask as its third part, tensors all; this "
                     f"one is ({kinds}); see condgen.data.Batch")  # fmt: skip


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
