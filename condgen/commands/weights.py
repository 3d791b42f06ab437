"""What a new run takes over from the weights of an earlier one: whatever belongs to a name goes by that name."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor

from condgen.checkpoint import OPPONENT, Checkpoint
from condgen.conditioning import Encoder
from condgen.described import describe
from condgen.training import AdversarialTask, LikelihoodTask

# Entries that only some models have: those that drop conditions in training, and those with adapted classes.
OPTIONAL = (".film_generator.none.", ".film_generator.offsets.")
# Arguments of a task that decide which weights it has.
BUILT = ("network", "discriminator", "conditions", "conditioning", "discriminator_conditioning", "film_depth",
         "film_generator", "post_multiplier")  # fmt: skip


def start_from(task: LikelihoodTask | AdversarialTask, checkpoint: Checkpoint) -> None:
    """Load a checkpoint's weights into a new task; say which conditions and classes are new, and which it leaves.

    Raises:
        ValueError: the weights do not fit; the message names the first that does not.
    """
    ours = task.model.encoders
    theirs = {name: list(encoder.names or ()) for name, encoder in checkpoint.model().encoders.items()}
    new, left = [n for n in ours if n not in theirs], [n for n in theirs if n not in ours]
    own = task.state_dict()
    opponent = OPPONENT if checkpoint.is_export else ()
    state = {key: value for key, value in own.items() if _is_of(key, new) or key.startswith(opponent)}
    state |= {key: value for key, value in own.items() if _is_optional(key)}
    state |= {key: carried(value, own, key, ours, theirs) for key, value in checkpoint.state_for(own).items()
              if not _is_of(key, left) and (key in own or not _is_optional(key))}  # fmt: skip
    differ = contradictions(describe(dict(task.hparams)), checkpoint.hyper_parameters)
    try:
        task.load_state_dict(state)
    except RuntimeError as error:
        mismatch = differ or f"{str(error).splitlines()[1].strip()} …"
        raise ValueError(f"{checkpoint.path} does not fit this model: {mismatch}") from None
    learned = checkpoint.content.get("class_examples", {})
    task.class_examples = {name: dict(classes) for name, classes in learned.items()}
    if differ:
        _say(f"other than in {checkpoint.path}: {differ}")
    if any(key.startswith(opponent) for key in own):
        _say(f"{checkpoint.path} is an exported model, which has no discriminator: that starts anew")
    _tell("conditions", new, left, str(checkpoint.path))
    adapted = checkpoint.hyper_parameters.get("adapted") or {}
    lost = [c for name, classes in adapted.items() for c in classes if not any(_is_offset(key, name) for key in own)]
    _tell("FiLM parameters of classes' own", [], lost, str(checkpoint.path))
    for name, encoder in ours.items():
        if encoder.named_axes and name in theirs:
            names, known = list(encoder.names or ()), theirs[name]
            fresh, gone = [n for n in names if n not in known], [n for n in known if n not in names]
            _tell(f"condition '{name}'", fresh, gone, str(checkpoint.path))


def contradictions(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> str:
    """Say which settings of the parts of two tasks differ, of those that both have, but for names of classes."""
    old = dict(flattened(_by_condition(theirs, ours)))
    found = [f"model.{key} is {value}, there {old[key]}" for key, value in flattened(_by_condition(ours, theirs))
             if key.split(".")[0] in BUILT and key.split(".")[-1] not in ("names", "num_classes", "dropout")
             and old.get(key, value) != value]  # fmt: skip
    return "; ".join(found)


def _by_condition(settings: Mapping[str, Any], other: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return settings with a mechanism for each condition where the other settings have one for each."""
    each = {
        key: dict.fromkeys(settings.get("conditions") or {}, settings[key])
        for key in ("conditioning", "discriminator_conditioning")
        if isinstance(settings.get(key), str) and isinstance(other.get(key), Mapping)
    }
    return {**settings, **each}


def flattened(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """List the values of nested mappings by their path, such as `network.channels`, as a command line has it."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from flattened(value, prefix if key == "init_args" else f"{prefix}{key}.")
        elif key == "class_path":  # by whichever path of the class
            yield prefix.rstrip("."), str(value).rpartition(".")[2]
        else:
            yield prefix + key, list(value) if isinstance(value, tuple) else value


def carried(
    value: Tensor,
    state: Mapping[str, Tensor],
    key: str,
    encoders: Mapping[str, Encoder],
    names: Mapping[str, Sequence[str]],
) -> Tensor:
    """Return an entry of an old state as it goes into a new one.

    Args:
        value: old entry.
        state: new state, whose values stay where a name is new.
        key: name of the entry.
        encoders: encoders of the new model, by condition.
        names: names that the old model knew, by condition.
    """
    for name, encoder in encoders.items():
        axis = _named_axis(key, name, encoder)
        if axis is None or key not in state or name not in names:
            continue
        new, ours, theirs = state[key], list(encoder.names or ()), list(names[name])
        if value.ndim != new.ndim or any(a != b for i, (a, b) in enumerate(zip(value.shape, new.shape, strict=True))
                                         if i != axis):  # fmt: skip
            continue
        both = [n for n in ours if n in theirs]
        to, of = (torch.tensor([known.index(n) for n in both], dtype=torch.long) for known in (ours, theirs))
        return new.index_copy(axis, to, value.index_select(axis, of).to(new))
    return value


def _named_axis(key: str, name: str, encoder: Encoder) -> int | None:
    """Return the axis along which an entry belongs to the names of a condition; `None` where it does not."""
    if f".classify.{name}." in key:  # of an auxiliary classifier: a row per class
        return 0
    _, inside, parameter = key.rpartition(f".encoders.{name}.")
    return encoder.named_axes.get(parameter) if inside else None


def _is_of(key: str, conditions: Sequence[str]) -> bool:
    """Tell whether an entry of a state belongs to one of some conditions, whose names encoders and heads bear."""
    return any(f".{name}." in f"{key}." for name in conditions)


def _is_optional(key: str) -> bool:
    """Tell whether an entry of a state is one that not every model has."""
    return any(part in key for part in OPTIONAL)


def _is_offset(key: str, condition: str) -> bool:
    """Tell whether an entry holds the FiLM parameters of adapted classes of a condition."""
    return f".film_generator.offsets.{condition}." in key


def _tell(whose: str, new: Sequence[str], left: Sequence[str], path: str) -> None:
    for words, found in (("new, and untrained", new), (f"left in {path}", left)):
        if found:
            _say(f"{whose}: {words}: {', '.join(found)}")


@rank_zero_only
def _say(words: str) -> None:
    print(f"condgen: {words}", file=sys.stderr)
