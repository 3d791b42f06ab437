"""Faults of many files: all are looked for, and said in one line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

NAMED = 20  # faults that a message tells
Item = TypeVar("Item")
Result = TypeVar("Result")


class Faults(ValueError):
    """What is wrong with some of many files, so that all can be mended at once; of many faults, the first are told.

    Args:
        faults: faults, each in one line that names its file; those that occur twice are told once.
        kind: kind of files, in words, such as `clips`.
    """

    def __init__(self, faults: Sequence[str], kind: str) -> None:
        self.faults, self.kind = tuple(dict.fromkeys(faults)), kind
        counted = f"{len(self.faults)} {kind} cannot be used: " if len(self.faults) > 1 else ""
        more = f"; and {len(self.faults) - NAMED} more" if len(self.faults) > NAMED else ""
        super().__init__(f"{counted}{'; '.join(self.faults[:NAMED])}{more}")

    def __reduce__(self) -> tuple[type[Faults], tuple[tuple[str, ...], str]]:
        return Faults, (self.faults, self.kind)


def for_each(work: Callable[[Item], Result], items: Iterable[Item], kind: str) -> list[Result]:
    """Do some work for each item, and return the results.

    Args:
        work: work that raises a `ValueError` for a bad item.
        items: items to work on.
        kind: kind of items, in words.

    Raises:
        Faults: items are bad; all were tried.
    """
    results: list[Result] = []
    faults: list[str] = []
    for item in items:
        try:
            results.append(work(item))
        except ValueError as error:
            faults.append(str(error))
    if faults:
        raise Faults(faults, kind)
    return results


def for_each_group(work: Callable[[Item], Result], groups: Iterable[Item]) -> list[Result]:
    """Do some work for each of several groups of items, and return the results.

    Args:
        work: work that raises `Faults` for a group with bad items; any other error ends all work.
        groups: groups to work on.

    Raises:
        Faults: items are bad; all groups were tried.
    """
    results: list[Result] = []
    found: list[Faults] = []
    for group in groups:
        try:
            results.append(work(group))
        except Faults as error:
            found.append(error)
    if found:
        raise Faults([fault for error in found for fault in error.faults], found[0].kind)
    return results


def faults_of(work: Callable[[Item], object], items: Iterable[Item]) -> list[str]:
    """List what is wrong with items; see `for_each`."""
    try:
        for_each(work, items, "items")
    except Faults as error:
        return list(error.faults)
    return []
