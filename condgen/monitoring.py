"""Callbacks that show, while a model trains, what it draws."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from condgen.data.batch import Batch
from condgen.pictures import conditions_grid, save_grid, save_waveforms
from condgen.sampling import sample


class SampleGrid(pl.Callback):
    """Draws a grid of samples per class while training, from the same noise each time, into the log folder.

    Args:
        every_n_epochs: how often; after validation, with the averaged weights where `EMA` is used.
        per_class: samples per class.
    """

    def __init__(self, every_n_epochs: int = 1, per_class: int = 8) -> None:
        self.every_n_epochs, self.per_class = every_n_epochs, per_class

    def on_validation_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Batch, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        last = batch_idx + 1 == trainer.num_val_batches[dataloader_idx]
        path = _path(trainer, last, self.every_n_epochs)
        if path is None:
            return
        conditions, labels = conditions_grid(pl_module.model, pl_module.own_conditions(batch[1]), self.per_class)
        drawn = sample(pl_module.model, conditions, num_samples=len(labels) * self.per_class, progress=False)
        picture = path.with_suffix(".png")
        save_grid(picture, drawn.x, pl_module.model.network.levels, self.per_class, labels)
        writer: Any = getattr(trainer.logger, "experiment", None)
        if hasattr(writer, "add_image"):
            import numpy as np
            from PIL import Image

            writer.add_image("samples", np.array(Image.open(picture).convert("RGB")), trainer.global_step,
                             dataformats="HWC")  # fmt: skip


class SampleAudio(pl.Callback):
    """Draws audio with the conditions and lengths of some validation clips while training, from the same noise each
    time, into the log folder: WAV files, and a picture of their waveforms and spectrograms.

    Args:
        every_n_epochs: how often; after validation, with the averaged weights where `EMA` is used.
        count: clips.
    """

    def __init__(self, every_n_epochs: int = 1, count: int = 4) -> None:
        self.every_n_epochs, self.count = every_n_epochs, count

    def on_validation_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Batch, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        # The middle batch: clips come by length, and the longest would take longest.
        batches = int(trainer.num_val_batches[dataloader_idx])
        path = _path(trainer, batch_idx == batches // 2, self.every_n_epochs)
        if path is None or batch.scored is None:
            return
        import soundfile

        network = pl_module.model.network
        conditions = {name: value[: self.count] for name, value in pl_module.own_conditions(batch.conditions).items()}
        lengths = batch.scored[: self.count].sum(1).tolist()
        drawn = sample(pl_module.model, conditions, num_samples=len(lengths), length=lengths, progress=False)
        waveforms = [w[0, :n].numpy() for w, n in zip(network.quantization.decode(drawn.x.cpu()), lengths, strict=True)]
        writer: Any = getattr(trainer.logger, "experiment", None)
        for i, waveform in enumerate(waveforms):
            soundfile.write(f"{path}_{i}.wav", waveform, network.sample_rate, subtype="PCM_16")
            if hasattr(writer, "add_audio"):
                writer.add_audio(f"sample_{i}", waveform, trainer.global_step, sample_rate=network.sample_rate)
        titles = [f"sample {i}" for i in range(len(waveforms))]
        save_waveforms(path.with_suffix(".png"), waveforms, network.sample_rate, titles)


def _path(trainer: pl.Trainer, chosen: bool, every_n_epochs: int) -> Path | None:
    """Return where to write, without a suffix; `None` where nothing is due or this is not the batch chosen."""
    due = (trainer.current_epoch + 1) % every_n_epochs == 0
    if not (chosen and due) or trainer.sanity_checking or not trainer.is_global_zero or trainer.log_dir is None:
        return None
    path = Path(trainer.log_dir) / "samples" / f"step_{trainer.global_step:07d}"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
