"""What a request for samples is: all that its files need to be written, besides the samples, and all that decides them.

It is written beside what is finished, so that the same command goes on from there, and parts of it that were drawn by
other processes are put together without the checkpoint.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from condgen.atomic import whole_file
from condgen.sampling import batch_count

PLAN, CONDITIONS = "request.json", "conditions.npz"
OWN_ARRAYS = ("samples", "log_prob", "file", "provenance")  # names in samples.npz that no condition may have


@dataclass(frozen=True)
class Part:
    """Share of a request that one job draws: such as the third of 16."""

    number: int = 1
    of: int = 1

    @classmethod
    def parse(cls, text: str) -> Part:
        """Read a part as it is written on the command line, `3/16`."""
        number, _, of = text.partition("/")
        if not (number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
            raise ValueError(f"part '{text}' is not one of several, such as 3/16")
        return cls(int(number), int(of))

    def batches(self, count: int) -> range:
        """Return the numbers of the batches that the part draws, of so many."""
        return range(count * (self.number - 1) // self.of, count * self.number // self.of)

    def folder(self, out: Path) -> Path:
        """Return the folder of this part of what is to be `out`."""
        if self.of == 1:
            return out
        return out.with_name(f"{out.name}.part-{self.number:0{len(str(self.of))}d}-of-{self.of}")

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


@dataclass(frozen=True)
class Plan:
    """Request for samples.

    Attributes:
        labels: words of each combination of conditions.
        lengths: samples of audio of each combination; `None` for images.
        num_samples: samples per combination.
        batch_size: samples drawn together.
        levels: whole levels of the data.
        sample_rate: samples of audio per second; `None` for images.
        facts: facts that decided the samples besides their conditions, as their files name them.
        asked: further facts that decide them, which no file names: hashes of what was given.
        part: part of the request.
    """

    labels: list[dict[str, str]]
    lengths: list[int] | None
    num_samples: int
    batch_size: int
    levels: int
    sample_rate: int | None
    facts: dict[str, Any]
    asked: dict[str, str]
    part: Part = Part()

    @property
    def total(self) -> int:
        """Number of samples of the whole request."""
        return len(self.labels) * self.num_samples

    @property
    def one_length(self) -> bool:
        """Whether all samples are of one size, so that an array holds them."""
        return self.lengths is None or len(set(self.lengths)) == 1

    @property
    def batches(self) -> range:
        """Numbers of the batches of this part."""
        return self.part.batches(batch_count(self.total, self.batch_size))

    def label(self, index: int) -> dict[str, str]:
        """Return the words of the conditions of a sample."""
        return self.labels[index // self.num_samples]

    def length(self, index: int) -> int | None:
        """Return the length of a sample of audio."""
        return None if self.lengths is None else self.lengths[index // self.num_samples]

    def identity(self) -> dict[str, Any]:
        """Return what decides the samples, whichever words of the command line or part of it asked for them."""
        facts = {name: fact for name, fact in self.facts.items() if name != "command"}
        return {**asdict(replace(self, facts=facts, part=Part()))}

    def record(self, index: int, log_prob: float | None, engine: str) -> dict[str, Any]:
        """Say of a sample what decided it."""
        own: dict[str, Any] = {"index": index, "conditions": self.label(index)}
        own |= {} if log_prob is None else {"log_prob": log_prob}
        own |= {} if self.lengths is None else {"samples": self.length(index)}
        return {**own, **self.named(engine)}

    def named(self, engine: str) -> dict[str, Any]:
        """Return the facts that files name, with the engine that drew the samples."""
        return {name: engine if name == "engine" else fact for name, fact in self.facts.items()}

    def write(self, folder: Path, table: Mapping[str, np.ndarray]) -> None:
        """Write the request and the values of its conditions, (combinations, …) each."""
        if self.one_length and (taken := [name for name in table if name in OWN_ARRAYS]):
            raise ValueError(
                f"a condition named '{taken[0]}' has no place in samples.npz; name it otherwise in training"
            )
        with whole_file(folder / CONDITIONS) as temporary:
            _save(temporary, table)
        with whole_file(folder / PLAN) as temporary:
            temporary.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")


def _save(path: Path, table: Mapping[str, np.ndarray]) -> None:
    with open(path, "wb") as file:
        np.savez(file, allow_pickle=False, **{f"_{name}": values for name, values in table.items()})


def read_plan(folder: Path) -> Plan | None:
    """Read the request that a folder of a part, or an unfinished one, was begun for; `None` where it holds none."""
    try:
        found = json.loads((folder / PLAN).read_text(encoding="utf-8"))
        return Plan(**{**found, "part": Part(**found["part"])})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def read_conditions(folder: Path) -> dict[str, np.ndarray]:
    """Read the values of the conditions of a request, (combinations, …) each."""
    with np.load(folder / CONDITIONS, allow_pickle=False) as file:
        return {name[1:]: file[name] for name in file.files}


def digest(arrays: Mapping[str, np.ndarray] | Sequence[np.ndarray]) -> str:
    """Return a hash of arrays, their names and shapes."""
    items = arrays.items() if isinstance(arrays, Mapping) else enumerate(arrays)
    found = hashlib.sha256()
    for name, array in items:
        found.update(f"{name} {array.dtype} {array.shape}".encode())
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()
