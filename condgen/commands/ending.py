"""The end of `condgen fit`: which checkpoints are kept, and the next command; and nothing where nothing began."""

from __future__ import annotations

import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger
from pytorch_lightning.utilities.exceptions import SIGTERMException
from pytorch_lightning.utilities.seed import isolate_rng

from condgen.commands.going_on import from_here
from condgen.commands.next_step import foreign_modules, sampling_command
from condgen.data import Speech
from condgen.training import AdversarialTask, LikelihoodTask


@contextmanager
def stopped_by_hand(trainer: pl.Trainer) -> Iterator[None]:
    """Let Ctrl-C be what it is: Lightning makes it an exit with status 1. Of several processes, one speaks of it."""
    try:
        yield
    except SystemExit as stop:
        if stop.code != 1 or not trainer.interrupted:
            raise
        if not trainer.is_global_zero:
            sys.exit(130)
        raise KeyboardInterrupt from None


@contextmanager
def telling_what_is_kept(trainer: pl.Trainer, task: pl.LightningModule) -> Iterator[None]:
    """Name the checkpoints of a run and the next command when it ends well, by Ctrl-C, or by SIGTERM, which leaves the
    exit status that shells give it."""
    try:
        yield
    except KeyboardInterrupt:
        _tell(trainer, task)
        raise
    except SIGTERMException:
        _tell(trainer, task)
        sys.exit(128 + signal.SIGTERM)
    _tell(trainer, task)


def _tell(trainer: pl.Trainer, task: pl.LightningModule) -> None:
    if not trainer.is_global_zero:
        return
    callbacks = [c for c in trainer.checkpoint_callbacks if isinstance(c, ModelCheckpoint)]
    kept = [c for c in callbacks if c.best_model_path and Path(c.best_model_path).is_file()]
    if not kept:
        print("No checkpoint is kept: the first one is written at the end of an epoch.")
    for callback in kept:
        score = callback.best_model_score
        words = f"{callback.monitor} {float(score):.4g}" if score is not None else f"{trainer.current_epoch} epochs"
        path = from_here(callback.best_model_path)
        print(f"{Path(path).stem}: {path} ({words})")
    if kept and isinstance(task, LikelihoodTask | AdversarialTask):
        print(f"Draw from it: {_command(kept[0].best_model_path, trainer, task)}")


def _command(path: str, trainer: pl.Trainer, task: LikelihoodTask | AdversarialTask) -> str:
    data: pl.LightningDataModule | None = trainer.datamodule  # type: ignore[attr-defined]
    features = data.features if isinstance(data, Speech) else {}
    untrained = {name: [c for c, count in classes.items() if not count] for name, classes in
                 task.class_examples.items()}  # fmt: skip
    trust = foreign_modules(dict(task.hparams), dict(data.hparams) if data is not None else {})
    return sampling_command(from_here(path), task.model, features, untrained, trust)


@contextmanager
def no_empty_run(trainer: pl.Trainer) -> Iterator[None]:
    """Remove the folders of a run that ends before its first batch, unless they were there before."""
    loggers = [logger for logger in trainer.loggers if isinstance(logger, CSVLogger | TensorBoardLogger)]
    roots = [Path(logger.root_dir) for logger in loggers if "://" not in str(logger.root_dir)]
    before = {path for root in roots for path in (*root.parents, root, *_inside(root)) if path.exists()}
    try:
        yield
    except BaseException:
        if trainer.is_global_zero and not trainer.fit_loop.epoch_loop.batch_progress.total.ready:
            for root in roots:
                _remove(root, before, {Path(logger.log_dir) for logger in loggers if logger._version is not None})
        raise


def _inside(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _remove(root: Path, before: set[Path], own: set[Path]) -> None:
    for folder in _inside(root):
        if folder in own - before:
            shutil.rmtree(folder, ignore_errors=True)
    for folder in (root, *root.parents):
        if folder not in before:
            with suppress(OSError):  # it is not empty: another run's, which began meanwhile
                folder.rmdir()


@contextmanager
def process_as_it_was() -> Iterator[None]:
    """Undo what Lightning changes for the whole process: random numbers, how PyTorch computes, what Ctrl-C does."""
    isolated = isolate_rng()  # which by itself undoes nothing where an error ends the command
    isolated.__enter__()
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    backend, benchmark = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark
    stop = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        isolated.__exit__(None, None, None)
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = backend, benchmark
        with suppress(ValueError):  # outside the main thread, where no handler was changed either
            signal.signal(signal.SIGINT, stop)
