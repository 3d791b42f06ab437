"""The checkpoint `last`, from which a run goes on: it is written often, appears whole, and is written when a run is
stopped."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.plugins.io import TorchCheckpointIO
from pytorch_lightning.utilities.exceptions import SIGTERMException

from condgen.atomic import whole_file

ASK_EVERY = 16  # batches after which several processes ask each other whether one of them is to stop


class WholeFiles(TorchCheckpointIO):
    """Writes a checkpoint beside its place, flushes it to the disk, and renames it: what stands there is always whole.

    Lightning writes by way of the folder for temporary files; where that is on another disk, it copies.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        """Write a checkpoint; what is no path of this machine is Lightning's matter."""
        if "://" in str(path):
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as temporary, open(temporary, "wb") as file:
            torch.save(checkpoint, file)
            file.flush()
            os.fsync(file.fileno())


class Last(ModelCheckpoint):
    """Keeps `last.ckpt`: at the end of every epoch, every ten minutes inside one, and when a run is stopped.

    The first Ctrl-C ends a run after the batch that it is in, so that the checkpoint is one between two batches; the
    second ends it at once. SIGTERM, with which schedulers end a job, is like the first.

    Args:
        minutes: minutes from one checkpoint to the next inside an epoch.
    """

    def __init__(self, minutes: float = 10.0) -> None:
        super().__init__(filename="last", enable_version_counter=False, save_on_train_epoch_end=True)
        if minutes <= 0:
            raise ValueError(f"minutes {minutes} from checkpoint to checkpoint are not above 0")
        self.seconds, self.is_asked, self.written = 60 * minutes, False, time.monotonic()
        self.before: Any = None

    @property
    def state_key(self) -> str:
        """The name of what it keeps in a checkpoint, as in checkpoints of before."""
        return super().state_key.replace(type(self).__qualname__, ModelCheckpoint.__qualname__, 1)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        self.written, self.is_asked = time.monotonic(), False
        if threading.current_thread() is threading.main_thread():
            self.before = signal.signal(signal.SIGINT, self._ask)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        """Hear the first Ctrl-C; the next one does what it did before."""
        self.is_asked = True
        print("condgen: stopping after this batch, with a checkpoint; Ctrl-C again stops at once", file=sys.stderr)
        self._forget()

    def _forget(self) -> None:
        if self.before is not None:
            signal.signal(signal.SIGINT, self.before)
            self.before = None

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        is_due = time.monotonic() - self.written > self.seconds
        wish = 2 if self.is_asked else int(is_due)
        if trainer.world_size > 1:  # all write together, or none
            wish = self._common(trainer, wish) if batch_idx % ASK_EVERY == 0 else 0
        if wish:
            self.write(trainer)
        if wish == 2:
            raise KeyboardInterrupt

    def _common(self, trainer: pl.Trainer, wish: int) -> int:
        """Return the strongest wish of all processes."""
        own = torch.tensor(wish, device=trainer.strategy.root_device)
        return int(trainer.strategy.reduce(own, reduce_op="max"))

    def write(self, trainer: pl.Trainer) -> None:
        """Write `last.ckpt` as things stand between two batches."""
        path = Path(self.dirpath or trainer.default_root_dir) / "last.ckpt"
        self.best_model_path = str(path)
        trainer.save_checkpoint(path)
        self.written = time.monotonic()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        # Validation runs with averaged weights in their place, and begins with a checkpoint.
        if isinstance(exception, SIGTERMException) and trainer.training:
            self.write(trainer)
        self._forget()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_train_end(trainer, pl_module)
        self._forget()
