"""The running average of weights: its formula, and the callback that keeps it for a task with one optimizer."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import pytorch_lightning as pl
from pytorch_lightning.callbacks import WeightAveraging
from torch import Tensor


def move_average(averages: Iterable[Tensor], current: Iterable[Tensor], updates: Tensor | int, decay: float) -> None:
    """Move running averages towards current values by 1 − min(decay, (1 + updates) / (10 + updates)).

    A short run is thus not held back by its first weights. Whole numbers are copied.

    Args:
        averages: tensors that are moved, in place.
        current: tensors that they are moved towards, in the same order.
        updates: number of updates so far.
        decay: weight of the past in the end.
    """
    count = float(updates)
    weight = 1 - min(decay, (1 + count) / (10 + count))
    for average, value in zip(averages, current, strict=True):
        if average.is_floating_point():
            average.lerp_(value, weight)
        else:
            average.copy_(value)


class EMA(WeightAveraging):
    """Averages the weights: validation, test, and what checkpoints give to sampling use the average.

    For models with one optimizer. `LikelihoodTask` adds it by itself.

    Args:
        decay: weight of the past in the running average; it grows towards this as (1 + updates) / (10 + updates).
    """

    def __init__(self, decay: float = 0.999) -> None:
        super().__init__(multi_avg_fn=partial(move_average, decay=checked_decay(decay, "decay")))

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        if self._average_model is not None and trainer.precision == "64-true":
            self._average_model.double()  # Lightning converts the module itself later, and alone


def checked_decay(decay: float, name: str) -> float:
    """Return a decay; refuse one outside [0, 1).

    Raises:
        ValueError: it is outside; the message holds its name.
    """
    if not 0 <= decay < 1:
        raise ValueError(f"{name} {decay} is not in [0, 1)")
    return decay
