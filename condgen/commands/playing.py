"""What `condgen play` answers: a sample of chosen conditions, mixed and moved, with its numbers and the place in a FiLM
layer that it is drawn from. It knows no page."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor

from condgen.analysis import choose_layers, feature_maps
from condgen.analysis.layer_picture import save_layer
from condgen.commands.conditions import Combination, stacked, values_of, warn_of_untrained, with_frames
from condgen.commands.film_moves import Move, moved
from condgen.commands.request import picture_reader
from condgen.conditioning import Encoder, FiLMParameters
from condgen.conditioning.contract import PictureEncoder, TokenEncoder, missing
from condgen.data.front_end import FrontEnd
from condgen.data.pictures import USUAL, Framing
from condgen.drawn import Drawn
from condgen.evaluation.pictures import some_classes
from condgen.models.conditional import Model, as_generator, as_likelihood
from condgen.models.contract import audio
from condgen.sampling import sampler

Kind = Literal["class", "tags", "text", "audio", "length", "caption", "picture", "reference", "array"]
Word: TypeAlias = str | Sequence[str] | None
GUIDED = ("categorical", "bernoulli")  # outputs whose logits can be guided
WANTED = {
    "class": "a class",
    "tags": "tags",
    "length": "seconds",
    "text": "a text",
    "audio": "an audio file",
    "caption": "words",
    "picture": "a picture",
    "reference": "an audio file",
    "array": "an .npy file with a row per value",
}


@dataclass(frozen=True)
class Choices:
    """What is asked for.

    Attributes:
        conditions: name of a class, list of tags, text to say, or path of a file, by condition.
        mixed: classes and tags at the other end, by condition; those that are left out are the same there.
        mix: weight of the other end in the FiLM parameters.
        moves: changes of single γ and β.
        temperature: temperature of likelihood models.
        guidance: weight by which the conditions are turned up in the logits of each step.
        film_guidance: weight by which they are turned up in the FiLM parameters.
        truncation: bound of a generator's noise; `None` for none.
        seed: seed of the noise.
        num_samples: number of samples.
        seconds: length of audio, where no condition says.
        layer: FiLM layer to look at; `None` for the first one that is not fixed.
        number: feature map of it to look at; `None` for all.
        colour: condition whose classes are shown there; `None` for the first one.
    """

    conditions: Mapping[str, Word] = field(default_factory=dict)
    mixed: Mapping[str, Word] = field(default_factory=dict)
    mix: float = 0.0
    moves: Sequence[Move] = ()
    temperature: float = 1.0
    guidance: float = 0.0
    film_guidance: float = 0.0
    truncation: float | None = None
    seed: int = 0
    num_samples: int = 1
    seconds: float | None = None
    layer: str | None = None
    number: int | None = None
    colour: str | None = None


class Answer(NamedTuple):
    """What comes of choices.

    Attributes:
        drawn: samples, with their log-probabilities where the model has any.
        bits: bits per dimension, or per sample of audio, of each sample; `None` of a generator's.
        unit: name of what bits are counted per.
        film: FiLM parameters that the samples were drawn from, one row.
        plot: picture of the layer, PNG; `None` where every γ and β is fixed.
    """

    drawn: Drawn
    bits: list[float] | None
    unit: str
    film: FiLMParameters
    plot: bytes | None


@dataclass(frozen=True)
class Playground:
    """A trained model to play with.

    Attributes:
        model: model in evaluation mode.
        front_end: front end that measures audio; `None` where there is nothing to measure.
        untrained: classes without training examples, by condition.
        framing: way in which pictures that are shown are brought to the model's size.
    """

    model: Model
    front_end: FrontEnd | None = None
    untrained: Mapping[str, Sequence[str]] = field(default_factory=dict)
    framing: Framing = USUAL

    @cached_property
    def kinds(self) -> dict[str, Kind]:
        """The kind of each condition: what one chooses it by."""
        return {name: self._kind(name, encoder) for name, encoder in self.model.encoders.items()}

    def _kind(self, name: str, encoder: Encoder) -> Kind:
        features = {} if self.front_end is None else self.front_end.features
        if encoder.classes is not None:
            return "class"
        if name in features:
            return features[name].given
        if not missing(encoder, TokenEncoder):
            return "caption"
        if not missing(encoder, PictureEncoder) and audio(self.model.network) is None:
            return "picture"
        return "tags" if encoder.names is not None and encoder.scope == "global" else "array"

    def names(self, condition: str) -> list[str]:
        """Return the names of a condition's classes or tags."""
        return list(self.model.encoders[condition].names or ())

    @property
    def classes(self) -> list[str]:
        """The conditions that are classes."""
        return [name for name, kind in self.kinds.items() if kind == "class"]

    @property
    def layers(self) -> dict[str, int]:
        """The FiLM layers that are not fixed, with the number of their feature maps."""
        generator = self.model.film_generator
        return {name: generator.channels[name] for name, parts in generator.free.items() if parts}

    @property
    def seconds(self) -> float | None:
        """The length of audio that is drawn unless asked otherwise; `None` where that is not asked."""
        heard = audio(self.model.network)
        told = any(kind in ("audio", "text") for kind in self.kinds.values())
        if heard is None or told or as_generator(self.model) is not None:
            return None
        return (None if self.front_end is None else self.front_end.usual) or 0.5

    @property
    def guided(self) -> tuple[bool, bool]:
        """The guidance that the model can be given: of logits, and of FiLM parameters."""
        likelihood, knows = as_likelihood(self.model), bool(self.model.film_generator.dropout)
        return likelihood is not None and knows and likelihood.network.output.name in GUIDED, knows


def answer(playground: Playground, choices: Choices) -> Answer:
    """Draw what is asked for, and say how probable it is and where in a FiLM layer it stands.

    Raises:
        ValueError: a choice is missing, unknown or does not fit the model; the message says what does.
    """
    model, likelihood = playground.model, as_likelihood(playground.model)
    asked = _asked(playground, choices)
    ends = _ends(playground, choices, asked)
    film, absent = _film(playground, choices, ends)
    options: dict[str, Any] = {"truncation": choices.truncation} if likelihood is None else {
        "temperature": choices.temperature, "guidance": choices.guidance, "without": absent, "length": asked.length
    }  # fmt: skip
    found = sampler(model)(model, film, num_samples=choices.num_samples, seed=choices.seed, progress=False, **options)
    count, length = len(found.x), found.x.shape[-1]
    labels = [_told(asked, choices)] * count
    drawn = Drawn(found, model.network.levels, count, labels, audio(model.network), [length] * count)
    bits = None if found.log_prob is None else (-found.log_prob / math.log(2) / found.x[0].numel()).tolist()
    unit = "" if likelihood is None else likelihood.network.dim
    return Answer(drawn, bits, unit, film, _plot(playground, choices, ends, film))


def look(playground: Playground, choices: Choices) -> bytes | None:
    """Return the picture of the layer that is looked at, as in the answer, without drawing anything new."""
    ends = _ends(playground, choices, _asked(playground, choices))
    return _plot(playground, choices, ends, _film(playground, choices, ends)[0])


def _asked(playground: Playground, choices: Choices) -> Combination:
    """Turn words into conditions, without the batch axis."""
    labels, values = dict[str, str](), dict[str, Tensor]()
    for name, kind in playground.kinds.items():
        word = choices.conditions.get(name)
        if kind in ("text", "audio") and isinstance(word, str) and word:
            labels[name] = word
        elif kind != "length":
            labels[name], values[name] = _value(playground, name, word)
    used = {n: [labels[n], str(choices.mixed.get(n) if choices.mix else "")] for n in playground.classes}
    warn_of_untrained(playground.untrained, used)
    front_end, seconds = playground.front_end, _seconds(playground, choices)
    if front_end is not None:
        derived = [name for name, kind in playground.kinds.items() if kind == "length"]
        return with_frames(labels, values, front_end, derived, seconds)
    told = any(encoder.scope == "local" for encoder in playground.model.encoders.values())
    rate = playground.model.network.sample_rate
    return Combination(labels, values, None if told or seconds is None or rate is None else int(seconds * rate))


def _value(playground: Playground, name: str, word: Word) -> tuple[str, Tensor]:
    """Return the label and the value of a condition that the length of audio does not depend on."""
    encoder, kind = playground.model.encoders[name], playground.kinds[name]
    if kind == "tags":
        tags, known = list(word or ()), playground.names(name)
        unknown = [tag for tag in tags if tag not in known]
        if unknown:
            raise ValueError(f"condition '{name}' has no tag {', '.join(unknown)}; its tags: {', '.join(known)}")
        return " + ".join(tags) or "no tags", torch.tensor([float(tag in tags) for tag in known])
    if not word or not isinstance(word, str):
        raise ValueError(f"choose {WANTED[kind]} for the condition '{name}'")
    if kind == "reference" and playground.front_end is not None:
        return word, playground.front_end.shown(name, *playground.front_end.heard(Path(word), mono=True))
    read = picture_reader(playground.model, playground.framing) if kind == "picture" else None
    return values_of(name, encoder, word)[0] if read is None else (word, read(word))


def _seconds(playground: Playground, choices: Choices) -> float | None:
    """Return the length of audio: a generator has one of its own, and a text or a recording says it."""
    generator, heard = as_generator(playground.model), audio(playground.model.network)
    if generator is not None:
        return None if heard is None else generator.network.shape[-1] / heard.sample_rate
    return None if playground.seconds is None else choices.seconds or playground.seconds


def _ends(playground: Playground, choices: Choices, asked: Combination) -> list[dict[str, Tensor]]:
    """Return the conditions to mix, one row each. What follows from the length, a text or a recording is the same."""
    device = next(playground.model.parameters()).device
    here = {name: value.to(device) for name, value in stacked([asked]).items()}
    if not choices.mix:
        return [here]
    other = {n: _value(playground, n, word)[1] for n, word in choices.mixed.items() if word is not None}
    return [here, {**here, **{name: value[None].to(device) for name, value in other.items()}}]


def _film(
    playground: Playground, choices: Choices, ends: Sequence[dict[str, Tensor]]
) -> tuple[FiLMParameters, FiLMParameters | None]:
    """Return the FiLM parameters to draw from, mixed, turned up and moved; and those without conditions."""

    def mixed(write: Callable[[dict[str, Tensor]], FiLMParameters]) -> FiLMParameters:
        with torch.no_grad():
            first, *others = [write(end) for end in ends]
        return first.interpolate(others[0], choices.mix) if others else first

    model = playground.model
    film = mixed(model.film)
    if not choices.guidance and not choices.film_guidance:
        return moved(film, choices.moves), None
    absent = mixed(model.film_generator.without)
    return moved(absent.interpolate(film, 1 + choices.film_guidance), choices.moves), absent


def _told(asked: Combination, choices: Choices) -> str:
    """Say in words what is drawn."""
    here = ", ".join(asked.labels.values())
    other = {n: " + ".join([word] if isinstance(word, str) else word) for n, word in choices.mixed.items() if word}
    there = ", ".join({**asked.labels, **other}.values())
    return here if not choices.mix or here == there else f"{here} → {there}, {choices.mix:.0%}"


def classes_of(playground: Playground, ends: Sequence[dict[str, Tensor]], colour: str | None) -> FiLMParameters:
    """Return the FiLM parameters of all classes of a condition, a row each (of more than 40, of 40), all other
    conditions being as chosen; without class conditions, of what is chosen."""
    if not playground.classes:
        with torch.no_grad():
            return playground.model.film(ends[0])
    name = colour or playground.classes[0]
    if name not in playground.classes:
        raise ValueError(f"'{name}' is no condition with classes; those are: {', '.join(playground.classes)}")
    known = playground.names(name)
    ids = some_classes(len(known))
    with torch.no_grad():
        rows = torch.tensor(ids, device=ends[0][name].device)
        return playground.model.film({**ends[0], name: rows}).labelled({name: [known[i] for i in ids]})


def _plot(
    playground: Playground, choices: Choices, ends: Sequence[dict[str, Tensor]], film: FiLMParameters
) -> bytes | None:
    """Draw the layer that is looked at; `None` where all is fixed."""
    if not playground.layers:
        return None
    layer = choices.layer or next(iter(playground.layers))
    classes = choose_layers(classes_of(playground, ends, choices.colour), [layer])
    maps, present = feature_maps(classes), feature_maps(choose_layers(film, [layer]))
    if choices.number is not None and not 0 <= choices.number < len(maps):
        raise ValueError(f"layer '{layer}' has no feature map {choices.number}; its maps: 0 to {len(maps) - 1}")
    with TemporaryDirectory() as folder:
        save_layer(Path(folder) / "layer.png", maps, present, choices.number)
        return (Path(folder) / "layer.png").read_bytes()


def most_varied(playground: Playground, choices: Choices) -> tuple[str, int] | None:
    """Return the layer and the feature map in which most classes differ most; `None` where all is fixed."""
    if not playground.layers:
        return None
    maps = feature_maps(classes_of(playground, _ends(playground, choices, _asked(playground, choices)), choices.colour))
    low, high = np.percentile(maps.points, [15, 85], axis=1)  # (maps, parts): a single class far away does not count
    best = int((high - low).sum(1).argmax())
    return maps.layers[best], maps.numbers[best]
