"""What a configuration leaves out because its data know it: names of classes, phonemes.

It is filled in before the model is built, so that it stands in the checkpoint and in the run's config.yaml. The source
of the data is built for that once, and handed on to the data module: one that downloads, or lists 100,000 files, is not
to do so twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pydoc import locate
from typing import Any, NamedTuple, cast

from jsonargparse import ArgumentError, ArgumentParser, Namespace

from condgen.conditioning import DataCondition, Encoder
from condgen.conditioning.contract import require, require_condition
from condgen.data.batch import ConditionedData
from condgen.data.clips import SpeechSource
from condgen.data.features import FrameFeature
from condgen.data.hyperparameters import innermost


class Built(NamedTuple):
    """A part that is built already, in the form in which jsonargparse takes it: whoever asks for its class gets it."""

    instantiator: Callable[..., object]
    kind: type
    subclasses: bool = False


def completed_source(model: Namespace, data: Namespace) -> Built | None:
    """Complete a model's conditions and the features of its data; return the source that was built for that.

    Args:
        model: class path and arguments of the task; changed.
        data: class path and arguments of the data module; changed.

    Raises:
        ValueError: the model has a condition that the data lack, or that does not fit; the message names it.
    """
    given = data.get("init_args") or Namespace()
    features, conditions = given.get("features") or {}, (model.get("init_args") or {}).get("conditions") or {}
    if not features and not conditions:
        return None
    source = _build(given.get("source"), [])
    built = Built(lambda *_, **__: source, type(source))
    for feature in features.values():
        kind = cast(type[FrameFeature], locate(feature.class_path))
        _complete(feature, kind.completed(_arguments(feature), cast(SpeechSource, source).phonemes))
    known = require(_build(data, [built]), ConditionedData).conditions
    for name, encoder in conditions.items():
        _complete_encoder(name, encoder, known)
    return built


def _complete_encoder(name: str, encoder: Namespace, known: Mapping[str, DataCondition]) -> None:
    given = require_condition(name, known)
    kind = cast(type[Encoder], locate(encoder.class_path))
    try:
        _complete(encoder, kind.completed(_arguments(encoder), given))
    except ValueError as error:
        raise ValueError(f"the condition '{name}' {error}") from None


def _arguments(part: Namespace) -> dict[str, Any]:
    return part.init_args.as_dict() if "init_args" in part else {}


def _complete(part: Namespace, arguments: Mapping[str, Any]) -> None:
    """Fill in arguments of a class that the configuration leaves out."""
    for key, value in arguments.items():
        if _arguments(part).get(key) != value:
            part[f"init_args.{key}"] = value


def _build(part: object, built: list[Built]) -> object:
    """Build what a configuration describes; what is built already is used again. All else is returned as it is."""
    if not isinstance(part, Namespace):
        return part
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(cast(type, locate(part.class_path)), "part")
    try:
        return parser.instantiate(Namespace(part=part), instantiators=built).part
    except (ArgumentError, ValueError) as error:
        raise ValueError(innermost(str(error)).removeprefix("part").lstrip(":. ")) from error
