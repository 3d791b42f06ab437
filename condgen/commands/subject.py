"""What `condgen analyze` looks at: a model, the FiLM parameters of its conditions, and data if there are."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from condgen.analysis import groups_of, pooled
from condgen.checkpoint import Checkpoint
from condgen.commands.conditions import combine, stacked
from condgen.commands.measuring import data_of, enough_steps
from condgen.conditioning import FiLMParameters
from condgen.data import Batch
from condgen.evaluation.classifier import ImageClassifier
from condgen.evaluation.likelihood import some_rows
from condgen.evaluation.samples import train_classifiers
from condgen.evaluation.views import view
from condgen.models.conditional import Model, as_generator
from condgen.models.contract import AudioNetwork, audio
from condgen.sampling import sampler

HEARD = 300  # steps of training a classifier of sound
MOST = 400  # rows: of more combinations of classes, and of more held-out examples, so many


class LeftOut(ValueError):
    """A section of the report cannot be made of this model, or without data; the message says why."""


class Wanted(NamedTuple):
    """What `condgen analyze` is asked for; see its arguments."""

    data: Mapping[str, Any] | None = None
    layers: Sequence[str] = ()
    maps: Sequence[int] = ()
    between: str | None = None
    num_samples: int | None = None
    examples: int | None = None
    seconds: float | None = None
    seed: int = 0
    classifier_steps: int | None = None

    def groups(self, of: Subject) -> dict[str, list[str]]:
        """Return the layers that are moved or taken away together: each that is asked for alone, or neighbours."""
        return {name: [name] for name in self.layers} or groups_of(of.film, 10 if of.audio is None else 6)

    def drawn(self, of: Subject) -> int:
        """Return how many samples are drawn at each step of a path: of sound, which takes longer, fewer."""
        return self.num_samples or (60 if of.audio is None else 12)

    def count(self, of: Subject) -> int:
        """Return how many held-out examples are scored."""
        return self.examples or (200 if of.audio is None else 8)


@dataclass(frozen=True)
class Subject:
    """A model with what there is to analyse.

    Attributes:
        model: model in evaluation mode.
        film: FiLM parameters with labels: a row per combination of classes, or per held-out example.
        rows: kind and number of the rows, in words.
        length: samples of audio per row; `None` for images.
        data: data module after `setup()`; `None` where there are none.
        no_data: reason why there are no data.
        classifiers: classifier of each kind of class, trained on real training data.
    """

    model: Model
    film: FiLMParameters
    rows: str
    length: int | None
    data: Any
    no_data: str
    classifiers: Mapping[str, ImageClassifier]

    @property
    def classes(self) -> dict[str, list[str]]:
        """The class conditions of the model with the names of their classes."""
        return class_names(self.model)

    def require_data(self) -> Any:
        """Return the data module.

        Raises:
            LeftOut: there are no data.
        """
        if self.data is None:
            raise LeftOut(f"there are no data ({self.no_data})")
        return self.data

    def combinations(self, classes: Mapping[str, str]) -> FiLMParameters:
        """Return the rows of the combinations that have some classes.

        Raises:
            LeftOut: the rows are held-out examples.
        """
        if not self.by_class:
            raise LeftOut("its conditions are not made of classes alone")
        return self.film.select(**classes)

    @property
    def by_class(self) -> bool:
        """The kind of rows: true if they are combinations of classes."""
        return self.rows.startswith("combination")

    @property
    def audio(self) -> AudioNetwork | None:
        """The network as one for audio; `None` if it is for images."""
        return audio(self.model.network)

    @property
    def device(self) -> torch.device:
        """The device of the model."""
        return device_of(self.model)

    def draw(self, film: FiLMParameters, num_samples: int, seeds: Sequence[int]) -> Tensor:
        """Draw samples of FiLM parameters, so many per row, with a seed per row."""
        chosen = self.length is not None and as_generator(self.model) is None
        options: dict[str, Any] = {"length": self.length} if chosen else {}
        return sampler(self.model)(self.model, film, num_samples=num_samples, seed=seeds, **options).x.cpu()

    def readers(self) -> dict[str, float]:
        """Return the share of real held-out examples that each classifier reads right."""
        if not self.classifiers:
            return {}
        real = view(self.data).split("test").images
        return {name: classifier.accuracy(real.x, real.conditions[name])
                for name, classifier in self.classifiers.items() if name in real.conditions}  # fmt: skip

    def read(self, x: Tensor, condition: str) -> Tensor:
        """Return what a classifier reads in samples, (samples, classes): probabilities.

        Raises:
            LeftOut: there are no data to train one on, or these do not have the condition.
        """
        seen = view(self.require_data())
        if condition not in self.classifiers:
            raise LeftOut(f"the data have no classes of '{condition}' for a classifier")
        pictures = seen.pictures(x, [x.shape[-1]] * len(x))
        with torch.no_grad():
            return torch.cat([self.classifiers[condition](part).softmax(1) for part in pictures.split(500)])


def class_names(model: Model) -> dict[str, list[str]]:
    """List the class conditions of a model with the names of their classes."""
    return {name: list(encoder.names or map(str, range(encoder.classes)))
            for name, encoder in model.encoders.items() if encoder.classes is not None}  # fmt: skip


def subject(
    checkpoint: Checkpoint, model: Model, changes: Mapping[str, Any] | None = None, seconds: float | None = None
) -> Subject:
    """Prepare a model for analysis, without classifiers; see `taught`.

    Raises:
        ValueError: it has no conditions, or nothing to choose in them; or data were asked for that cannot be read.
    """
    require_conditions(checkpoint, model)
    data, why = _data(checkpoint, model, changes)
    film, rows, length = _rows(checkpoint, model, data, why, seconds)
    return Subject(model, film, rows, length, data, why, {})


def taught(of: Subject, seed: int, steps: int | None = None) -> Subject:
    """Train the classifiers that read samples, where there are data.

    Args:
        of: model with its data.
        seed: seed of the classifiers.
        steps: training steps; left out, as `condgen evaluate` has it, but 300 at most for sound, which takes longer.
    """
    if of.data is None:
        return of
    usual = enough_steps(of.data)
    steps = steps if steps is not None else usual if of.audio is None else min(usual, HEARD)
    print(f"condgen: training the classifiers of {', '.join(of.data.names)}, {steps:,} steps each", file=sys.stderr)
    return replace(of, classifiers=train_classifiers(of.data, steps, seed))


def require_conditions(checkpoint: Checkpoint, model: Model) -> None:
    """Refuse models without a task representation, and those of which there is only one."""
    if not model.encoders:
        raise ValueError(f"{checkpoint.path} holds an unconditional model, which has no task representation to "
                         "analyse: train one with model.conditions")  # fmt: skip
    classes = class_names(model)
    if len(classes) == len(model.encoders) and all(len(names) == 1 for names in classes.values()):
        named = ", ".join(f"'{name}' has one class, '{names[0]}'" for name, names in classes.items())
        raise ValueError(f"there is only one task representation in {checkpoint.path}, and nothing to compare it with: "
                         f"condition {named}")  # fmt: skip


def _data(checkpoint: Checkpoint, model: Model, changes: Mapping[str, Any] | None) -> tuple[Any, str]:
    """Read the data; without any that the user asked for, what is wrong is the reason why there are none."""
    if not checkpoint.has_data and not changes:
        return None, "the model was trained on loaders of one's own"
    try:
        return data_of(checkpoint, model, changes or {}), ""
    except (ValueError, OSError, ImportError) as error:
        if changes:
            raise
        return None, " ".join(str(error).split())


def _rows(
    checkpoint: Checkpoint, model: Model, data: Any, why: str, seconds: float | None
) -> tuple[FiLMParameters, str, int | None]:
    """Make the FiLM parameters of all combinations of classes or, where other conditions are not made from a length
    alone, of held-out examples."""
    front_end, classes = checkpoint.front_end(), class_names(model)
    features = {} if front_end is None else front_end.features
    derived = [name for name in model.encoders if name in features and features[name].given == "length"]
    foreign = [name for name in model.encoders if name not in classes and name not in derived]
    if foreign:
        if data is None:
            raise ValueError(f"condition '{foreign[0]}' is no class, so its values come from data, and there are none: "
                             f"{why}")  # fmt: skip
        film = _of_examples(model, data)
        return film, f"held-out examples ({film.batch_size})", None
    heard = audio(model.network)
    asked = None if heard is None else seconds or (front_end.usual if front_end else None) or 0.5
    found = combine(model, dict.fromkeys(classes, "all"), front_end, asked)
    chosen = [found[i] for i in sorted(some_rows(len(found), MOST))]
    with torch.no_grad():
        film = model.film({name: part.to(device_of(model)) for name, part in stacked(chosen).items()})
    labels = {name: [row.labels[name] for row in chosen] for name in classes}
    length = chosen[0].length or (None if heard is None or asked is None else int(asked * heard.sample_rate))
    several = f" of {len(found):,}" if len(chosen) < len(found) else ""
    return film.labelled(labels), f"combinations of classes ({len(chosen)}{several})", length


def _of_examples(model: Model, data: Any) -> FiLMParameters:
    """Make the FiLM parameters of held-out examples one by one, so that none is padded, averaged over their frames."""
    test, films = data.dataset("test"), []
    rows = some_rows(len(test), min(MOST, len(test)))
    for row in rows:
        batch = Batch(*test.__getitems__([row]))
        with torch.no_grad():
            films.append(pooled(model.film({n: batch.conditions[n].to(device_of(model)) for n in model.encoders})))
    ids = data.class_ids("test")
    return FiLMParameters.stack(films).labelled({
        name: [data.names[name][int(found[row])] for row in rows] for name, found in ids.items() if name in data.names
    })  # fmt: skip


def class_combinations(model: Model, most: int = 100, seed: int = 0) -> dict[str, Tensor]:
    """Return the ids of combinations of all class conditions, (combinations,) each: all of them, or some."""
    names = class_names(model)
    found = list(itertools.product(*(range(len(classes)) for classes in names.values())))
    chosen = [found[i] for i in sorted(some_rows(len(found), most))]
    return {name: torch.tensor([row[i] for row in chosen]) for i, name in enumerate(names)}


def device_of(model: Model) -> torch.device:
    """Return the device of a model."""
    return next(model.parameters()).device
