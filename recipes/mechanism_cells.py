"""One cell of the mechanism study: a model of one mechanism, trained with one seed, and all that is measured of it."""

from __future__ import annotations

import logging
import math
import tempfile
import time
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, cast

import pytorch_lightning as pl
import torch
from mechanism_data import LEVELS, RATE, is_held_out, load
from torch import Tensor, nn

from condgen.commands.quiet import quiet
from condgen.conditioning import ClassEmbedding, ClassMap, FiLMParameters
from condgen.conditioning.film_generator import Conditioning, Start
from condgen.data import Images, Speech
from condgen.data.batch import Batch, count_dims
from condgen.evaluation.classifier import ImageClassifier
from condgen.evaluation.likelihood import class_conditions, likelihood, other_labels, some_rows
from condgen.evaluation.samples import Fidelity, assess, generate, sample_like, train_classifiers
from condgen.evaluation.views import view
from condgen.models import ConditionalModel, Discriminator, Generator, PixelCNN, WaveNet
from condgen.models.conditional import Model, as_generator, as_likelihood
from condgen.training import AdversarialTask, LikelihoodTask

POSITION_WISE = "position-wise bias"
STEPS_OF_PATH = 8
SAMPLING: dict[str, Any] = {"engine": "cached", "batch_size": 256, "progress": False}


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
        classifier_steps: training steps of each classifier.
        seconds: seconds of a core that a cell takes, about.
    """

    data: str
    conditions: tuple[str, ...]
    features: int
    steps: int
    learning_rate: float
    examples: int | None
    samples: int
    classifier_steps: int
    seconds: float

    def network(self, position_wise: bool = False) -> nn.Module:
        """Build the network."""
        if self is FAMILIES["GAN digits"]:
            where: Literal["first", "every"] = "first" if position_wise else "every"
            return Generator((1, 8, 8), 32, 48, "batch", where, start=2, levels=17)
        if self.data in ("digits", "shifted"):
            size = 8 if self.data == "digits" else 12
            return PixelCNN((1, size, size), 17, channels=32, layers=4, first_kernel_size=5, head=32, dropout=0.2)
        dilations = [1, 2, 4, 8, 16] if self.data == "tones" else [1, 2, 4, 8, 16, 32, 64]
        return WaveNet(LEVELS, channels=24, dilations=dilations, sample_rate=RATE)


FAMILIES = {
    "digits": Family("digits", ("digit",), 24, 500, 4e-3, None, 500, 400, 25),
    "shifted digits": Family("shifted", ("digit",), 24, 350, 4e-3, 250, 250, 400, 37),
    "tones": Family("tones", ("pitch", "timbre"), 24, 500, 4e-3, 90, 120, 250, 29),
    "spoken digits": Family("speech", ("speaker", "digit"), 24, 400, 4e-3, 60, 120, 250, 40),
    "GAN digits": Family("digits", ("digit",), 40, 900, 4e-4, None, 500, 400, 28),
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


@cache
def classifiers(place: Place, family: Family) -> dict[str, ImageClassifier]:
    """Train a classifier of each condition of a family's data, once; later calls and other processes read its file."""
    file, data = place.out / "data" / f"{family.data}.classifiers.pt", place.data(family)
    if not file.is_file():
        trained = train_classifiers(data, 2 if place.quick else family.classifier_steps, seed=0)
        states = {name: classifier.state_dict() for name, classifier in trained.items()}
        torch.save((tuple(view(data).split("test").images.x.shape[1:]), states), file)
        return trained
    shape, states = torch.load(file, weights_only=True)
    made = {name: ImageClassifier(shape, view(data).levels, name, len(data.names[name])).eval() for name in states}
    for name, classifier in made.items():
        classifier.load_state_dict(states[name])
    return made


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
        return LikelihoodTask(network, told, cast(Conditioning, mechanism), family.learning_rate, ema_decay=0.99,
                              compile=False, film_depth=cell.depth, film_start=cell.start)  # fmt: skip
    # The discriminator knows the class whatever the generator's mechanism.
    judge = Discriminator((1, 8, 8), 48, spectral_norm=True, start=2)
    told = told or {name: ClassEmbedding(features, names[name]) for name in family.conditions}
    return AdversarialTask(network, judge, told, cast(Conditioning, mechanism), "projection",
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


def train(task: LikelihoodTask | AdversarialTask, data: Images | Speech, steps: int, seed: int) -> Model:
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


def share_between_maps(film: FiLMParameters) -> float | None:
    """Return η²: the share of the variance of (γ, β) that lies between feature maps, not between a map's conditions.

    A map's points are its conditions and, where its parameters vary in space, its positions. Parts that no condition
    changes are left out; `None` if there are no others.
    """
    between = total = 0.0
    for part in ("gamma", "beta", "inner"):
        found = [pair.parts[part] for pair in film.values() if part in pair.parts]
        maps = [values.transpose(0, 1).flatten(1).double() for values in found if len(values) > 1]
        if maps:
            means = torch.cat([values.mean(1) for values in maps])
            within = torch.cat([values.var(1, correction=0) for values in maps]).mean()
            between, total = between + float(means.var(correction=0)), total + float(means.var(correction=0) + within)
    return between / total if total else None


def every_condition(model: Model) -> dict[str, Tensor]:
    """Return every combination of a model's classes."""
    grids = torch.meshgrid(*map(torch.arange, class_conditions(cast(ConditionalModel, model)).values()), indexing="ij")
    return {name: grid.flatten() for name, grid in zip(model.encoders, grids, strict=True)}


@torch.inference_mode()
def largest_step(model: Model, test: Batch, classifier: ImageClassifier) -> float:
    """Measure how smooth the way from one condition to another is: its largest of 8 steps over the mean one.

    It is 1 where all are equal and 8 where all happens in one. A step is the change of an example's log-likelihood as
    its FiLM parameters go straight from its own conditions to others; for a generator, of the classifier's
    probabilities for the picture that the same noise becomes.
    """
    rng = torch.Generator().manual_seed(0)
    classes = class_conditions(cast(ConditionalModel, model))
    own = {name: test.conditions[name] for name in classes}
    others = {name: other_labels(own[name], k, 1, rng)[0] for name, k in classes.items()}
    generator, scores = as_generator(model), as_likelihood(model)
    ends = model.film(own), model.film(others)
    z = torch.randn(len(test.x), generator.network.noise, generator=rng) if generator else None
    found = []
    for place in torch.linspace(0, 1, STEPS_OF_PATH + 1).tolist():
        film = ends[0].interpolate(ends[1], place)
        if scores is not None:
            found.append(scores.log_prob(test.x, film, test.scored)[:, None])
        elif generator is not None and z is not None:
            x = generator.network.quantization.encode(generator(z, film).float())
            found.append(classifier(x).softmax(1))
    steps = torch.stack(found).diff(dim=0).abs().sum(2)
    return float((steps.amax(0) / steps.mean(0).clamp(min=1e-12)).mean())


@torch.inference_mode()
def bits(model: ConditionalModel, data: Images | Speech, rows: list[int]) -> float:
    """Return −log₂ p(x | conditions) per dimension of some rows of the test split."""
    nats, dims = 0.0, 0
    for start in range(0, len(rows), 50):
        batch = Batch(*data.dataset("test").__getitems__(rows[start : start + 50]))
        own = {name: batch.conditions[name] for name in model.encoders}
        nats, dims = nats - float(model.log_prob(batch.x, own, batch.scored).double().sum()), dims + count_dims(batch)
    return nats / (dims * math.log(2))


def of_pairs(cell: Cell, place: Place, model: ConditionalModel, samples: int) -> dict[str, Any]:
    """Measure the pairs of conditions that may be held out, and the others: bits, and how samples of them are read."""
    family = FAMILIES[cell.family]
    data, readers, found = place.data(family, cell.study == "pairs"), classifiers(place, family), {}
    ids = data.class_ids("test")
    out = [is_held_out(*pair) for pair in zip(*(ids[name].tolist() for name in family.conditions), strict=True)]
    for kind, wanted in (("held-out pairs", True), ("other pairs", False)):
        rows = [i for i, o in enumerate(out) if o == wanted]
        rows = [rows[i] for i in torch.randperm(len(rows), generator=torch.Generator().manual_seed(0)).tolist()]
        batch = Batch(*data.dataset("test").__getitems__((rows * samples)[:samples]))
        x, lengths = sample_like(model, batch, 0, **SAMPLING)
        pictures = view(place.data(family)).pictures(x, lengths or [])
        read = {name: reader.accuracy(pictures, batch.conditions[name]) for name, reader in readers.items()}
        found[kind] = {"bits": bits(model, data, rows[: place.examples(family)]), "read as asked": read}
    return found


def averaged(of_classifiers: Mapping[str, Fidelity]) -> dict[str, Any]:
    """Return the share read as asked of each condition, and the coverage, a mean over classifiers."""
    coverages = [found.coverage for found in of_classifiers.values()]
    read = {name: found.accuracy for name, found in of_classifiers.items()}
    return {"read as asked": read, "coverage": sum(coverages) / len(coverages)}


def measure(cell: Cell, place: Place, model: Model) -> dict[str, Any]:
    """Measure a model: the pairs of its conditions, and, unless they are all that is asked, everything else."""
    family, scores = FAMILIES[cell.family], as_likelihood(model)
    found: dict[str, Any] = {}
    samples = 10 if place.quick else family.samples
    if scores is not None and len(family.conditions) > 1:
        found |= of_pairs(cell, place, scores, samples)
    if cell.study == "pairs":
        return found
    data, readers = place.data(family), classifiers(place, family)
    if scores is not None:
        measured = likelihood(scores, data, place.examples(family))
        gaps = {name: value - measured.bits_per_dim for name, value in measured.swapped.items()}
        found |= {"bits": measured.bits_per_dim, "swap gap": gaps}
    drawn = generate(model, data, samples, **(SAMPLING if scores is not None else {}))
    readings = assess(drawn, data, readers)
    for kind, sets in (
        ("samples", [r.samples for r in readings.values()]),
        ("real", [r.floor for r in readings.values()]),
    ):
        found[kind] = {"read as asked": {n: s.accuracy for n, s in zip(readings, sets, strict=True)},
                       "coverage": sum(s.coverage for s in sets) / len(sets)}  # fmt: skip
    if model.encoders:
        with torch.no_grad():
            found["between maps"] = share_between_maps(model.film(every_condition(model)))
        rows = some_rows(len(data.dataset("test")), 10 if place.quick else 50)
        test = Batch(*data.dataset("test").__getitems__(rows))
        found["largest step"] = largest_step(model, test, next(iter(readers.values())))
    return found


def processor() -> str:
    """Return the name of the processor."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.is_file() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def run(cell: Cell, place: Place) -> dict[str, Any]:
    """Train and measure a cell; return its result."""
    torch.set_num_threads(1)
    family = FAMILIES[cell.family]
    data, began = place.data(family, cell.study == "pairs"), time.process_time()
    features = matched(cell, data.names)
    task = build(cell, data.names, features)
    model = train(task, data, 2 if place.quick else family.steps, cell.seed)
    trained = time.process_time()
    figures = measure(cell, place, model)
    return {
        "cell": asdict(cell),
        "figures": figures,
        "features": features,
        "parameters": {
            "network": count(task.model.get_submodule("network")),
            "generator": count(task.model.film_generator),
        },
        "seconds": {"training": trained - began, "measuring": time.process_time() - trained},
        "processor": processor(),
        "torch": torch.__version__,
    }
