"""The next command to type once a model is trained: how to draw from it, with real names of its conditions."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from condgen.conditioning import Encoder
from condgen.conditioning.contract import PictureEncoder, missing
from condgen.data import FrameFeature
from condgen.models.conditional import Model, as_likelihood
from condgen.models.contract import audio


def sampling_command(
    path: str,
    model: Model,
    features: Mapping[str, FrameFeature],
    untrained: Mapping[str, Sequence[str]],
    trust: Sequence[str] = (),
) -> str:
    """Write the command line that draws from a checkpoint.

    Args:
        path: checkpoint, folder of an exported model, or its name.
        model: model that it holds.
        features: features that are measured of audio, by condition.
        untrained: classes without training examples, by condition.
        trust: modules that the checkpoint needs.
    """
    asked = [n for n in model.encoders if n not in features or features[n].given != "length"]
    words = ["condgen", "sample", path]
    for name in asked:
        value = _value(model.encoders[name], features.get(name), untrained.get(name, ()))
        option = f"--condition.{name}"
        words += [f"{option}={value}"] if value.startswith("-") else [option, value]
    told = any(name in features and features[name].given != "reference" for name in asked)
    if as_likelihood(model) is not None and audio(model.network) is not None and not told:
        words += ["--seconds", "1"]
    return shlex.join([*words, *(["--trust", *trust] if trust else []), "--out", "samples"])


def foreign_modules(*settings: Mapping[str, Any]) -> list[str]:
    """List the modules, besides condgen, whose classes plain data name."""
    named = {path.rpartition(".")[0] for part in settings for path in _class_paths(part)}
    return sorted(module for module in named if module.partition(".")[0] != "condgen")


def _class_paths(tree: Any) -> Iterator[str]:
    if isinstance(tree, Mapping):
        yield from (str(value) for key, value in tree.items() if key in ("class_path", "_class_path"))
        for value in tree.values():
            yield from _class_paths(value)
    elif isinstance(tree, list | tuple):
        for value in tree:
            yield from _class_paths(value)


def _value(encoder: Encoder, feature: FrameFeature | None, untrained: Sequence[str]) -> str:
    """Choose a value of a condition: a class that was trained, where there are classes."""
    if feature is not None:
        return "what to say" if feature.given == "text" else "FILE.wav"
    if not missing(encoder, PictureEncoder):
        return "FILE.png"
    names = encoder.names or ()
    return next((name for name in names if name not in untrained), names[0] if names else "FILE.npy")
