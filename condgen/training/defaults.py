"""What a training run has unless it says otherwise: checkpoints `best` and `last`, and samples to look at.

Tasks give these in `configure_callbacks`, so that a run has them whether its trainer comes from a configuration or is
built in Python. What a trainer has of its own comes first: a callback takes the place of the default of its class, and
a `ModelCheckpoint` that of the default of its file name. A trainer that keeps no checkpoints
(`enable_checkpointing=False`) or no log (`logger=False`) is given none, and no samples. The logger comes from
`condgen.commands.fit`, which names the run after its configuration.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import pytorch_lightning as pl
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger
from pytorch_lightning.plugins.io import TorchCheckpointIO

from condgen.models.contract import FiLMedNetwork, audio
from condgen.training.callbacks import SampleAudio, SampleGrid
from condgen.training.last import Last, WholeFiles

Kind = TypeVar("Kind", bound=pl.Callback)


def own_callbacks(trainer: pl.Trainer) -> list[pl.Callback]:
    """Return the callbacks that a trainer has."""
    return trainer.callbacks  # type: ignore[attr-defined]  # Lightning sets it and declares it nowhere


def find(trainer: pl.Trainer, kind: type[Kind]) -> Kind | None:
    """Return the first callback of a class that a trainer has; `None` where it has none."""
    return next((callback for callback in own_callbacks(trainer) if isinstance(callback, kind)), None)


def claim_folders(trainer: pl.Trainer) -> None:
    """Make the folder of every logger that numbers its runs, so that no run that starts at the same time has it too."""
    numbering = [c for c in trainer.loggers if isinstance(c, CSVLogger | TensorBoardLogger) and c._version is None]
    for logger in numbering if trainer.is_global_zero else []:
        if "://" not in logger.log_dir:  # such as of a store in a network, which has no folders
            while not _made(Path(logger.log_dir)):
                logger._version = None  # count anew


def _made(folder: Path) -> bool:
    """Make a folder; tell whether it is new."""
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        return False
    return True


def check_monitors(trainer: pl.Trainer) -> None:
    """Refuse callbacks that watch figures of validation in a run without validation.

    Raises:
        ValueError: there is one; the message names it and its figure.
    """
    for callback in own_callbacks(trainer):
        watched = callback.monitor if isinstance(callback, EarlyStopping | ModelCheckpoint) else None
        if watched and watched.startswith("val/") and not trainer.enable_validation:
            raise ValueError(f"{type(callback).__name__} watches {watched}, and this run has no validation: set "
                             "trainer.limit_val_batches, or let it watch a figure of training")  # fmt: skip


def sampling(trainer: pl.Trainer, network: FiLMedNetwork, every_n_epochs: int | None) -> list[pl.Callback]:
    """Return the callback that shows samples while a network trains; nothing where the trainer does it or logs nothing.

    Args:
        trainer: trainer of the run.
        network: network that is trained.
        every_n_epochs: epochs from samples to samples; `None` for a twentieth of the run, 0 for none.
    """
    kind = SampleGrid if audio(network) is None else SampleAudio
    wanted = every_n_epochs != 0 and trainer.loggers and find(trainer, kind) is None
    return [kind(every_n_epochs)] if wanted else []


def checkpoints(trainer: pl.Trainer, monitor: str | None) -> list[pl.Callback]:
    """Return `best`, the trainer's own, which Lightning would drop for these, and `last`; none where it keeps none.

    Args:
        trainer: trainer of the run.
        monitor: logged figure by which `best` is chosen, the lower the better; `None` for no `best`, as where a run
            has no validation.
    """
    if not trainer.checkpoint_callbacks:
        return []
    if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:  # and not one of the user's own
        trainer.strategy.checkpoint_io = WholeFiles()
    made_by_lightning = vars(ModelCheckpoint())
    own = [c for c in own_callbacks(trainer) if isinstance(c, ModelCheckpoint) and vars(c) != made_by_lightning]
    names = {c.filename for c in own} | {"last" for c in own if c.save_last}
    best = ModelCheckpoint(filename="best", enable_version_counter=False, monitor=monitor)
    # Lightning takes the first one for `ckpt_path="best"`.
    chosen = monitor and trainer.enable_validation and "best" not in names
    return [*([best] if chosen else []), *own, *([Last()] if "last" not in names else [])]
