"""How long a run is, and how often it is looked at: by its own length, where nothing is said.

A run ends with a validation and with samples, however short it is; a set of fifteen images is gone through more often
than one of fifty thousand.
"""

from __future__ import annotations

import math

import pytorch_lightning as pl

LOOKS = 20  # at samples in a run, about


class WholeEpochs(pl.Callback):
    """Gives a run as many whole epochs as make a number of training steps.

    Args:
        steps: steps of the optimizer, at least.
    """

    def __init__(self, steps: int) -> None:
        if steps < 1:
            raise ValueError(f"steps {steps} is not at least 1")
        self.steps = steps

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Count the steps of an epoch, and set the epochs of the run by them."""
        if stage == "fit":
            trainer.fit_loop.max_epochs = 1
            trainer.fit_loop.max_epochs = math.ceil(self.steps / trainer.estimated_stepping_batches)


def epochs(trainer: pl.Trainer) -> int | None:
    """Return the epochs of a run while it trains; `None` where it has no end."""
    limits = [trainer.max_epochs] if trainer.max_epochs is not None and trainer.max_epochs >= 0 else []
    if trainer.max_steps >= 0 and 0 < trainer.num_training_batches < math.inf:
        limits.append(math.ceil(trainer.max_steps * trainer.accumulate_grad_batches / trainer.num_training_batches))
    return min(limits, default=None)


def due(trainer: pl.Trainer, every_n_epochs: int | None) -> bool:
    """Tell whether samples are due in this epoch: every so many epochs, and in the last one.

    Args:
        trainer: trainer of the run.
        every_n_epochs: epochs from samples to samples; `None` for a twentieth of the run.
    """
    number, total = trainer.current_epoch + 1, epochs(trainer)
    every = max(1, (total or LOOKS) // LOOKS) if every_n_epochs is None else every_n_epochs
    return number == total or number % every == 0


def validate_at_the_end(trainer: pl.Trainer) -> None:
    """Let validation come as often as asked for, or as much more often as it takes for the last epoch to have one."""
    every, total = trainer.check_val_every_n_epoch, trainer.max_epochs
    if every is not None and total is not None and total > 0:
        divisors = (n for n in range(min(every, total), 0, -1) if total % n == 0)
        trainer.check_val_every_n_epoch = next(divisors)
