"""Conditions in words, as the command line takes them, to tensors."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor

from condgen.conditioning import Encoder, names
from condgen.conditioning.contract import PictureEncoder, TokenEncoder, missing
from condgen.conditioning.values import stacked_rows
from condgen.data import Clip, FrameFeature, Phoneme, arrays
from condgen.data.front_end import FrontEnd
from condgen.models.conditional import Model, as_generator
from condgen.paths import content_of, require_file

PictureReader: TypeAlias = Callable[[str], Tensor]  # of a picture by its path, with numbers from 0 to 1


class Combination(NamedTuple):
    """One value for each condition: in words; as tensors, without the batch axis; and samples, where audio."""

    labels: dict[str, str]
    values: dict[str, Tensor]
    length: int | None = None


def combine(
    model: Model,
    given: Mapping[str, str],
    front_end: FrontEnd | None = None,
    seconds: float | None = None,
    picture: PictureReader | None = None,
) -> list[Combination]:
    """Turn `{name: text}` into every combination of values.

    Args:
        model: model whose conditions they are.
        given: words of the command line for each.
        front_end: front end that measures local conditions, for audio.
        seconds: length of audio, where neither a local condition nor the model says.
        picture: reader of pictures that are shown to the model, for images.

    Raises:
        ValueError: a name or value is unknown or missing; the message holds the known ones.
    """
    encoders = model.encoders
    features = {} if front_end is None else front_end.features
    derived = [name for name in encoders if name in features and features[name].given == "length"]
    asked = [name for name in encoders if name not in derived]
    known = ", ".join(asked) or "none, it is unconditional"
    for name in [*given, *asked]:
        if name not in asked:
            raise ValueError(f"the model has no condition '{name}' to choose; its conditions: {known}")
        if name not in given:
            raise ValueError(f"the model needs --condition.{name}: {_example(encoders[name], features.get(name))}")
    parsed = [
        [(name, label, value) for label, value in _values(name, encoders[name], given[name], front_end, picture)]
        for name in asked
    ]
    seconds = _seconds(model, front_end, seconds)
    rows = []
    for row in itertools.product(*parsed):
        labels, values = {n: label for n, label, _ in row}, {n: v for n, _, v in row if v is not None}
        rows.append(Combination(labels, values) if front_end is None
                    else with_frames(labels, values, front_end, derived, seconds))  # fmt: skip
    return rows


def taken_by_position(model: Model, given: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """List, per class condition, the words that name a class by its position only, each with the class's name."""
    classes = {name: encoder.names or [] for name, encoder in model.encoders.items() if encoder.classes is not None}
    taken = {name: names.taken_by_position(known, given[name]) for name, known in classes.items() if name in given}
    return {name: words for name, words in taken.items() if words}


def warn_of_untrained(untrained: Mapping[str, Sequence[str]], used: Mapping[str, Sequence[str]] | None = None) -> None:
    """Warn where classes are used that had no training examples.

    Args:
        untrained: classes without training examples, by condition.
        used: labels that are asked for, by condition; `None` for all.
    """
    for name, classes in untrained.items():
        found = [c for c in classes if used is None or c in used.get(name, ())]
        if found:
            warnings.warn(f"condition '{name}': the model has had no training examples of {', '.join(found)}: what it "
                          "makes of them comes from untrained weights", stacklevel=3)  # fmt: skip


def stacked(rows: Sequence[Combination]) -> dict[str, Tensor]:
    """Stack combinations: (combinations, …) per condition; shorter sequences of frames are padded with zeros."""
    return {name: stacked_rows([row.values[name] for row in rows]) for name in (rows[0].values if rows else ())}


def _example(encoder: Encoder, feature: FrameFeature | None) -> str:
    if feature is not None:
        return {"text": "what to say"}.get(feature.given, "an audio file, or several a.wav,b.wav")
    if not missing(encoder, TokenEncoder):
        return f"a caption of words among {', '.join((encoder.names or [])[:20])}"
    if not missing(encoder, PictureEncoder):
        return "a picture, or an .npy file"
    return f"one of {', '.join(encoder.names)}, or all" if encoder.names else "an .npy file"


def _values(
    name: str, encoder: Encoder, text: str, front_end: FrontEnd | None, picture: PictureReader | None
) -> list[tuple[str, Tensor | None]]:
    """List the (label, value) pairs of one condition; a value that depends on the others is still `None`."""
    feature = None if front_end is None else front_end.features.get(name)
    is_file = picture is not None and not missing(encoder, PictureEncoder)
    is_file = is_file or (feature is not None and feature.given in ("reference", "audio"))
    if is_file and not all(part.strip() for part in text.split(",")):
        raise ValueError(f"condition '{name}' is without a file in '{text}': give {_example(encoder, feature)}")
    if picture is not None and not missing(encoder, PictureEncoder) and not text.endswith(".npy"):
        return [(part, picture(part)) for part in text.split(",")]
    if front_end is None or feature is None or text.endswith(".npy"):
        return list(values_of(name, encoder, text))
    if feature.given == "reference":
        return [(part, front_end.shown(name, *front_end.heard(Path(part), mono=True))) for part in text.split(",")]
    return [(part, None) for part in ([text] if feature.given == "text" else text.split(","))]


def _seconds(model: Model, front_end: FrontEnd | None, asked: float | None) -> float | None:
    """Return the length of audio: a generator has one of its own."""
    if asked is not None and front_end is None:
        raise ValueError("--seconds is for audio; this model draws images")
    if asked is not None and not 0 < asked < float("inf"):
        raise ValueError(f"seconds {asked} is not more than 0")
    generator = as_generator(model)
    return asked if generator is None or front_end is None else generator.network.shape[-1] / front_end.sample_rate


def with_frames(
    labels: dict[str, str], values: dict[str, Tensor], front_end: FrontEnd, derived: list[str], seconds: float | None
) -> Combination:
    """Measure the local conditions of one combination; all must cover the same time.

    Args:
        labels: words for each condition; of local ones that are not measured yet, the file or the text.
        values: conditions that are known, without the batch axis.
        front_end: front end that measures.
        derived: conditions that depend on the length alone.
        seconds: length of the audio, where no local condition says.
    """
    measured, lengths = dict(values), {}
    timed = {name: f for name, f in front_end.features.items() if name not in front_end.references}
    for name, feature in timed.items():
        if name in labels and name not in values:
            waveform, clip = _heard(labels, name, feature, front_end)
            measured[name] = feature.measure(waveform, front_end.sample_rate, clip)
        if name in labels:
            lengths[name] = measured[name].shape[-1] * feature.hop
    if seconds is not None and lengths:
        raise ValueError(f"{', '.join(lengths)} says how long the audio is; leave --seconds out")
    if seconds is None and not lengths:
        seconds = front_end.usual
    if seconds is None and not lengths:
        raise ValueError("give --seconds, the length of the audio")
    if len(set(lengths.values())) > 1:
        raise ValueError(f"local conditions of different lengths, in samples: {lengths}")
    length = next(iter(lengths.values())) if lengths else front_end.samples(seconds or 0.0)
    for name in derived:
        measured[name] = front_end.features[name].measure(torch.zeros(length), front_end.sample_rate, None)
    return Combination(labels, measured, length)


def _heard(labels: dict[str, str], name: str, feature: FrameFeature, front_end: FrontEnd) -> tuple[Tensor, Clip]:
    """Get the waveform from which a local condition is measured: a file, or a text that eSpeak NG speaks."""
    if feature.given == "audio":
        return front_end.heard(Path(labels[name]))
    from condgen.data.espeak import speak

    voice = labels.get("speaker") or front_end.voice
    if voice is None:
        raise ValueError(f"condition '{name}': the text is spoken in the speaker's voice, and the model has no speaker")
    samples, rate, phonemes = speak(labels[name], voice, front_end.pitch, front_end.rate)
    clip = Clip(
        Path(labels[name]), {}, labels[name], tuple(Phoneme(*p) for p in phonemes), f"the text '{labels[name]}'"
    )
    return front_end.ready(torch.from_numpy(np.array(samples)), rate, clip)


def values_of(name: str, encoder: Encoder, text: str) -> list[tuple[str, Tensor]]:
    """Turn the text of one condition into (label, value) pairs: words that its encoder knows, or an .npy file."""
    try:
        if encoder.classes is not None or not text.endswith(".npy"):
            return encoder.parse(text)
    except ValueError as error:
        raise ValueError(f"condition '{name}' {error}") from None
    rows = torch.from_numpy(read_npy(text))
    if not rows.ndim:
        raise ValueError(f"condition '{name}': {text} holds a single number, not a row per value")
    return [(f"{Path(text).name}[{i}]", row) for i, row in enumerate(rows)]


def read_npy(path: str) -> np.ndarray:
    """Read an array, without running any code in the file."""
    require_file(path, "an .npy file")
    content = content_of(path)
    if content != "an .npy array":
        raise ValueError(f"{path} is no .npy file, but {content or 'something else'}; save the array with numpy.save")
    array = arrays.read_npy(Path(path))
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{path} holds no plain array of numbers; save one with numpy.save")
    return array.astype(np.int64) if array.dtype.kind in "biu" else array
