"""A checkpoint with one class more: the new class's numbers at their start, and all else as it was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from condgen import __version__, exported
from condgen.checkpoint import Checkpoint
from condgen.commands.going_on import epochs_done
from condgen.commands.model_card import figures_of
from condgen.conditioning import Encoder
from condgen.conditioning.names import spelled
from condgen.models.conditional import ConditionalModel, as_likelihood
from condgen.training.adaptation import What

GENERATOR = "model.film_generator"


def adaptable(checkpoint: Checkpoint) -> ConditionalModel:
    """Rebuild a model that has class conditions and a likelihood.

    Raises:
        ValueError: it has not.
    """
    model = as_likelihood(checkpoint.model())
    if model is None:
        raise ValueError(f"{checkpoint.path} holds an adversarial generator, which gives examples no likelihood to "
                         "learn a class by: train one with the class, with `condgen fit --weights`")  # fmt: skip
    if not class_conditions(model):
        raise ValueError(f"{checkpoint.path} has no condition with classes to add one to; its conditions: "
                         f"{', '.join(model.encoders) or 'none, it is unconditional'}")  # fmt: skip
    return model


def class_conditions(model: ConditionalModel) -> dict[str, Encoder]:
    """Return the encoders of classes, by condition."""
    return {name: encoder for name, encoder in model.encoders.items() if encoder.classes is not None}


def new_class(model: ConditionalModel, given: Mapping[str, str]) -> tuple[str, str]:
    """Tell, of conditions of the command line, which one names a new class, and that name as it is spelled.

    Raises:
        ValueError: none or several do, or one is of no class; the message holds the known ones.
    """
    encoders = class_conditions(model)
    for name in given:
        if name not in model.encoders:
            raise ValueError(f"the model has no condition '{name}'; its conditions: {', '.join(model.encoders)}")
        if name not in encoders:
            raise ValueError(f"condition '{name}' has no classes: it is measured or given as an array, and the model "
                             "takes any value of it already")  # fmt: skip
    new = {name: spelled(word) for name, word in given.items() if not _is_known(encoders[name], word)}
    known = "; ".join(f"{name}: {', '.join(encoder.names or ())}" for name, encoder in encoders.items())
    if not new:
        known_already = " and ".join(f"'{word}' of '{name}'" for name, word in given.items()) or "nothing"
        raise ValueError(f"the new class is to be named: give --condition.{next(iter(given or encoders))} NAME, which "
                         f"the model does not know; {known_already} is given, and it knows {known}")  # fmt: skip
    if len(new) > 1:
        several = " and ".join(f"'{word}' of '{name}'" for name, word in new.items())
        raise ValueError(f"{several} are new to the model, and one class is learnt at a time; it knows {known}")
    ((name, word),) = new.items()
    if not word or "/" in word or not word.isprintable():
        raise ValueError(f"condition '{name}': a class cannot be called '{word}'")
    return name, word


def _is_known(encoder: Encoder, words: str) -> bool:
    """Tell whether words mean classes already, by name, by number or by position."""
    try:
        return bool(encoder.parse(words))
    except ValueError as error:
        return "has several names" in str(error)


def grown(
    checkpoint: Checkpoint, model: ConditionalModel, condition: str, name: str, average_of: str, what: What
) -> Checkpoint:
    """Return a checkpoint with one class more, the last one.

    Args:
        checkpoint: checkpoint of the model.
        model: model of the checkpoint.
        condition: condition of the class.
        name: name of the class.
        average_of: names of the classes whose mean is its start, as on the command line.
        what: numbers that will be learnt.

    Raises:
        ValueError: a class is not known; or the encoder does not keep a vector per class.
    """
    encoder = model.encoders[condition]
    settings = checkpoint.content["hyper_parameters"]
    parts = settings["conditions"]
    arguments = {k: v for k, v in (parts[condition].get("init_args") or {}).items() if k != "num_classes"}
    names = [*(encoder.names or ()), name]
    own = {**parts[condition], "init_args": {**arguments, "names": names}}
    settings = {**settings, "conditions": {**parts, condition: own}}
    if what == "film":
        before = settings.get("adapted") or {}
        settings["adapted"] = {**before, condition: [*before.get(condition, ()), name]}
    state = _state(model, condition, _ids(encoder, condition, average_of), what, settings.get("adapted") or {})
    content = {**checkpoint.content, "hyper_parameters": settings, "state_dict": state}
    return Checkpoint(checkpoint.path, {k: v for k, v in content.items() if k != "current_model_state"})


def with_class(
    checkpoint: Checkpoint, condition: str, name: str, examples: int, learnt: Mapping[str, Tensor]
) -> Checkpoint:
    """Return a grown checkpoint with what was learnt in the place of the start.

    Args:
        checkpoint: checkpoint that `grown` made.
        condition: condition of the class.
        name: name of the class.
        examples: number of examples that it was learnt from.
        learnt: entries of the FiLM generator's state.
    """
    content = checkpoint.content
    state = {**content["state_dict"], **{f"{GENERATOR}.{key}": value.cpu() for key, value in learnt.items()}}
    counts = dict(content.get("class_examples") or {})
    if condition in counts:
        counts[condition] = {**counts[condition], name: examples}
    return Checkpoint(checkpoint.path, {**content, "state_dict": state, "class_examples": counts})


def described(base: Checkpoint, result: Checkpoint, adapted: Mapping[str, Any]) -> dict[str, Any]:
    """Return what config.json says of a model with a new class.

    Args:
        base: checkpoint that it was made from.
        result: checkpoint with the class.
        adapted: facts about the class.
    """
    content = result.content
    facts = {
        "condgen": __version__, "checkpoint": base.sha256, "adapted": adapted, "weights": "32-bit",
        "seconds": content.get("seconds"),
        "training": {"epochs": epochs_done(content), "steps": content.get("global_step", 0),
                     "scores": figures_of(content)},
    }  # fmt: skip
    data = {"_class_path": result.data_path, **result.data_settings} if result.has_data else None
    return exported.configuration(content, data, facts)


def _ids(encoder: Encoder, condition: str, words: str) -> list[int]:
    try:
        return [int(value) for _, value in encoder.parse(words)]
    except ValueError as error:
        raise ValueError(f"--average_of {words}: condition '{condition}' {error}") from None


def _state(
    model: ConditionalModel, condition: str, ids: Sequence[int], what: What, adapted: Mapping[str, Sequence[str]]
) -> dict[str, Tensor]:
    """Return the state of a model with one class more, which starts as the mean of others.

    Args:
        model: model without the class.
        condition: condition of the class.
        ids: ids of the others.
        what: numbers that will be learnt.
        adapted: classes that have an offset in the state returned, by condition.
    """
    state = {f"model.{name}": value for name, value in model.state_dict().items()}
    encoder = model.encoders[condition]
    if len(encoder.named_axes) != 1:
        raise ValueError(f"condition '{condition}': {type(encoder).__name__} does not keep one vector per class, so "
                         "none can be added")  # fmt: skip
    ((parameter, axis),) = encoder.named_axes.items()
    key, offsets = f"{GENERATOR}.encoders.{condition}.{parameter}", f"{GENERATOR}.offsets.{condition}.numbers"
    start = state[key].index_select(axis, torch.tensor(ids)).mean(axis, keepdim=True)
    state[key] = torch.cat([state[key], start], axis)
    if what == "film":
        none = torch.zeros(1, model.film_generator.offset_sizes[condition])
        known = state.get(offsets, none[:0])
        places = [adapted[condition].index(name) if (name := (encoder.names or ())[i]) in adapted[condition] else -1
                  for i in ids]  # fmt: skip
        own = torch.cat([known, none])
        state[offsets] = torch.cat([known, own[places].mean(0, keepdim=True)])
    return state
