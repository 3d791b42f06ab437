"""Runs that diverge: they stop before weights that are no numbers take the place of good ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import Tensor


def check_finite(trainer: pl.Trainer, *states: Mapping[str, Tensor]) -> None:
    """Refuse weights that are no numbers any more.

    Args:
        trainer: trainer of the run.
        states: tensors by name.

    Raises:
        FloatingPointError: a tensor holds something that is not finite; the message names it and what is kept.
    """
    entries = [(name, value) for state in states for name, value in state.items() if value.is_floating_point()]
    wrong = [name for name, value in entries if not torch.isfinite(value).all()]
    if _anywhere(trainer, bool(wrong)):
        name = wrong[0] if wrong else "a tensor of another process"
        raise diverged(trainer, f"{name} is not finite any more", "lower the learning rate")


def check_loss(trainer: pl.Trainer, loss: Tensor, whose: str, advice: str) -> None:
    """Refuse a loss that is no number, in all processes of a run at once: one alone would leave the others waiting.

    Args:
        trainer: trainer of the run.
        loss: loss of a step.
        whose: name of the loss.
        advice: change that may help.

    Raises:
        FloatingPointError: it is none, here or in another process; the message says what is kept.
    """
    finite = bool(torch.isfinite(loss))
    if _anywhere(trainer, not finite):
        value = "no number in another process" if finite else loss.item()
        raise diverged(trainer, f"{whose} is {value}", advice)


def _anywhere(trainer: pl.Trainer, wrong: bool) -> bool:
    """Tell whether something is wrong in any process of a run, which all must ask."""
    return wrong if trainer.world_size == 1 else trainer.strategy.reduce_boolean_decision(wrong, all=False)


def diverged(trainer: pl.Trainer, what: str, advice: str) -> FloatingPointError:
    """Return the error of a run that diverges.

    Args:
        trainer: trainer of the run.
        what: figure that is no number.
        advice: change that may help.
    """
    kept = kept_checkpoint(trainer)
    rest = "the run has kept no checkpoint" if kept is None else f"{kept} is kept: start from it with --weights {kept}"
    return FloatingPointError(f"{what} at step {trainer.global_step}: {advice}; {rest}")


def kept_checkpoint(trainer: pl.Trainer) -> Path | None:
    """Return the newest checkpoint that a run has saved or that it goes on from; `None` where there is none."""
    own = [c for c in trainer.checkpoint_callbacks if isinstance(c, ModelCheckpoint)]
    saved = [path for c in own for path in (c.best_model_path, c.last_model_path)]
    found = [Path(path) for path in [*saved, trainer.ckpt_path or ""] if path and Path(path).is_file()]
    return max(found, key=lambda path: path.stat().st_mtime, default=None)
