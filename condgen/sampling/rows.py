"""Which row of the conditions each sample has, and what its noise is drawn by: the same for every sampler."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from condgen.conditioning import FiLMParameters
from condgen.conditioning.film_generator import Conditions
from condgen.conditioning.values import as_tensors
from condgen.models.conditional import Model

Prepared: TypeAlias = Mapping[str, Tensor] | FiLMParameters
Seed: TypeAlias = int | Sequence[int] | NDArray[Any] | Tensor


class Origins(NamedTuple):
    """Where samples come from. Nothing here grows with their number: what a sample has is worked out when it is asked.

    Attributes:
        of_rows: number of rows.
        num_samples: number of samples per row, those of a row together.
        seeds: seeds of the noise: one, or one per row.
        counted_by_row: true where each row's samples are counted for themselves.
        first_index: index of the first sample under a seed.
    """

    of_rows: int
    num_samples: int
    seeds: list[int]
    counted_by_row: bool
    first_index: int

    @property
    def total(self) -> int:
        """Number of samples."""
        return self.of_rows * self.num_samples

    def at(self, samples: Sequence[int]) -> tuple[list[int], list[int], list[int]]:
        """Return the row of the conditions, the seed, and the index under that seed of some samples."""
        rows = [sample // self.num_samples for sample in samples]
        counted = [sample % self.num_samples if self.counted_by_row else sample for sample in samples]
        seeds = [self.seeds[row if len(self.seeds) > 1 else 0] for row in rows]
        return rows, seeds, [self.first_index + i for i in counted]


def prepared(model: Model, conditions: Conditions | None) -> Prepared:
    """Return conditions as tensors, or as the FiLM parameters that they are; none as no tensors."""
    if isinstance(conditions, FiLMParameters):
        return conditions
    return as_tensors(model.encoders, conditions or {})


def origins(
    conditions: Prepared, num_samples: int, seed: Seed, first_index: int, counts: Mapping[str, int] | None = None
) -> Origins:
    """Lay samples out, `num_samples` per row, those of one row together.

    Args:
        conditions: conditions, or FiLM parameters.
        num_samples: number of samples per row.
        seed: seed of all rows, under which all samples are counted; or a seed per row, under each of which the samples
            of its row alone are counted, as if it were drawn alone.
        first_index: index of the first sample under a seed.
        counts: number of other things that are one for all rows or one for each, by what they are called.

    Raises:
        ValueError: numbers of rows do not fit each other.
    """
    if isinstance(num_samples, bool) or not isinstance(num_samples, int | np.integer) or num_samples < 1:
        raise ValueError(f"num_samples {num_samples} is not a whole number of at least 1")
    seeds = None if np.ndim(seed) == 0 else np.asarray(seed, object).tolist()
    found = {"rows of conditions": _rows(conditions), "seeds": 1 if seeds is None else len(seeds), **(counts or {})}
    rows = max(found.values())
    if {*found.values()} - {1, rows} or not min(found.values()):
        told = " and ".join(f"{count} {name}" for name, count in found.items() if count != 1)
        raise ValueError(f"{told} do not fit each other: give one, or one per row")
    shared = [cast(int, seed)] if seeds is None else seeds
    return Origins(rows, int(num_samples), shared, seeds is not None, first_index)


def take_rows(conditions: Prepared, rows: list[int], weight: Tensor) -> Prepared:
    """Take a batch's rows to the device of a weight, FiLM parameters to its type; a single row serves every batch."""
    if isinstance(conditions, FiLMParameters):
        return conditions.select(rows).to(weight)
    return {name: (value if len(value) == 1 else value[rows]).to(weight.device) for name, value in conditions.items()}


def _rows(conditions: Prepared) -> int:
    if isinstance(conditions, FiLMParameters):
        return conditions.batch_size
    return max((len(condition) for condition in conditions.values()), default=1)
