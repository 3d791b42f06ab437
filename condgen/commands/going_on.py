"""Runs that go on: the checkpoint that `last` means, where a run lies on the disk, and what is taken over from it.

A checkpoint is data, and what lies beside it may come from the same stranger: of a config.yaml there, which is a
program, plain numbers and words of the trainer are taken alone.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from jsonargparse import Namespace

from condgen.checkpoint import Checkpoint, broken
from condgen.commands.configurations import configurations
from condgen.printable import printable

NUMBERS = ("max_epochs", "min_epochs", "max_steps", "min_steps", "limit_train_batches", "limit_val_batches",
           "limit_test_batches", "val_check_interval", "check_val_every_n_epoch", "num_sanity_val_steps",
           "log_every_n_steps", "gradient_clip_val", "accumulate_grad_batches", "deterministic", "benchmark",
           "enable_progress_bar")  # fmt: skip
WORDS = {"precision": r"[a-z0-9-]{1,16}", "gradient_clip_algorithm": "norm|value"}
UNSAID = {"accelerator": "auto", "strategy": "auto", "devices": "auto", "num_nodes": 1, "fast_dev_run": False,
          "inference_mode": True, "use_distributed_sampler": True, "detect_anomaly": False, "barebones": False,
          "sync_batchnorm": False, "reload_dataloaders_every_n_epochs": 0, "enable_autolog_hparams": True,
          "overfit_batches": 0.0}  # fmt: skip  # what Lightning has by itself, so that it need not be named as left
STEPS = "steps"  # of a run that counts them in whole epochs: no setting of the trainer
LARGEST = 1_000_000  # bytes of a config.yaml that is read


class Place(NamedTuple):
    """Where a run is logged: in SAVE_DIR/NAME/version_N."""

    save_dir: str
    name: str


def run_folder(file: Path) -> Path | None:
    """Return the folder of the run that a checkpoint or a config.yaml belongs to; `None` if it lies elsewhere."""
    folder = Path(os.path.abspath(file)).parent
    if folder.name == "checkpoints":
        return folder.parent
    return folder if re.fullmatch(r"version_\d+", folder.name) or (folder / "checkpoints").is_dir() else None


def place_of(run: Path) -> Place:
    """Return the place in which a run goes on: a new version beside its own or, where it has no number, below it."""
    named = run.parent if re.fullmatch(r"version_\d+", run.name) else run
    return Place(from_here(named.parent), named.name)


def from_here(path: str | os.PathLike[str]) -> str:
    """Write a path from the current folder, if it lies below that, or else from the root."""
    relative = os.path.relpath(path)
    return os.path.abspath(path) if relative.split(os.sep)[0] == ".." else relative


def default_place(argv: Sequence[str]) -> Place:
    """Return where a run is logged unless it says otherwise: as its last configuration is called, or where the
    checkpoint that it goes on from was written."""
    files, checkpoint = configurations(argv), _checkpoint(argv)
    run = run_folder(Path(checkpoint.ckpt_path)) if checkpoint.ckpt_path and not files else None
    return place_of(run) if run is not None else Place("runs", Path(files[-1]).stem if files else "run")


def find_last(trainer: Namespace, files: Sequence[str] = ()) -> Path:
    """Return the newest `last.ckpt` of a run: beside a configuration that is a run's own, or else where it logs. Where
    that is broken, the newest whole checkpoint takes its place, and a line says so.

    Args:
        trainer: trainer of a configuration.
        files: files of the configuration.

    Raises:
        ValueError: there is none, or all are broken.
    """
    run = own_run(files)
    root = logged(trainer) if run is None else run
    found = list(root.rglob("last.ckpt"))
    if run is not None and re.fullmatch(r"version_\d+", run.name):
        found = list(run.parent.glob("version_*/checkpoints/last.ckpt"))
    if not found:
        raise ValueError(f"--ckpt_path last: there is no last.ckpt below {root}; leave it out to start a new run")
    last = max(found, key=_written)
    others = {path for file in found for path in file.parent.glob("*.ckpt")} - {last}
    for path in (last, *sorted(others, key=_written, reverse=True)):
        fault = broken(path)
        if fault is None:
            return path
        print(f"condgen: passed over, since it {fault}: {from_here(path)}", file=sys.stderr)
    raise ValueError(f"--ckpt_path last: no checkpoint below {root} can be read; start a new run")


def _written(path: Path) -> float:
    return path.stat().st_mtime


def own_run(files: Sequence[str]) -> Path | None:
    """Return the folder of the run whose own config.yaml is among some files."""
    return next((run for file in files if Path(file).name == "config.yaml" and (run := run_folder(Path(file)))), None)


def logged(trainer: Namespace) -> Path:
    """Return the folder that a trainer's logger writes its versions to."""
    logger = trainer.get("logger")
    places = logger.get("init_args", {}) if isinstance(logger, Namespace) else {}
    return Path(places.get("save_dir") or trainer.get("default_root_dir") or ".", places.get("name") or "")


def refuse_finished(content: Mapping[str, Any], trainer: Namespace, planned: int | None = None) -> None:
    """Refuse to train a run on that has done all that it is to do: Lightning would end without a word.

    Args:
        content: checkpoint to go on from.
        trainer: trainer of the run.
        planned: steps of the run where it counts them in whole epochs.

    Raises:
        ValueError: it has; the message says what to give.
    """
    found = content.get("global_step")
    steps = found if isinstance(found, int) else 0
    if planned is not None and trainer.get("max_epochs") in (None, -1) and planned <= steps:
        raise ValueError(f"this run has done its {steps} steps; give --steps M with M more than {steps} to train on")
    for name, done in (("epochs", epochs_done(content)), ("steps", steps)):
        most = trainer.get(f"max_{name}")
        if isinstance(most, int) and 0 <= most <= done:
            raise ValueError(f"this run has done its {done} {name}; give --trainer.max_{name} M with M more than "
                             f"{done} to train on")  # fmt: skip


def refuse_export(checkpoint: Checkpoint, command: str) -> None:
    """Refuse an exported model for a command that needs more than the averaged weights, which alone it holds.

    Raises:
        ValueError: the command trains on from it, or needs its discriminator; the message says what to give.
    """
    if not checkpoint.is_export:
        return
    if command == "fit":
        raise ValueError(f"{checkpoint.path} is an exported model and holds no optimizer state to go on from: start a "
                         f"new run from its weights, -c CONFIGURATION --weights {checkpoint.path}")  # fmt: skip
    if "discriminator" in checkpoint.hyper_parameters:
        raise ValueError(f"{checkpoint.path} is an exported model without its discriminator, which `condgen {command}` "
                         f"asks: measure it with `condgen evaluate {checkpoint.path} --out DIR`")  # fmt: skip


def precision_of(content: Mapping[str, Any]) -> str:
    """Return the precision of the run that wrote a checkpoint, in which it goes on: those that do not say it had 32
    bits, where nothing else was asked for."""
    found = content.get("precision")
    return found if isinstance(found, str) and re.fullmatch(WORDS["precision"], found) else "32-true"


def epochs_done(content: Mapping[str, Any]) -> int:
    """Return how many epochs a checkpoint has seen to their end."""
    place: Any = content.get("loops", {})
    for name in ("fit_loop", "epoch_progress", "current", "processed"):
        place = place.get(name, 0) if isinstance(place, Mapping) else 0
    return place if isinstance(place, int) else 0


def from_checkpoint(argv: list[str]) -> list[str]:
    """Where a command is given a checkpoint and no configuration, take model and data from the checkpoint, and what is
    plain of the trainer's settings from the config.yaml of its run."""
    command, *options = argv
    names = {option.partition("=")[0] for option in options}
    given = _checkpoint(argv)
    if names & {"-c", "--config", "--model", "--data", "-h", "--help"} or "--ckpt_path" not in names:
        return argv
    if given.ckpt_path == "last":
        raise ValueError("--ckpt_path last: of which run? Give its configuration too, -c RUN/config.yaml, or the file "
                         "of the checkpoint")  # fmt: skip
    checkpoint = Checkpoint.open(given.ckpt_path or "", given.trust)
    refuse_export(checkpoint, command)
    checkpoint.warn_of_places(name.removeprefix("--data.") for name in names)
    parts = {"--model": (checkpoint.task_path, checkpoint.hyper_parameters),
             "--data": (checkpoint.data_path, checkpoint.data_settings)}  # fmt: skip
    described = [word for name, (path, arguments) in parts.items()
                 for word in (name, json.dumps({"class_path": path, "init_args": arguments}))]  # fmt: skip
    trainer = ["--trainer.logger", "false"] if command != "fit" else list(_trainer(checkpoint.path))
    return [command, *described, *trainer, *options]


def _checkpoint(argv: Sequence[str]) -> argparse.Namespace:
    """Read which checkpoint is given on a command line, and which modules are trusted."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--ckpt_path", nargs="?", default="")
    parser.add_argument("--trust", nargs="+", default=[])
    return parser.parse_known_args(list(argv[1:]))[0]


def _trainer(checkpoint: Path) -> Iterator[str]:
    """Turn what is plain of the trainer in a run's config.yaml into options; say what is taken and what is left."""
    file = (run_folder(checkpoint) or checkpoint.parent) / "config.yaml"
    settings = _settings(file)
    if settings is None:
        print(f"condgen: no readable config.yaml in {from_here(file.parent)}: the trainer has Lightning's own settings",
              file=sys.stderr)  # fmt: skip
        return
    taken = {name: value for name, value in settings.items() if _is_plain(name, value)}
    left = [name for name, value in settings.items() if name not in taken and value not in (None, UNSAID.get(name))]
    words = ", ".join(f"{name} {value}" for name, value in taken.items()) or "nothing"
    unsaid = f"; left, as it may name what runs or writes: {printable(', '.join(left)[:200])}" if left else ""
    print(f"condgen: of the trainer in {from_here(file)}: {words}{unsaid}", file=sys.stderr)
    for name, value in taken.items():
        word = value if isinstance(value, str) else json.dumps(value)
        yield f"--steps={word}" if name == STEPS else f"--trainer.{name}={word}"


def _settings(file: Path) -> dict[str, Any] | None:
    """Read the trainer's settings in a configuration, and its `steps`, as data; `None` where there are none."""
    try:
        if file.stat().st_size > LARGEST:
            return None
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        return None
    trainer = content.get("trainer") if isinstance(content, dict) else None
    if not isinstance(trainer, dict):
        return None
    return {**{str(name): value for name, value in trainer.items()}, STEPS: content.get(STEPS)}


def _is_plain(name: str, value: Any) -> bool:
    if name in (*NUMBERS, STEPS):
        return isinstance(value, int | float)
    return name in WORDS and isinstance(value, int | str) and re.fullmatch(WORDS[name], str(value)) is not None
