"""What data hold, in figures: examples of each class and split, durations, and what will harm training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, cast

import numpy as np
import torch

from condgen.data import Speech
from condgen.data.batch import ConditionedData, NoExamples, Split
from condgen.data.faults import for_each_group
from condgen.data.splits import ENOUGH
from condgen.described import arguments

SPLITS: tuple[Split, ...] = ("train", "val", "test")
FEW = 50  # training examples of a class, below which little is learnt of it
UNEQUAL = 10  # times that the largest class may have the examples of the smallest
ROWS = 40  # rows of a table
NAMED = 10  # classes that a line names
Counts = dict[str, dict[str, dict[Split, int]]]  # of examples, by condition, class and split


class ReadBySplit(ConditionedData, Protocol):
    """A data module that reads each split by itself, from a source."""

    @property
    def source(self) -> object: ...

    def read(self, split: Split) -> None:
        """Read one split, after which `dataset` and `class_ids` know it; raise `NoExamples` if it is empty."""
        ...


def read_all(data: ReadBySplit) -> list[Split]:
    """Read all splits; return those that are not empty.

    Raises:
        Faults: examples are bad; those of all splits are named.
        NoExamples: none is for training.
    """

    def is_there(split: Split) -> bool:
        try:
            data.read(split)
        except NoExamples:
            return False
        return True

    there = for_each_group(is_there, SPLITS)
    if not there[0]:
        data.read("train")  # which says why
    return [split for split, is_read in zip(SPLITS, there, strict=True) if is_read]


def contents(data: ReadBySplit, splits: Sequence[Split]) -> dict[str, Any]:
    """Count examples.

    Args:
        data: data module.
        splits: splits that were read.
    """
    given = {name: value for name, value in (arguments(data.source) or {}).items() if value is not None}
    counts = count(data, splits)
    report: dict[str, Any] = {
        "command": "condgen data", "source": type(data.source).__name__, "given": given, "shape": data.shape,
        "levels": data.levels, "sample_rate": data.sample_rate,
        "examples": {split: len(data.dataset(split)) for split in splits}, "counts": counts,
    }  # fmt: skip
    if data.sample_rate is not None:
        report["clips"], report["seconds"] = durations(cast(Speech, data), splits)
    return report


def count(data: ConditionedData, splits: Sequence[Split]) -> Counts:
    """Count the examples of every class in every split."""
    ids = {split: data.class_ids(split) for split in splits}
    return {
        condition: {
            name: {split: int((ids[split][condition] == label).sum()) for split in splits}
            for label, name in enumerate(names)
        }
        for condition, names in data.names.items()
        if all(condition in ids[split] for split in splits)
    }


def durations(data: Speech, splits: Sequence[Split]) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """Measure clips, in seconds: the shortest, the median, the longest and all; and all of each class."""
    lengths = np.concatenate([data.dataset(split).lengths for split in splits]) / data.sample_rate
    ids = {name: torch.cat([data.class_ids(split)[name] for split in splits]).numpy() for name in data.names}
    by_class = {
        name: dict(zip(classes, np.bincount(ids[name], lengths, len(classes)).tolist(), strict=True))
        for name, classes in data.names.items()
    }
    clips = {"shortest": lengths.min(), "median": np.median(lengths), "longest": lengths.max(), "all": lengths.sum()}
    return {name: float(value) for name, value in clips.items()}, by_class


def cautions(report: Mapping[str, Any]) -> list[str]:
    """Say what will harm training."""
    found = []
    if "val" not in report["examples"]:
        found.append("there are no validation examples, without which `condgen fit` does not start: some class needs "
                     f"at least {ENOUGH} examples, or the split of a table some rows of `val`")  # fmt: skip
    for condition, classes in report["counts"].items():
        found += [f"condition '{condition}': {caution}" for caution in _of_classes(classes)]
    return found


def _of_classes(classes: Mapping[str, Mapping[Split, int]]) -> list[str]:
    everything = {name: sum(counts.values()) for name, counts in classes.items()}
    trained = {name: counts.get("train", 0) for name, counts in classes.items()}
    found = []
    if len(classes) == 1:
        found.append(f"'{next(iter(classes))}' is the only class, so that it tells a model nothing; give others, or "
                     "leave the condition out of the model")  # fmt: skip
    for names, words in (
        ([name for name, number in trained.items() if not number], "no training examples, so that they stay unknown"),
        ([name for name, number in everything.items() if trained[name] and number < ENOUGH],
         f"fewer than {ENOUGH} examples, of which none need validate or be tested"),
        ([name for name, number in everything.items() if number >= ENOUGH and 0 < trained[name] < FEW],
         f"fewer than {FEW} training examples, of which little is learnt"),
    ):  # fmt: skip
        if names:
            found.append(f"{words}: {listed(names)}")
    large, small = max(trained, key=trained.__getitem__), min(trained, key=trained.__getitem__)
    if 0 < UNEQUAL * trained[small] < trained[large]:
        found.append(f"'{large}' has {trained[large]:,} training examples and '{small}' {trained[small]:,}: most of "
                     "what is learnt will be of large classes")  # fmt: skip
    return found


def listed(names: Sequence[str]) -> str:
    """Name some classes, and count the others."""
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return ", ".join(f"'{name}'" for name in names[:NAMED]) + more


def markdown(report: Mapping[str, Any]) -> str:
    """Write the report for people."""
    given = ", ".join(f"{name} {value}" for name, value in report["given"].items())
    given = given and f" ({given})"
    size, rate = " × ".join(map(str, report["shape"] or ())), report["sample_rate"]
    kind = f"images of {size}" if rate is None else f"recordings, {rate:,} samples per second"
    counted = ", ".join(f"{number:,} {split}" for split, number in report["examples"].items())
    lines = ["# Data", "", f"{report['source']}{given}: {kind}, {report['levels']} levels; {counted}."]
    if "clips" in report:
        clips = report["clips"]
        lines += ["", f"Clips last {clips['shortest']:.2f} to {clips['longest']:.2f} s, half of them at most "
                      f"{clips['median']:.2f} s, and all {clips['all']:,.1f} s, as they were prepared."]  # fmt: skip
    for condition, classes in report["counts"].items():
        lines += ["", *_table(condition, classes, list(report["examples"]), report.get("seconds", {}).get(condition))]
    for title, found in (("Passed over or changed", report["notes"]), ("Beware", report["cautions"])):
        lines += ["", f"{title}:", "", *(f"- {line}" for line in found)] if found else []
    return "\n".join(lines) + "\n"


def _table(
    condition: str,
    classes: Mapping[str, Mapping[Split, int]],
    splits: Sequence[Split],
    seconds: Mapping[str, float] | None,
) -> list[str]:
    def row(title: str, names: Sequence[str]) -> str:
        cells = [sum(classes[name][split] for name in names) for split in splits]
        long = [] if seconds is None else [f"{sum(seconds[name] for name in names):,.1f}"]
        title = title.replace("|", "\\|")  # which would end the cell
        return f"| {' | '.join([title, *(f'{cell:,}' for cell in (*cells, sum(cells))), *long])} |"

    columns = [condition, *splits, "all", *([] if seconds is None else ["seconds"])]
    names = list(classes)
    shown, others = names[:ROWS], names[ROWS:]
    rest = [row(f"{len(others):,} others", others)] if others else []
    return [f"| {' | '.join(columns)} |", f"|{' --- |' * len(columns)}", *(row(name, [name]) for name in shown), *rest,
            row(f"all {len(names):,}", names)]  # fmt: skip
