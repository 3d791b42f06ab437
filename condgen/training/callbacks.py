"""Callbacks: the average of the weights, and what shows, while a model trains, what it draws and how good that is."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import WeightAveraging
from pytorch_lightning.utilities import rank_zero_info, rank_zero_warn
from torch import Tensor

from condgen.data.batch import Batch
from condgen.evaluation.classifier import ImageClassifier
from condgen.evaluation.pictures import conditions_grid, save_grid, save_waveforms
from condgen.evaluation.samples import NEIGHBOURS, draw_like, fidelity, train_classifiers
from condgen.evaluation.views import view
from condgen.models import ConditionalGenerator
from condgen.sampling import sampler


class EMA(WeightAveraging):
    """Averages the weights: validation, test, and what checkpoints give to sampling use the average.

    The decay grows as (1 + updates) / (10 + updates) up to its value, so that a short run is not held back by its
    first weights. For models with one optimizer.

    Args:
        decay: weight of the past in the running average.
    """

    def __init__(self, decay: float = 0.999) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"decay {decay} is not in [0, 1)")
        super().__init__(multi_avg_fn=partial(_average, decay=decay))


def _average(averaged: list[Tensor], current: list[Tensor], updates: Tensor | int, decay: float) -> None:
    count = float(updates)
    weight = 1 - min(decay, (1 + count) / (10 + count))
    for average, new in zip(averaged, current, strict=True):
        if average.is_floating_point():
            average.lerp_(new, weight)
        else:
            average.copy_(new)


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
        draw = sampler(pl_module.model)
        drawn = draw(pl_module.model, conditions, num_samples=len(labels) * self.per_class, progress=False)
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
        model = pl_module.model
        conditions = {name: batch.conditions[name][: self.count] for name in model.encoders}
        lengths = batch.scored[: self.count].sum(1).tolist()
        options: dict[str, Any] = {"length": lengths}
        if isinstance(model, ConditionalGenerator):
            options, lengths = {}, [network.shape[-1]] * len(lengths)
        drawn = sampler(model)(model, conditions, num_samples=len(lengths), progress=False, **options)
        waveforms = [w[0, :n].numpy() for w, n in zip(network.quantization.decode(drawn.x.cpu()), lengths, strict=True)]
        writer: Any = getattr(trainer.logger, "experiment", None)
        for i, waveform in enumerate(waveforms):
            soundfile.write(f"{path}_{i}.wav", waveform, network.sample_rate, subtype="PCM_16")
            if hasattr(writer, "add_audio"):
                writer.add_audio(f"sample_{i}", waveform, trainer.global_step, sample_rate=network.sample_rate)
        titles = [f"sample {i}" for i in range(len(waveforms))]
        save_waveforms(path.with_suffix(".png"), waveforms, network.sample_rate, titles)


class SampleQuality(pl.Callback):
    """Lets a classifier, trained on real training data when the run begins, look at samples while a model trains.

    Logs `val/frechet`, the Fréchet distance of samples to validation examples in the classifier's features (averaged
    over the kinds of classes), and `val/read_NAME`, the share of samples read as the class of NAME asked for. Losses of
    an adversarial run say nothing of quality: the best checkpoint is chosen by one of these.

    Args:
        num_samples: to draw each time, with the conditions of validation examples and the same noise.
        every_n_epochs: how often, with validation.
        classifier_steps: training steps of the classifier, 40 passes through the training data at the most.
    """

    def __init__(self, num_samples: int = 1000, every_n_epochs: int = 1, classifier_steps: int = 300) -> None:
        self.num_samples, self.every_n_epochs, self.classifier_steps = num_samples, every_n_epochs, classifier_steps
        self.classifiers: dict[str, ImageClassifier] = {}

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        data: Any = getattr(trainer, "datamodule", None)
        if data is None:
            raise ValueError("SampleQuality needs a data module of condgen")
        if min(self.num_samples, len(data.dataset("val"))) <= NEIGHBOURS:
            raise ValueError(f"SampleQuality needs more than {NEIGHBOURS} samples and validation examples; there are "
                             f"{self.num_samples} and {len(data.dataset('val'))}")  # fmt: skip
        rank_zero_info(f"training the classifiers of {', '.join(data.names)} that will look at samples")
        few = 40 * len(data.dataset("train")) // 128 + 1
        self.classifiers = train_classifiers(data, min(self.classifier_steps, few), seed=1)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        if trainer.sanity_checking or not self.classifiers or (trainer.current_epoch + 1) % self.every_n_epochs:
            return
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        seen, model = view(data), pl_module.model
        held_out = data.dataset("val")
        rows = torch.randperm(len(held_out), generator=torch.Generator().manual_seed(0))[: self.num_samples]
        real = Batch(*held_out.__getitems__(rows.tolist()))
        drawn, lengths = draw_like(model, real, seed=0, batch_size=250, progress=False)
        pictures, originals = (seen.drawn(x, lengths or []) for x in (drawn, real.x))
        distances = []
        for name, classifier in self.classifiers.items():
            asked = real.conditions[name]
            found = fidelity(classifier, pictures, asked, originals, asked)
            distances.append(found.frechet)
            pl_module.log(f"val/read_{name}", found.accuracy, prog_bar=True)
        pl_module.log("val/frechet", sum(distances) / len(distances), prog_bar=True)


ALARMS = {
    "rank": "the discriminator wins: it ranks {:.1%} of real examples above generated ones; lower "
    "model.discriminator_learning_rate, give it spectral_norm, or set model.r1",
    "diversity": "samples collapse: two of equal conditions are only {:.1%} as far apart as real ones; start from an "
    "earlier checkpoint with --weights FILE and a lower learning rate, or set model.r1",
}


class AdversarialAlarm(pl.Callback):
    """Warns where the discriminator wins or the samples collapse, once until it is over.

    Args:
        every_n_steps: over how many batches `rank` and `diversity` are averaged.
        rank: the discriminator wins from here on.
        diversity: samples have collapsed below this.
    """

    def __init__(self, every_n_steps: int = 200, rank: float = 0.99, diversity: float = 0.2) -> None:
        self.every_n_steps, self.rank, self.diversity = every_n_steps, rank, diversity
        self.seen: dict[str, list[Tensor]] = {"rank": [], "diversity": []}
        self.raised: set[str] = set()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        for name, values in self.seen.items():
            if name in outputs:
                values.append(outputs[name])
            if len(values) >= self.every_n_steps:
                mean = float(torch.stack(values).mean())
                values.clear()
                self._judge(name, mean, trainer.global_step)

    def _judge(self, name: str, mean: float, step: int) -> None:
        wrong = mean > self.rank if name == "rank" else mean < self.diversity
        if wrong and name not in self.raised:
            rank_zero_warn(f"step {step}: {ALARMS[name].format(mean)}")
        self.raised = self.raised | {name} if wrong else self.raised - {name}


def _path(trainer: pl.Trainer, chosen: bool, every_n_epochs: int) -> Path | None:
    """Return where to write, without a suffix; `None` where nothing is due or this is not the batch chosen."""
    due = (trainer.current_epoch + 1) % every_n_epochs == 0
    if not (chosen and due) or trainer.sanity_checking or not trainer.is_global_zero or trainer.log_dir is None:
        return None
    path = Path(trainer.log_dir) / "samples" / f"step_{trainer.global_step:07d}"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
