"""Callbacks that show, while a model trains, what it generates and how good that is."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger, WandbLogger
from pytorch_lightning.utilities import rank_zero_info, rank_zero_warn
from torch import Tensor

from condgen.data import Images, Speech
from condgen.data.batch import Batch, Split, as_batch
from condgen.evaluation.by_class import alarms, by_class
from condgen.evaluation.classifier import ImageClassifier
from condgen.evaluation.pictures import MOST, conditions_grid, save_grid, save_waveforms
from condgen.evaluation.samples import NEIGHBOURS, fidelity, sample_like, train_classifiers
from condgen.evaluation.sound import write_wav
from condgen.evaluation.views import view
from condgen.models.conditional import Model
from condgen.models.contract import audio
from condgen.sampling import sampler
from condgen.training.compatibility import data_of
from condgen.training.pace import due


class SampleGrid(pl.Callback):
    """Generates a grid of images, a row per class, while a model trains, from the same noise each time, into the log
    folder.

    Args:
        every_n_epochs: epochs from grid to grid; they come after validation, with the averaged weights where there
            are such. `None` for a twentieth of the run; the last epoch always has one.
        per_class: samples per class.
    """

    def __init__(self, every_n_epochs: int | None = None, per_class: int = 8) -> None:
        self.every_n_epochs, self.per_class = every_n_epochs, per_class

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        last = batch_idx + 1 == trainer.num_val_batches[dataloader_idx]
        paths = _paths(trainer, last, self.every_n_epochs)
        if not paths:
            return
        model = cast(Model, pl_module.model)
        conditions, labels = conditions_grid(model, as_batch(batch).conditions)
        samples = sampler(model)(model, conditions, num_samples=self.per_class, progress=False)
        for path in paths:
            save_grid(path.with_suffix(".png"), samples.x, model.network.levels, self.per_class, labels)
        _show(trainer, paths[0].with_suffix(".png"))


def _show(trainer: pl.Trainer, picture: Path) -> None:
    """Give a picture to the loggers that take more than files."""
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            from PIL import Image

            image = np.array(Image.open(picture).convert("RGB"))
            logger.experiment.add_image("samples", image, trainer.global_step, dataformats="HWC")
        elif isinstance(logger, WandbLogger):
            logger.log_image("samples", [str(picture)], trainer.global_step)


class SampleAudio(pl.Callback):
    """Generates audio with the conditions and lengths of some validation clips while a model trains, from the same
    noise each time, into the log folder: WAV files, and a picture of their waveforms and spectrograms.

    Args:
        every_n_epochs: epochs from samples to samples; they come after validation, with the averaged weights where
            there are such. `None` for a twentieth of the run; the last epoch always has some.
        count: number of clips.
    """

    def __init__(self, every_n_epochs: int | None = None, count: int = 4) -> None:
        self.every_n_epochs, self.count = every_n_epochs, count

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        # The middle batch: clips come by length, and the longest would take longest.
        middle = batch_idx == int(trainer.num_val_batches[dataloader_idx]) // 2
        paths = _paths(trainer, middle, self.every_n_epochs)
        model, batch = cast(Model, pl_module.model), as_batch(batch)
        network = audio(model.network)
        if not paths or batch.scored is None or network is None:
            return
        some = {name: values[: self.count] for name, values in batch.conditions.items()}
        real = Batch(batch.x[: self.count], some, batch.scored[: self.count])
        x, lengths = sample_like(model, real, seed=0, progress=False)
        waveforms = network.quantization.decode(x)[:, 0].numpy()
        cut = [w[:n] for w, n in zip(waveforms, lengths or [], strict=True)]
        for path in paths:
            _save_sound(path, cut, network.sample_rate)
        _let_hear(trainer, paths[0], cut, network.sample_rate)


def _save_sound(path: Path, waveforms: list[np.ndarray], sample_rate: int) -> None:
    """Write waveforms as WAV files and into a picture."""
    for i, waveform in enumerate(waveforms):
        write_wav(path.with_name(f"{path.name}_{i}.wav"), waveform, sample_rate)
    save_waveforms(path.with_suffix(".png"), waveforms, sample_rate, [f"sample {i}" for i in range(len(waveforms))])


def _let_hear(trainer: pl.Trainer, path: Path, waveforms: list[np.ndarray], sample_rate: int) -> None:
    """Give sound to the loggers that take more than files."""
    for logger in trainer.loggers:
        for i, waveform in enumerate(waveforms):
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_audio(f"sample_{i}", waveform, trainer.global_step, sample_rate=sample_rate)
            elif isinstance(logger, WandbLogger):
                logger.log_audio(f"sample_{i}", [str(path.with_name(f"{path.name}_{i}.wav"))], trainer.global_step)


class SampleQuality(pl.Callback):
    """Lets a classifier, trained on real training data when the run begins, look at samples while a model trains.

    Logs `val/frechet`, the Fréchet distance of samples to validation examples in the classifier's features (averaged
    over the kinds of classes), and `val/accuracy_NAME`, the share of samples read as the class of NAME asked for. Class
    by class, it logs `val/read_NAME_CLASS`, the same share, and `val/diversity_NAME_CLASS`, the share of samples that
    are not all but copies of another (of 40 classes at most: each is a column), and warns of a class that has
    collapsed.
    Losses of an adversarial run say nothing of quality: its `best` checkpoint is the one of the least distance. Where
    validation has too few examples to compare with, training examples take their place, which a warning says.

    Args:
        num_samples: number of samples each time, with the conditions of validation examples and the same noise.
        every_n_epochs: epochs from look to look, with validation; `None` for a twentieth of the run. A run's first
            validation has one too, so that what watches these figures finds them, and its last epoch.
        classifier_steps: training steps of the classifier, 40 passes through the training data at the most.
    """

    def __init__(self, num_samples: int = 1000, every_n_epochs: int | None = None, classifier_steps: int = 300) -> None:
        self.num_samples, self.every_n_epochs, self.classifier_steps = num_samples, every_n_epochs, classifier_steps
        self.classifiers: dict[str, ImageClassifier] = {}
        self.raised: set[tuple[str, str]] = set()
        self.split: Split = "val"

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        data = _known_data(trainer)
        self.split = "val" if len(data.dataset("val")) > NEIGHBOURS else "train"
        if min(self.num_samples, len(data.dataset(self.split))) <= NEIGHBOURS:
            raise ValueError(f"SampleQuality needs more than {NEIGHBOURS} samples and as many examples; there are "
                             f"{self.num_samples} and {len(data.dataset(self.split))}: remove it from "
                             "trainer.callbacks")  # fmt: skip
        if self.split == "train":
            rank_zero_warn(f"the validation split has {len(data.dataset('val'))} examples, too few to compare samples "
                           "with: figures of samples compare them with training examples", stacklevel=3)  # fmt: skip
        rank_zero_info(f"training the classifiers of {', '.join(data.names)} that will look at samples")
        few = 40 * len(data.dataset("train")) // 128 + 1
        self.classifiers = train_classifiers(data, min(self.classifier_steps, few), seed=1)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        wanted = due(trainer, self.every_n_epochs) or "val/frechet" not in trainer.callback_metrics
        if trainer.sanity_checking or not self.classifiers or not wanted:
            return
        data = _known_data(trainer)
        seen, held_out = view(data), data.dataset(self.split)
        rows = torch.randperm(len(held_out), generator=torch.Generator().manual_seed(0))[: self.num_samples]
        real = Batch(*held_out.__getitems__(rows.tolist()))
        x, lengths = sample_like(cast(Model, pl_module.model), real, seed=0, batch_size=250, progress=False)
        pictures, originals = (seen.pictures(levels, lengths or []) for levels in (x, real.x))
        distances = []
        for name, classifier in self.classifiers.items():
            asked = real.conditions[name]
            found = fidelity(classifier, pictures, asked, originals, asked)
            distances.append(found.frechet)
            pl_module.log(f"val/accuracy_{name}", found.accuracy, prog_bar=True, sync_dist=True)
            classes = by_class(classifier, pictures, asked, originals, asked, data.names[name])
            for label, figures in classes.items() if len(classes) <= MOST else ():
                shares = {f"val/read_{name}_{label}": figures.read, f"val/diversity_{name}_{label}": figures.diversity}
                pl_module.log_dict(shares, sync_dist=True)
            self._warn(name, alarms(name, classes), trainer.global_step)
        pl_module.log("val/frechet", sum(distances) / len(distances), prog_bar=True, sync_dist=True)

    def _warn(self, name: str, found: dict[str, str], step: int) -> None:
        """Warn of classes that were well, or not seen, at the look before."""
        for label, alarm in found.items():
            if (name, label) not in self.raised:
                rank_zero_warn(f"step {step}: {alarm}")
        others = {(condition, label) for condition, label in self.raised if condition != name}
        self.raised = others | {(name, label) for label in found}


ALARMS = {
    "rank": "the discriminator wins: it ranks {:.1%} of real examples above generated ones; with few examples, set "
    "model.augment to [level, shift, cutout] if it is off; with many, lower model.discriminator_learning_rate, give it "
    "spectral_norm, or set model.r1",
    "diversity": "samples collapse: two of equal conditions are only {:.1%} as far apart as real ones; with few "
    "examples, set model.augment to [level, shift, cutout] if it is off; with many, start from an earlier checkpoint "
    "with --weights FILE and a lower learning rate, or set model.r1",
}


class AdversarialAlarm(pl.Callback):
    """Warns where the discriminator wins or the samples collapse, once until it is over.

    Args:
        every_n_steps: number of batches over which `rank` and `diversity` are averaged.
        rank: mean from which on the discriminator wins.
        diversity: mean below which samples have collapsed.
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


def _known_data(trainer: pl.Trainer) -> Images | Speech:
    data = data_of(trainer)
    if data is None:
        raise ValueError("SampleQuality needs a data module of condgen")
    return cast(Images | Speech, data)


def _paths(trainer: pl.Trainer, chosen: bool, every_n_epochs: int | None) -> list[Path]:
    """Return a path for samples in each logger's folder, without a suffix; none where none are due, or not here."""
    if not (chosen and due(trainer, every_n_epochs)) or trainer.sanity_checking:
        return []
    first = trainer.log_dir  # before the ranks part: it is told by the first to all, and waits for all
    if first is None or not trainer.is_global_zero:
        return []
    others = [logger.log_dir for logger in trainer.loggers[1:] if isinstance(logger, CSVLogger | TensorBoardLogger)]
    paths = [Path(folder) / "samples" / f"step_{trainer.global_step:07d}" for folder in dict.fromkeys([first, *others])]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
    return paths
