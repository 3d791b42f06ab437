"""A trained model to use in Python: `condgen.load(MODEL)` gives one object, which takes conditions in people's
words."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from condgen.checkpoint import Checkpoint, PathLike, Weights
from condgen.commands.conditions import stacked, warn_of_untrained, with_frames
from condgen.commands.exporting import write_model
from condgen.conditioning import FiLMParameters
from condgen.conditioning.film_generator import Conditions
from condgen.conditioning.mechanism import in_words
from condgen.conditioning.values import Value, as_tensor, check_names, labels_of, one_count, stacked_rows
from condgen.data.clips import Clip
from condgen.data.front_end import FrontEnd
from condgen.drawn import Drawn
from condgen.models.conditional import Model, as_generator, as_likelihood
from condgen.models.contract import audio
from condgen.pretrained import HUB, require_hub
from condgen.sampling import sampler, stream
from condgen.sampling.rows import Prepared, Seed

Source: TypeAlias = str | tuple[Tensor, int | None]


class Asked(NamedTuple):
    """Conditions that a model takes, the class of each row by condition, and the samples of audio per row."""

    conditions: Prepared
    labels: dict[str, list[str]]
    lengths: list[int] | None = None


@dataclass(frozen=True, repr=False)
class Loaded:
    """A trained model with what belongs to it.

    Conditions are given by name, `sample(digit="7")`, or together, `sample({"digit": "7"})`: names of classes, numbers,
    lists and arrays, by the rule of `condgen.conditioning.values`; for what is measured of audio, a file, a waveform
    (samples,) at the model's rate, a pair (waveform, rate), or a list of these; for phonemes, a text. FiLM parameters
    stand for all conditions: `sample(film)`. A condition called as a word of Python's takes an underscore:
    `sample(class_="cat")`.

    Attributes:
        checkpoint: checkpoint that it was read from.
        model: conditional model, an `nn.Module` in evaluation mode.
        front_end: front end that measures audio; `None` where there is nothing to measure.
    """

    checkpoint: Checkpoint
    model: Model
    front_end: FrontEnd | None

    @property
    def conditions(self) -> dict[str, list[str] | str]:
        """The names of the classes of each condition; of others, what they take, in words."""
        features = {} if self.front_end is None else self.front_end.features
        words = {
            "audio": "audio files or waveforms",
            "reference": "audio files or waveforms",
            "text": "texts",
            "length": "measured: give seconds",
        }
        measured = {name: words[feature.given] for name, feature in features.items() if feature.given in words}
        return {
            name: measured.get(name) or encoder.names or "an array" for name, encoder in self.model.encoders.items()
        }

    def __repr__(self) -> str:
        network, heard = self.model.network, audio(self.model.network)
        conditions = [f"{name} ({_shortened(known)})" for name, known in self.conditions.items()]
        size = f"{heard.sample_rate:,} samples a second" if heard else " × ".join(map(str, self._shape))
        return "\n".join([
            f"{type(network).__name__}, {sum(p.numel() for p in self.model.parameters()):,} parameters, conditioning "
            f"'{in_words(self.model.film_generator.conditioning)}'",
            f"conditions: {'; '.join(conditions) or 'none'}", f"data: {size}, {network.levels:,} levels",
            f"trained on {self.checkpoint.trained_on}, in {self.checkpoint.path}",
        ])  # fmt: skip

    def film(
        self, conditions: Conditions | None = None, /, *, seconds: float | None = None, **named: Value
    ) -> FiLMParameters:
        """Return the FiLM parameters of conditions, their task representation, without gradients; rows of classes know
        their names. `model.film` gives those with gradients.

        Args:
            conditions: conditions together; see the class.
            seconds: length of audio, for conditions that depend on it.
            named: conditions by name.
        """
        asked = self._asked(conditions, named, seconds)
        with torch.no_grad():
            film = self.model.film(self._moved(asked.conditions))
        return film.labelled(asked.labels if film.tensors else {})

    def log_prob(self, x: ArrayLike | Tensor, conditions: Conditions | None = None, /, **named: Value) -> Tensor:
        """Return log p(x | conditions) in nats, (batch,), without gradients; `model.log_prob` gives it with them.

        Args:
            x: levels on the data's grid, (batch, channels, *size), such as `.x` of samples; of audio also waveforms in
                [−1, 1], (batch, samples) or (samples,).
            conditions: conditions together; see the class.
            named: conditions by name.

        Raises:
            ValueError: the model is a generator; or something does not fit it.
        """
        likelihood, heard = as_likelihood(self.model), audio(self.model.network)
        if likelihood is None:
            raise ValueError("a generator draws samples and gives no log-probability: load a likelihood model")
        array = x if isinstance(x, Tensor) else torch.as_tensor(np.asarray(x))
        levels = array if array.is_floating_point() else array.long()
        if heard is not None and levels.ndim < 3:
            levels = heard.quantization.encode(torch.atleast_2d(levels).float())[:, None]
        seconds = None if heard is None else levels.shape[-1] / heard.sample_rate
        local = self._local({**named, **(conditions or {})})
        asked = self._asked(conditions, named, None if local else seconds)
        with torch.no_grad():
            return likelihood.log_prob(levels.to(self._device), self._moved(asked.conditions))

    def sample(
        self, conditions: Conditions | None = None, /, *, num_samples: int = 1, seed: Seed = 0,
        seconds: float | None = None, **named: Any,
    ) -> Drawn:  # fmt: skip
        """Draw samples.

        Args:
            conditions: conditions together; see the class.
            num_samples: number of samples per row of the conditions.
            seed: seed of the noise, or a seed per row; see `condgen.sampling.sample`.
            seconds: length of audio, where no condition says.
            named: conditions by name; and options of `condgen.sampling.sample` (temperature, given, known, engine, …)
                or, for a generator, of `condgen.sampling.push_forward` (truncation, …).

        Raises:
            ValueError: a name or a value is unknown or missing; the message holds the known ones.
        """
        draw, likelihood = sampler(self.model), as_likelihood(self.model)
        given, options = self._apart(named, draw)
        asked = self._asked(conditions, given, seconds)
        if likelihood is not None and asked.lengths is not None:
            options["length"] = asked.lengths
        found = draw(self.model, asked.conditions, num_samples=num_samples, seed=seed, **options)
        rows = [i // num_samples for i in range(len(found.x))]
        labels = [", ".join(words[row if len(words) > 1 else 0] for words in asked.labels.values()) for row in rows]
        each = asked.lengths or [found.x.shape[-1]]
        lengths = [each[row if len(each) > 1 else 0] for row in rows]
        return Drawn(found, self.model.network.levels, num_samples, labels, audio(self.model.network), lengths)

    def stream(
        self, conditions: Conditions | None = None, /, *, num_samples: int = 1, seed: Seed = 0,
        seconds: float | None = None, **named: Any,
    ) -> Iterator[np.ndarray]:  # fmt: skip
        """Draw audio piece by piece, what `sample` draws, without waiting for its end.

        Args:
            conditions: conditions together; see the class.
            num_samples: number of streams per row of the conditions.
            seed: seed of the noise; see `sample`.
            seconds: length of audio; without it, and without a condition that says, the stream has no end.
            named: conditions by name; and options of `condgen.sampling.stream` (chunk, temperature, engine, …), which
                also gives the state that a stream goes on from.

        Yields:
            Waveforms in [−1, 1], (streams, samples).
        """
        likelihood, heard = as_likelihood(self.model), audio(self.model.network)
        if likelihood is None or heard is None:
            raise ValueError("streams are for likelihood models of audio; draw from this one with `sample`")
        given, options = self._apart(named, stream)
        asked = self._asked(conditions, given, seconds)
        if asked.lengths is not None:
            options["length"] = max(asked.lengths)
        for chunk in stream(likelihood, asked.conditions, num_samples=num_samples, seed=seed, **options):
            yield heard.quantization.decode(chunk.x[:, 0].cpu()).numpy()

    def push_to_hub(self, repo_id: str, **options: Any) -> str:
        """Push the model to the Hugging Face hub as `condgen export` writes it, with its card; return the address of
        the commit. An exported model goes as it is, with what its card says.

        Args:
            repo_id: name there, `user/model`; `condgen.load("hf://user/model")` then opens it.
            options: options of the same method of `huggingface_hub.ModelHubMixin` (private, token, branch, …).
        """
        require_hub(repo_id)
        from condgen.pretrained.hub import Exported

        if self.checkpoint.is_export:
            return str(Exported(self.checkpoint.path).push_to_hub(repo_id, **options))
        with TemporaryDirectory() as place:
            write_model(Path(place), f"{HUB}{repo_id}", self.checkpoint)
            return str(Exported(Path(place)).push_to_hub(repo_id, **options))

    @property
    def _shape(self) -> tuple[int, ...]:
        generator, likelihood = as_generator(self.model), as_likelihood(self.model)
        if generator is not None:
            return generator.network.shape
        assert likelihood is not None
        return likelihood.network.canvas()

    @property
    def _device(self) -> torch.device:
        return next(self.model.parameters()).device

    def _moved(self, conditions: Prepared) -> Prepared:
        if isinstance(conditions, FiLMParameters):
            return conditions.to(self._device)
        return {name: condition.to(self._device) for name, condition in conditions.items()}

    def _apart(self, named: Mapping[str, Any], draw: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """Tell conditions from options of what draws."""
        named = self._plain(named)
        ours = {"model", "conditions", "num_samples", "seed", "length"}
        known = [name for name in inspect.signature(draw).parameters if name not in ours]
        options = {name: value for name, value in named.items() if name in known and name not in self.model.encoders}
        given = {name: value for name, value in named.items() if name not in options}
        for name in given:
            if name not in self.model.encoders:
                conditions = ", ".join(self.model.encoders) or "none"
                raise ValueError(f"'{name}' is no condition of the model and no option; conditions: {conditions}; "
                                 f"options: {', '.join(known)}")  # fmt: skip
        return given, options

    def _plain(self, named: Mapping[str, Any]) -> dict[str, Any]:
        """Return named conditions without the underscore that Python's own words, such as `class_`, need."""
        return {name[:-1] if name.endswith("_") and name[:-1] in self.model.encoders else name: value
                for name, value in named.items()}  # fmt: skip

    def _local(self, given: Mapping[str, Any]) -> list[str]:
        """List the conditions given that say how long audio is."""
        return [name for name, encoder in self.model.encoders.items() if name in given and encoder.scope == "local"]

    def _asked(self, conditions: Conditions | None, named: Mapping[str, Value], seconds: float | None) -> Asked:
        """Turn conditions of all kinds into what the model takes."""
        named = self._plain(named)
        heard = audio(self.model.network)
        if seconds is not None and (heard is None or not 0 < seconds < float("inf")):
            raise ValueError("seconds are for audio; this model draws images" if heard is None
                             else f"seconds {seconds} is not a number of more than 0")  # fmt: skip
        if conditions is not None and named:
            raise ValueError(f"give all conditions by name or all together, not {', '.join(named)} besides others")
        generator = as_generator(self.model)
        if heard is not None and generator is not None:
            seconds = generator.network.shape[-1] / heard.sample_rate
        if isinstance(conditions, FiLMParameters):
            lengths = None if seconds is None or heard is None else [int(seconds * heard.sample_rate)]
            return Asked(conditions, conditions.labels, lengths)
        return self._rows(named if conditions is None else conditions, seconds)

    def _rows(self, given: Mapping[str, Value], seconds: float | None) -> Asked:
        """Tell what is to be measured from what is there, and count the rows."""
        encoders, features = self.model.encoders, {} if self.front_end is None else self.front_end.features
        derived = [n for n in encoders if n in features and features[n].given == "length" and n not in given]
        check_names({name: encoder for name, encoder in encoders.items() if name not in derived}, given)
        sources = {n: _sources(v) for n, v in given.items() if n in features and features[n].given != "length"}
        heard = {name: found for name, found in sources.items() if found}
        shown = {name: heard.pop(name) for name in [*heard] if features[name].given == "reference"}
        tensors = {name: stacked_rows([self._shown(name, source) for source in found]) for name, found in shown.items()}
        tensors |= {n: as_tensor(n, encoders[n], v) for n, v in given.items() if n not in heard and n not in shown}
        for name in (name for name in tensors if name in features and tensors[name].ndim != 3):
            raise ValueError(f"condition '{name}' takes {self.conditions[name]}, or frames, (rows, size, frames); this "
                             f"is of shape {tuple(tensors[name].shape)}")  # fmt: skip
        counted = one_count({**tensors, **{name: torch.empty(len(found)) for name, found in heard.items()}})
        if seconds is not None and self._local(given):
            raise ValueError(f"{', '.join(self._local(given))} says how long the audio is: leave seconds out")
        if seconds is None and self.front_end is not None and derived and not self._local(given):
            seconds = self.front_end.usual
        if seconds is None and derived and not self._local(given):
            raise ValueError(f"give seconds, the length of the audio: the condition '{derived[0]}' depends on it")
        labels = labels_of({name: encoder for name, encoder in encoders.items() if name in tensors}, counted)
        warn_of_untrained(self.checkpoint.untrained, labels)
        if self.front_end is not None and (seconds is not None or derived or self._local(given)):
            return self._measured(self.front_end, tensors, heard, labels, derived, seconds)
        rate = self.model.network.sample_rate
        return Asked(tensors, labels, None if seconds is None or rate is None else [int(seconds * rate + 1e-6)])

    def _shown(self, name: str, source: Source) -> Tensor:
        """Measure a recording that shows a voice."""
        assert self.front_end is not None
        return self.front_end.shown(name, *_ready(self.front_end, name, source))

    @staticmethod
    def _measured(
        front_end: FrontEnd, tensors: dict[str, Tensor], heard: dict[str, list[Source]], labels: dict[str, list[str]],
        derived: list[str], seconds: float | None,
    ) -> Asked:  # fmt: skip
        """Measure the local conditions row by row, as in training."""
        rows = []
        counts = [*map(len, tensors.values()), *map(len, heard.values())]
        for i in range(max(counts, default=1)):
            values = {name: tensor[i if len(tensor) > 1 else 0] for name, tensor in tensors.items()}
            words = {name: labels[name][i] if name in labels else "an array" for name in tensors}
            for name, found in heard.items():
                source = found[i if len(found) > 1 else 0]
                words[name] = source if isinstance(source, str) else "a waveform"
                if not isinstance(source, str):
                    ready, clip = _ready(front_end, name, source)
                    values[name] = front_end.features[name].measure(ready, front_end.sample_rate, clip)
            rows.append(with_frames(words, values, front_end, derived, seconds))
        return Asked(stacked(rows), labels, [row.length or 0 for row in rows])


def _ready(front_end: FrontEnd, name: str, source: Source) -> tuple[Tensor, Clip]:
    """Bring an audio file, or a waveform with its rate, to the rate and level of the training data."""
    if isinstance(source, str):
        return front_end.heard(Path(source), mono=name in front_end.references)
    waveform, rate = source
    return front_end.ready(waveform, rate or front_end.sample_rate,
                           Clip(Path("waveform"), {}, origin=f"the waveform of '{name}'"))  # fmt: skip


def _sources(value: Any) -> list[Source]:
    """List texts, files and waveforms, the latter with their rates where these are given; nothing for frames."""
    if isinstance(value, str | Path):
        return [str(value)]
    if isinstance(value, tuple) and len(value) == 2 and np.ndim(value[1]) == 0 and not isinstance(value[1], str | Path):
        return [(_waveform(value[0]), int(value[1]))]
    if isinstance(value, list | tuple) and value and not all(isinstance(part, int | float) for part in value):
        parts = [_sources(part) for part in value]
        return [source for part in parts for source in part] if all(parts) else []
    array = torch.as_tensor(np.asarray(value)) if not isinstance(value, Tensor) else value
    if array.ndim > 2 or not array.ndim:
        return []
    return [(waveform, None) for waveform in torch.atleast_2d(array).float()]


def _waveform(value: Any) -> Tensor:
    waveform = torch.as_tensor(np.asarray(value)).float()
    if waveform.ndim != 1:
        raise ValueError(f"a waveform is (samples,), of one channel; this is of shape {tuple(waveform.shape)}")
    return waveform


def _shortened(known: list[str] | str) -> str:
    return known if isinstance(known, str) else ", ".join(known) if len(known) <= 12 else f"{len(known)} classes"


def load(path: PathLike, device: str = "cpu", weights: Weights = "ema", trust: Iterable[str] = ()) -> Loaded:
    """Open a trained model, without running any code in it.

    Args:
        path: checkpoint that `condgen fit` wrote, folder that `condgen export` wrote, name of a model that comes with
            condgen, such as `digits`, or of one on the Hugging Face hub, `hf://user/model` (of one commit, tag or
            branch: `hf://user/model@revision`).
        device: `cpu`, `cuda`, …, or `auto` for a GPU where there is one.
        weights: running average of the weights (`ema`), or the last ones (`live`).
        trust: modules, besides condgen, whose classes may be built from it.

    Raises:
        ValueError: the file is missing, broken or none of condgen's; or it names classes that are not trusted.
    """
    checkpoint = Checkpoint.open(path, trust)
    return Loaded(
        checkpoint, checkpoint.model(weights, device), checkpoint.front_end() if checkpoint.has_data else None
    )
