"""Conditions as people write them, to tensors: names, numbers, lists, arrays. The one rule, wherever conditions go in:

Text, a number of Python's, and a list of these are words, and mean what they mean on the command line: 7 is the class
that is called "7", wherever it stands (see `condgen.conditioning.names`), and each word is a row. Arrays and tensors
are what the encoder takes, such as ids of classes by position, their first axis the rows; one number alone is one row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.nn import functional as F

from condgen.conditioning.contract import Encoder

Value: TypeAlias = ArrayLike | Tensor


def as_tensors(encoders: Mapping[str, Encoder], conditions: Mapping[str, Value]) -> dict[str, Tensor]:
    """Return conditions as tensors, (rows, …) each; those that are stay as they are.

    Args:
        encoders: encoder of each condition of a model.
        conditions: values by name of the condition.

    Raises:
        ValueError: a name or a value is unknown or missing, or there are different numbers of rows; the message holds
            what is known.
    """
    check_names(encoders, conditions)
    return one_count({name: as_tensor(name, encoders[name], value) for name, value in conditions.items()})


def check_names(encoders: Mapping[str, Encoder], conditions: Mapping[str, Value]) -> None:
    """Refuse conditions that a model does not have, and a lack of those that it has."""
    known = ", ".join(encoders) or "none: the model is unconditional"
    for name in [*conditions, *encoders]:
        if name not in encoders or name not in conditions:
            problem = "unknown" if name not in encoders else "missing"
            given = ", ".join(conditions) or "none"
            raise ValueError(f"condition '{name}' is {problem}; this model's conditions: {known}; given: {given}")


def one_count(conditions: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return conditions as they are; refuse those of different numbers of rows. One row serves all."""
    if torch.compiler.is_exporting():  # comparing the rows would fix their number
        return conditions
    rows = {name: len(condition) for name, condition in conditions.items()}
    if len({*rows.values()} - {1}) > 1:
        raise ValueError(f"conditions with different batch sizes: {rows}; give each one row, or as many as the others")
    return conditions


def as_tensor(name: str, encoder: Encoder, value: Value) -> Tensor:
    """Return the values of one condition as a tensor, (rows, …); see `as_tensors`."""
    if isinstance(value, Tensor):
        # PyTorch compares no whole numbers of these types.
        value = value.long() if value.dtype in (torch.uint16, torch.uint32, torch.uint64) else value
        return value if value.ndim else value[None]
    try:
        words = None if encoder.names is None else words_of(value)
        if words is not None:
            return stacked_rows([row for word in words for _, row in encoder.parse(word)])
        array = torch.from_numpy(_numbers(value))
        return array if array.ndim else array[None]
    except ValueError as error:
        raise ValueError(f"condition '{name}' {error}") from None


def stacked_rows(rows: Sequence[Tensor]) -> Tensor:
    """Stack values of one condition, (rows, …); zeros stand behind what is shorter along its last axis."""
    longest = max(row.shape[-1] if row.ndim else 0 for row in rows)
    return torch.stack([F.pad(row, (0, longest - row.shape[-1])) if row.ndim else row for row in rows])


def words_of(value: Value) -> list[str] | None:
    """Return text, a number of Python's, or a list of these as words; `None` for anything else."""
    if not isinstance(value, str | int | float | list | tuple | range):
        array = np.asarray(value)
        value = array.tolist() if array.dtype.kind in "OU" else array
    each = list(value) if isinstance(value, list | tuple | range) else [value]
    words = all(isinstance(part, str) or (isinstance(part, int | float) and not isinstance(part, np.generic))
                for part in each)  # fmt: skip
    return [str(part) for part in each] if words and each else None


def labels_of(encoders: Mapping[str, Encoder], conditions: Mapping[str, Tensor]) -> dict[str, list[str]]:
    """Name the class of each row, per class condition; a single row serves all."""
    rows = max((len(condition) for condition in conditions.values()), default=1)
    labels = {}
    for name, encoder in encoders.items():
        if encoder.classes is not None and encoder.names is not None:
            known = dict(enumerate(encoder.names))  # the encoder itself refuses all other ids
            words = [known.get(i, str(i)) for i in conditions[name].tolist()]
            labels[name] = words * rows if len(words) == 1 else words
    return labels


def _numbers(value: Value) -> np.ndarray:
    """Return numbers as an array that PyTorch takes, whole ones in 64 bits."""
    try:
        parts = value if isinstance(value, list | tuple) else [value]
        tensors = [part.detach().cpu().numpy() for part in parts if isinstance(part, Tensor)]
        array = np.stack(tensors) if len(tensors) == len(parts) > 0 else np.asarray(value)
    except (ValueError, TypeError) as error:
        raise ValueError(f"takes an array of numbers; these are none ({error})") from None
    if array.dtype.kind not in "biuf" or not array.size:
        what = "nothing" if not array.size else f"{value!r}" if len(repr(value)) < 60 else type(value).__name__
        raise ValueError(f"takes an array of numbers, rows first, and not {what}")
    return array.astype(np.int64) if array.dtype.kind in "biu" else array
