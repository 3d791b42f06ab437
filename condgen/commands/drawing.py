"""Drawing of a request, batch by batch, into a folder that appears when all is finished."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from condgen.commands.conditions import Combination, stacked
from condgen.commands.plan import Part, Plan, digest
from condgen.commands.stopping import stopping
from condgen.commands.unfinished import Unfinished, finish, unfinished
from condgen.commands.writing import write_batch
from condgen.models.conditional import Model
from condgen.models.contract import audio
from condgen.sampling import batch_sampler


class Drawn(NamedTuple):
    """What was drawn.

    Attributes:
        samples: number of samples.
        files: names of the files.
        engine: engine that drew them, and why.
    """

    samples: int
    files: str
    engine: str


def draw(
    out: Path,
    model: Model,
    combinations: Sequence[Combination],
    options: Mapping[str, Any],
    facts: Mapping[str, Any],
    part: Part,
    overwrite: bool,
) -> Drawn:
    """Draw a request, or go on with it, and write its files.

    Args:
        out: folder wanted.
        model: model to draw from.
        combinations: conditions.
        options: arguments of the model's sampler.
        facts: facts that the files name.
        part: part of the request to draw.
        overwrite: permission to replace what is there.
    """
    conditions = stacked(combinations)
    table = {name: values.numpy() for name, values in conditions.items()}
    plan = planned(model, combinations, table, options, facts, part)
    with unfinished(out, plan, table, overwrite) as work:
        why = _draw(work, model, conditions, options)
        count = sum(len(record.indices) for record in work.records().values())
        written = finish(work, out, overwrite)
    return Drawn(count, written, why)


def planned(
    model: Model,
    combinations: Sequence[Combination],
    table: Mapping[str, np.ndarray],
    options: Mapping[str, Any],
    facts: Mapping[str, Any],
    part: Part,
) -> Plan:
    """Return what a request is; see `draw`."""
    network = audio(model.network)
    given = [options[name].numpy() for name in ("given", "known") if isinstance(options.get(name), Tensor)]
    versions = {name: version(name) for name in ("condgen", "torch", "numpy")}
    rate = {} if network is None else {"sample_rate": network.sample_rate}
    lengths = [row.length for row in combinations if row.length is not None] or None
    return Plan(
        [row.labels for row in combinations], lengths, options["num_samples"], options["batch_size"],
        model.network.levels, None if network is None else network.sample_rate,
        {**facts, "versions": versions, **rate},
        {"conditions": digest(table), "given": digest(given), "device": next(model.parameters()).device.type}, part,
    )  # fmt: skip


def _draw(work: Unfinished, model: Model, conditions: Mapping[str, Tensor], options: Mapping[str, Any]) -> str:
    """Draw the batches that are not finished yet; say by which engine."""
    before = work.records()
    missing = [number for number in work.plan.batches if number not in before]
    engines = {record.engine for record in before.values()}
    why = f"engine '{', '.join(engines)}'"
    if before and missing:
        print(f"condgen: going on after {len(before)} of {len(work.plan.batches)} batches", file=sys.stderr)
    batches = batch_sampler(model)(model, conditions, only=missing, **options)
    drawn = len(before)
    try:
        with stopping() as between, closing(batches):  # type: ignore[type-var]
            for batch in batches:
                if engines - {batch.samples.engine}:
                    raise ValueError(f"{work.folder} was begun with {why}, and here '{batch.samples.engine}' draws; "
                                     "give --engine, or --overwrite to begin anew")  # fmt: skip
                write_batch(work.samples, work.record(batch.number), model, work.plan, batch)
                why, drawn = f"engine '{batch.samples.engine}' ({batch.samples.why})", drawn + 1
                between()
    except (KeyboardInterrupt, SystemExit):
        if drawn:
            print(f"condgen: stopped after {drawn} of {len(work.plan.batches)} batches, which are kept in "
                  f"{work.folder}; the same command goes on from there", file=sys.stderr)  # fmt: skip
        raise
    return why
