"""What a configuration leaves out because its data know it: the grid of the network (shape, levels, sample rate,
companding, hop), the conditions and their encoders, names of classes, phonemes, sizes of frames.

It is filled in before the model is built, so that it stands in the checkpoint and in the run's config.yaml. The source
of the data is built for that once, and handed on to the data module: one that downloads, or lists 100,000 files, is not
to do so twice.
"""

from __future__ import annotations

import inspect
import re
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


class Completion(NamedTuple):
    """What completing a configuration comes to.

    Attributes:
        built: source of the data, if the configuration names one.
        taken: arguments that were taken from the data, in words.
    """

    built: Built | None
    taken: list[str]


def complete(model: Namespace, data: Namespace, given: Mapping[str, Any] | None) -> Completion:
    """Complete a model and the features of its data by what the data know.

    Args:
        model: class path and arguments of the task, with the defaults of what was left out; changed.
        data: class path and arguments of the data module; changed.
        given: arguments of the task that were given; `None` where all count as given, as those of a checkpoint.

    Raises:
        ValueError: the model has a condition that the data lack, or that does not fit; the message names it.
    """
    settings, arguments = data.get("init_args") or Namespace(), model.get("init_args") or Namespace()
    features = settings.get("features") or {}
    if not (features or arguments.get("conditions") or given is not None):
        return Completion(None, [])
    source = _build(settings.get("source"), [])
    built = [Built(lambda *_, **__: source, type(source))] if isinstance(settings.get("source"), Namespace) else []
    for feature in features.values():
        kind = cast(type[FrameFeature], locate(feature.class_path))
        _complete(feature, kind.completed(_arguments(feature), cast(SpeechSource, source).phonemes))
    known = require(_build(data, built), ConditionedData)
    taken = [] if given is None else _take_conditions(model, known, given)
    for name, encoder in (arguments.get("conditions") or {}).items():
        _complete_encoder(name, encoder, known.conditions)
    if given is not None:
        taken += _take_grid(arguments, known, given)
    return Completion(built[0] if built else None, taken)


def _take_conditions(model: Namespace, data: ConditionedData, given: Mapping[str, Any]) -> list[str]:
    """Give a model whose conditions were left out all that the data have, if it takes any."""
    parameters = inspect.signature(cast(type, locate(model.class_path))).parameters
    if "conditions" not in parameters or "conditions" in given or given.get("conditioning") == "none":
        return []
    encoders = {name: path for name, condition in data.conditions.items() if (path := _encoder_of(condition))}
    # The parser fills in the encoders' other arguments when it reads the configuration once more.
    model["init_args.conditions"] = {name: Namespace(class_path=path) for name, path in encoders.items()}
    return [f"conditions.{name} {_in_words(data.conditions[name])}" for name in encoders]


def _encoder_of(condition: DataCondition) -> str | None:
    """Return the class path of the usual encoder of a condition; `None` where the data do not say what it is like."""
    usual = {"class": "ClassEmbedding", "caption": "TokenSequence", "picture": "ImageEncoder",
             "reference": "AudioReference"}  # fmt: skip
    if condition.given in usual:
        return f"condgen.conditioning.{usual[condition.given]}"
    if condition.size is not None:
        return f"condgen.conditioning.{'LinguisticSequence' if condition.names else 'FrameSequence'}"
    return None if condition.channels is None else "condgen.conditioning.FeatureMap"


def _in_words(condition: DataCondition) -> str:
    names = condition.names or []
    if condition.given == "class":
        some = ", ".join(names[:10]) + (", …" if len(names) > 10 else "")
        return f"({len(names)} class{'es' * (len(names) != 1)}: {some})"
    return f"({condition.kind})"


def _take_grid(arguments: Namespace, data: ConditionedData, given: Mapping[str, Any]) -> list[str]:
    """Give every network the arguments that it must share with the data and that were left out."""
    grid: dict[str, object] = {"shape": data.shape, "levels": data.levels, "sample_rate": data.sample_rate}
    if data.sample_rate is not None:
        grid["companding"] = data.companding  # type: ignore[attr-defined]  # data of sound have it
    grid["hop"] = _hop(arguments.get("conditions") or {}, data.conditions)
    taken = []
    for name, part in arguments.items(branches=True, nested=False):
        if not (isinstance(part, Namespace) and "class_path" in part):
            continue
        parameters = inspect.signature(cast(type, locate(part.class_path))).parameters
        own = _arguments(cast(Namespace, given.get(name) or Namespace()))
        for key, value in grid.items():
            if key in parameters and key not in own and value is not None:
                part[f"init_args.{key}"] = value
                taken += [f"{name}.{key} {list(value) if isinstance(value, tuple) else value}"]
    return taken


def _hop(conditions: Mapping[str, Namespace], known: Mapping[str, DataCondition]) -> int | None:
    """Return the samples per frame of the model's local conditions, after their encoders; `None` without such."""
    hops = [hop // int(_arguments(encoder).get("factor") or 1)
            for name, encoder in conditions.items() if (hop := known[name].hop)]  # fmt: skip
    return hops[0] if hops else None


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
        return parser.instantiate(parser.parse_object(Namespace(part=part)), instantiators=built).part
    except (ArgumentError, ValueError) as error:
        message = re.sub(r"^part\b[.:]? *", "", innermost(str(error)))
        if "are required: root" in message:
            message += "; give the folder of the data: --data.source.root DIR"
        raise ValueError(message) from error
