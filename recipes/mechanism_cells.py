"""The cells of the mechanism study: networks and data, what a cell is, and how it is built and trained."""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import pytorch_lightning as pl
import torch
from mechanism_data import LEVELS, RATE, load
from torch import nn

from condgen.commands.quiet import quiet
from condgen.conditioning import ClassEmbedding, ClassMap
from condgen.conditioning.heads import Start
from condgen.conditioning.mechanism import Mechanism
from condgen.data import Images, Speech
from condgen.models import Discriminator, Generator, PixelCNN, WaveNet
from condgen.models.conditional import Model
from condgen.training import AdversarialTask, LikelihoodTask

POSITION_WISE = "position-wise bias"


@dataclass(frozen=True)
class Family:
    """A network, the data that it is trained on, and how long.

    Attributes:
        data: name of the data; see `mechanism_data.load`.
        conditions: conditions that a model is told.
        features: features of a condition with `film`; the other mechanisms have as many as give as many parameters.
        steps: training steps.
        learning_rate: highest learning rate.
        examples: held-out examples whose likelihood is measured; `None` for all.
        samples: samples that classifiers read.
        seconds: seconds of a core that a cell takes, about.
    """

    data: str
    conditions: tuple[str, ...]
    features: int
    steps: int
    learning_rate: float
    examples: int | None
    samples: int
    seconds: float

    def network(self, position_wise: bool = False) -> nn.Module:
        """Build the network."""
        if self is FAMILIES["GAN digits"]:
            where: Literal["first", "every"] = "first" if position_wise else "every"
            return Generator((1, 8, 8), 32, 48, "batch", where, start=2, levels=17)
        if self.data in ("digits", "shifted"):
            size, channels, layers = (8, 32, 4) if self.data == "digits" else (12, 24, 3)
            return PixelCNN((1, size, size), 17, channels=channels, layers=layers, first_kernel_size=5, head=32)
        dilations = [1, 2, 4, 8, 16] if self.data == "tones" else [1, 2, 4, 8, 16, 32]
        return WaveNet(LEVELS, channels=24, dilations=dilations, sample_rate=RATE)


FAMILIES = {
    "tones": Family("tones", ("pitch", "timbre"), 24, 500, 8e-3, 60, 90, 20),
    "shifted digits": Family("shifted", ("digit",), 24, 300, 4e-3, 200, 200, 18),
    "digits": Family("digits", ("digit",), 24, 500, 4e-3, None, 500, 30),
    "spoken digits": Family("speech", ("speaker", "digit"), 24, 400, 8e-3, 40, 90, 40),
    "GAN digits": Family("digits", ("digit",), 40, 900, 4e-4, None, 500, 24),
}


@dataclass(frozen=True)
class Place:
    """Folders of the study.

    Attributes:
        out: folder for results and for all that is made on the way.
        fsdd: folder of the Free Spoken Digit Dataset; `None` without.
        quick: true to train and measure next to nothing, to see that everything runs.
    """

    out: Path
    fsdd: Path | None = None
    quick: bool = False

    def examples(self, family: Family) -> int | None:
        """Return the number of held-out examples whose likelihood is measured; `None` for all."""
        return 10 if self.quick else family.examples

    def data(self, family: Family, pairs: bool = False) -> Images | Speech:
        """Load the data of a family."""
        return load(family.data, self.out / "data", self.fsdd, pairs)


@dataclass(frozen=True)
class Cell:
    """What is trained.

    Attributes:
        study: part of the study: `mechanisms`, `pairs` (some pairs of conditions are never seen) or `generators`.
        family: name of the network and its data.
        conditioning: mechanism; with `position-wise bias`, a class has a bias of its own at every position.
        seed: seed of the weights and the order of the data.
        depth: hidden layers of the FiLM generator.
        start: initial weights of its heads.
        joint: true to look pairs of conditions up as one, false to give each its own heads, which are summed.
    """

    study: Literal["mechanisms", "pairs", "generators"]
    family: str
    conditioning: str
    seed: int
    depth: int = 0
    start: Start = "zero"
    joint: bool = False

    def file(self, place: Place) -> Path:
        """Return the file of its result."""
        pairs = "joint" if self.joint else "additive"
        parts = self.study, self.family, self.conditioning, f"depth {self.depth}", self.start, pairs, str(self.seed)
        return place.out / "results" / f"{'_'.join(parts).replace(' ', '-')}.json"


def encoders(cell: Cell, family: Family, names: Mapping[str, list[str]], features: int) -> dict[str, nn.Module]:
    """Build the encoders of a cell's conditions."""
    if cell.conditioning == "none":
        return {}
    told = ("pair",) if cell.joint else family.conditions
    if cell.conditioning == POSITION_WISE and family is not FAMILIES["GAN digits"]:
        size = cast(PixelCNN, family.network()).shape[1:]
        return {name: ClassMap(size, features, names[name]) for name in told}
    return {name: ClassEmbedding(features, names[name]) for name in told}


def build(cell: Cell, names: Mapping[str, list[str]], features: int) -> LikelihoodTask | AdversarialTask:
    """Build the task of a cell. With equal seeds, the network's weights are those of every other mechanism."""
    family = FAMILIES[cell.family]
    adversarial, position_wise = cell.family == "GAN digits", cell.conditioning == POSITION_WISE
    # A label concatenated to the noise is a bias of its own at every position of the first map.
    mechanism = ("concat" if adversarial else "bias") if position_wise else cell.conditioning
    torch.manual_seed(cell.seed)
    network = family.network(position_wise)
    told = encoders(cell, family, names, features)
    if not adversarial:
        return LikelihoodTask(network, told, cast(Mechanism, mechanism), learning_rate=family.learning_rate,
                              ema_decay=0.99, compile=False, film_depth=cell.depth,
                              film_start=cell.start)  # fmt: skip
    # The discriminator knows the class whatever the generator's mechanism.
    judge = Discriminator((1, 8, 8), 48, spectral_norm=True, start=2)
    told = told or {name: ClassEmbedding(features, names[name]) for name in family.conditions}
    return AdversarialTask(network, judge, told, cast(Mechanism, mechanism), "projection",
                           learning_rate=family.learning_rate, schedule="cosine", ema_decay=0.99, augment=[],
                           film_depth=cell.depth, film_start=cell.start)  # fmt: skip


def count(module: nn.Module) -> int:
    """Count the parameters of a module."""
    return sum(parameter.numel() for parameter in module.parameters())


def matched(cell: Cell, names: Mapping[str, list[str]]) -> int:
    """Choose a condition's features so that the FiLM generator has as many parameters as that of `film`."""

    def size(conditioning: str, features: int) -> int:
        plain = Cell(cell.study, cell.family, conditioning, 0, joint=cell.joint)
        return count(build(plain, names, features).model.film_generator)

    wanted = size("film", FAMILIES[cell.family].features)
    one, two = size(cell.conditioning, 1), size(cell.conditioning, 2)
    return max(1, round(1 + (wanted - one) / (two - one))) if two > one else FAMILIES[cell.family].features


def fit(task: LikelihoodTask | AdversarialTask, data: Images | Speech, steps: int, seed: int) -> Model:
    """Train a task; return its running average, in evaluation mode."""
    clip = None if isinstance(task, AdversarialTask) else 1.0  # Lightning clips nothing where two optimizers take turns
    with tempfile.TemporaryDirectory() as folder, quiet(logging.WARNING), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pl.seed_everything(seed, verbose=False)
        data.seed = None
        trainer = pl.Trainer(accelerator="cpu", precision="32-true", max_steps=steps, logger=False, limit_val_batches=0,
                             enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
                             default_root_dir=folder, gradient_clip_val=clip)  # fmt: skip
        trainer.fit(task, data)
    return task.model.eval()
