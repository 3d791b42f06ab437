"""A run that goes on stays one run: its folder, the figures that it has logged, and what was best in it."""

from __future__ import annotations

import csv
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from jsonargparse import Namespace
from pytorch_lightning.loggers import CSVLogger

from condgen.commands.going_on import logged, run_folder

NUMBERED = ("CSVLogger", "TensorBoardLogger")


def stay_in_its_folder(path: Path, trainer: Namespace) -> None:
    """Let the logger of a run that goes on from its `last.ckpt` write where the run did.

    From another checkpoint, from which a run goes back, it begins a folder of its own; so it does where the command
    line names another place or number.

    Args:
        path: checkpoint that the run goes on from.
        trainer: trainer of the configuration, which is changed.
    """
    run, logger = run_folder(path), trainer.get("logger")
    number = re.fullmatch(r"version_(\d+)", run.name) if run is not None else None
    if run is None or number is None or path.name != "last.ckpt" or not isinstance(logger, Namespace):
        return
    is_numbered = str(logger.get("class_path", "")).rpartition(".")[2] in NUMBERED
    options = logger.get("init_args") or Namespace()
    if is_numbered and options.get("version") is None and logged(trainer).resolve() == run.parent.resolve():
        options["version"] = int(number[1])
        logger["init_args"] = options


def keep_figures(trainer: pl.Trainer, content: Mapping[str, Any]) -> None:
    """Keep what a run has logged up to a checkpoint: Lightning would begin metrics.csv anew. What came later will be
    logged again.

    Args:
        trainer: trainer of the run that goes on.
        content: checkpoint that it goes on from.
    """
    for logger in trainer.loggers if trainer.is_global_zero else []:
        file = Path(logger.log_dir or "", "metrics.csv")
        if not isinstance(logger, CSVLogger) or not file.is_file():
            continue
        with open(file, newline="", encoding="utf-8") as text:
            rows = [row for row in csv.DictReader(text) if _is_before(row, content)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that what is there will be lost
            writer = logger.experiment
        writer.metrics[:0] = rows  # words, which are written as they were
        writer.save()


def _is_before(row: Mapping[str, str], content: Mapping[str, Any]) -> bool:
    """Tell whether figures were logged before a checkpoint was written."""
    place: Any = content.get("loops", {})
    for name in ("fit_loop", "epoch_loop.state_dict", "_batches_that_stepped"):
        place = place.get(name) if isinstance(place, Mapping) else None
    step = row.get("step") or ""
    return not isinstance(place, int) or (step.isdigit() and int(step) < place)
