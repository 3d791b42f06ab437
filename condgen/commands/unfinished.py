"""What is finished of a request for samples, kept beside the folder that it is to be: `OUT.unfinished`.

It holds the request, a record of every batch that is whole, and the samples themselves. Whatever ends the command, the
same command goes on from there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from condgen.atomic import discard, held, naming, put_in_place
from condgen.commands.output import refuse
from condgen.commands.plan import Part, Plan, read_conditions, read_plan
from condgen.commands.writing import Record, read_record, write_whole

SAMPLES, BATCHES = "samples", "batches"


class Unfinished(NamedTuple):
    """Folder of a request that is being drawn.

    Attributes:
        folder: folder itself.
        plan: request, in the words that it was begun with.
    """

    folder: Path
    plan: Plan

    @property
    def samples(self) -> Path:
        """Folder of the samples."""
        return self.folder / SAMPLES

    def record(self, number: int) -> Path:
        """Return the file for the record of a batch."""
        return self.folder / BATCHES / f"{number:08d}.npz"

    def records(self) -> dict[int, Record]:
        """Read the records of the batches that are finished, by their numbers."""
        found = ((number, read_record(self.record(number))) for number in self.plan.batches)
        return {number: record for number, record in found if record is not None}


@contextmanager
def unfinished(out: Path, plan: Plan, table: Mapping[str, np.ndarray], overwrite: bool) -> Iterator[Unfinished]:
    """Give the folder in which a request is drawn, as a former run left it or a new one; only an empty one is removed.

    Args:
        out: folder wanted when all is finished.
        plan: request.
        table: values of its conditions, (combinations, …) each.
        overwrite: permission to begin anew where another request is unfinished.

    Raises:
        ValueError: another request is unfinished there, or another process draws it.
    """
    folder = out.with_name(f"{out.name}.unfinished")
    with naming(folder, out):
        folder.parent.mkdir(parents=True, exist_ok=True)
        if folder.exists():
            _clear(folder, plan, overwrite)
        if not folder.exists():
            _begin(folder, plan, table)
        with held(folder) as free:
            if not free:
                raise ValueError(f"another process is drawing into {folder}; wait for it, or give another folder")
            begun = read_plan(folder)
            work = Unfinished(folder, plan if begun is None else begun)
            try:
                yield work
            finally:
                if folder.exists() and not any(work.record(number).is_file() for number in plan.batches):
                    discard(folder)


def remove_leftovers(out: Path) -> None:
    """Remove what a command left that was killed when its samples were in their place already."""
    folder = out.with_name(f"{out.name}.unfinished")
    if read_plan(folder) is not None and not (folder / SAMPLES).is_dir():
        discard(folder)


def _clear(folder: Path, plan: Plan, overwrite: bool) -> None:
    """Remove an unfinished folder that is not gone on from, or refuse it."""
    begun = read_plan(folder)
    if begun is None:
        raise ValueError(f"{folder} is in the way, and is no unfinished folder of condgen; move it")
    if begun.identity() == plan.identity() and begun.part == plan.part and (folder / SAMPLES).is_dir():
        return
    if (folder / SAMPLES).is_dir() and not overwrite:
        told = ", ".join(_different(begun, plan)[:4])
        raise ValueError(f"{folder} holds what is finished of another request (other {told}); give its command again, "
                         "another folder, or --overwrite to begin anew")  # fmt: skip
    with held(folder) as free:
        if not free:
            raise ValueError(f"another process is drawing into {folder}; wait for it, or give another folder")
        discard(folder)


def _different(one: Plan, other: Plan) -> list[str]:
    """Name what differs between two requests."""
    a, b = ({**p.identity(), **p.identity()["facts"], **p.asked, "part": p.part} for p in (one, other))
    own = {"facts", "asked"}
    return [name for name in {**a, **b} if name not in own and a.get(name) != b.get(name)] or ["values"]


def _begin(folder: Path, plan: Plan, table: Mapping[str, np.ndarray]) -> None:
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        (temporary / SAMPLES).mkdir(parents=True)
        (temporary / BATCHES).mkdir()
        plan.write(temporary, table)
        os.replace(temporary, folder)
    except BaseException:
        discard(temporary)
        raise


def finish(work: Unfinished, out: Path, overwrite: bool) -> str:
    """Write what is of all batches, and put the folder in its place; return the names of the files.

    A part is put there as it is: `condgen merge` does the rest.
    """
    records = work.records()
    if work.plan.part.of > 1:
        put_in_place(work.folder, out, overwrite)
        return f"part {work.plan.part}"
    with naming(work.folder, out):
        told = write_whole(work.samples, work.plan, [*records.values()], read_conditions(work.folder))
        refuse(out, overwrite)
        put_in_place(work.samples, out, replace=True)
        discard(work.folder)
    return told


def part_of(folder: Path) -> Unfinished:
    """Open the folder of a finished part."""
    plan = read_plan(folder)
    if plan is None or plan.part.of == 1:
        raise ValueError(f"{folder} is no part of a request; give what `condgen sample --part 3/16` wrote")
    work = Unfinished(folder, plan)
    if len(work.records()) < len(plan.batches):
        raise ValueError(f"{folder}: part {plan.part} is not finished; give its command again")
    return work


def all_parts(folders: Sequence[Path]) -> tuple[list[Unfinished], Plan]:
    """Open the folders of the parts of one request, by their numbers; return the request too.

    Raises:
        ValueError: one is missing, doubled, unfinished, or of another request.
    """
    works = sorted((part_of(folder) for folder in folders), key=lambda work: work.plan.part.number)
    first = works[0]
    for work in works[1:]:
        if work.plan.part.of != first.plan.part.of or work.plan.identity() != first.plan.identity():
            alike = replace(work.plan, part=replace(work.plan.part, number=first.plan.part.number))
            told = ", ".join(_different(first.plan, alike)[:4])
            raise ValueError(f"{work.folder} and {first.folder} are parts of different requests (other {told})")
    numbers, of = [work.plan.part.number for work in works], first.plan.part.of
    for number in range(1, of + 1):
        if numbers.count(number) != 1:
            told = "is missing" if number not in numbers else f"is given {numbers.count(number)} times"
            raise ValueError(f"part {number}/{of} {told}; give each of the {of} parts once")
    if len(engines := {record.engine for work in works for record in work.records().values()}) > 1:
        raise ValueError(
            f"the parts were drawn by different engines, {', '.join(sorted(engines))}; give --engine to all"
        )
    return works, replace(first.plan, part=Part())
