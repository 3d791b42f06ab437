"""What a training run has unless it says otherwise: checkpoints `best` and `last`, and samples to look at.

Tasks give these in `configure_callbacks`, so that a run has them whether its trainer comes from a configuration or is
built in Python. What a trainer has of its own comes first: a callback takes the place of the default of its class, and
a `ModelCheckpoint` that of the default of its file name. A trainer that keeps no checkpoints
(`enable_checkpointing=False`) or no log (`logger=False`) is given none, and no samples. The logger comes from
`condgen.commands.fit`, which names the run after its configuration.
"""

from __future__ import annotations

from typing import TypeVar

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ModelCheckpoint

from condgen.models.contract import FiLMedNetwork, audio
from condgen.training.callbacks import SampleAudio, SampleGrid

Kind = TypeVar("Kind", bound=pl.Callback)


def own_callbacks(trainer: pl.Trainer) -> list[pl.Callback]:
    """Return the callbacks that a trainer has."""
    return trainer.callbacks  # type: ignore[attr-defined]  # Lightning sets it and declares it nowhere


def find(trainer: pl.Trainer, kind: type[Kind]) -> Kind | None:
    """Return the first callback of a class that a trainer has; `None` where it has none."""
    return next((callback for callback in own_callbacks(trainer) if isinstance(callback, kind)), None)


def sampling(trainer: pl.Trainer, network: FiLMedNetwork, every_n_epochs: int) -> list[pl.Callback]:
    """Return the callback that shows samples while a network trains; nothing where the trainer does it or logs nothing.

    Args:
        trainer: trainer of the run.
        network: network that is trained.
        every_n_epochs: epochs from samples to samples; 0 for none.
    """
    kind = SampleGrid if audio(network) is None else SampleAudio
    wanted = every_n_epochs > 0 and trainer.loggers and find(trainer, kind) is None
    return [kind(every_n_epochs)] if wanted else []


def checkpoints(trainer: pl.Trainer, monitor: str | None, every_n_epochs: int = 1) -> list[pl.Callback]:
    """Return `best`, the trainer's own, which Lightning would drop for these, and `last`; none where it keeps none.

    Args:
        trainer: trainer of the run.
        monitor: logged figure by which `best` is chosen, the lower the better; `None` for no `best`, as where a run
            has no validation.
        every_n_epochs: epochs from one such figure to the next.
    """
    if not trainer.checkpoint_callbacks:
        return []
    made_by_lightning = vars(ModelCheckpoint())
    own = [c for c in own_callbacks(trainer) if isinstance(c, ModelCheckpoint) and vars(c) != made_by_lightning]
    names = {c.filename for c in own} | {"last" for c in own if c.save_last}
    best = ModelCheckpoint(
        filename="best", enable_version_counter=False, monitor=monitor, every_n_epochs=every_n_epochs
    )
    last = ModelCheckpoint(filename="last", enable_version_counter=False, save_on_train_epoch_end=True)
    # Lightning takes the first one for `ckpt_path="best"`.
    chosen = monitor and trainer.enable_validation and "best" not in names
    return [*([best] if chosen else []), *own, *([last] if "last" not in names else [])]
