"""What a new run takes over from the weights of an earlier one: whatever belongs to a name goes by that name."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

import torch
from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor

from condgen.checkpoint import Checkpoint
from condgen.conditioning import Encoder
from condgen.training import AdversarialTask, LikelihoodTask


def start_from(task: LikelihoodTask | AdversarialTask, checkpoint: Checkpoint) -> None:
    """Load a checkpoint's weights into a new task, and say which classes are new to it and which it leaves.

    Raises:
        ValueError: the weights do not fit; the message names the first that does not.
    """
    ours = task.model.encoders
    theirs = {name: list(encoder.names or ()) for name, encoder in checkpoint.model().encoders.items()}
    state = {key: carried(value, task.state_dict(), key, ours, theirs)
             for key, value in checkpoint.content["state_dict"].items()}  # fmt: skip
    try:
        task.load_state_dict(state)
    except RuntimeError as error:
        mismatch = str(error).splitlines()[1].strip()
        raise ValueError(f"{checkpoint.path} does not fit this model: {mismatch} …") from None
    learned = checkpoint.content.get("class_examples", {})
    task.class_examples = {name: dict(classes) for name, classes in learned.items()}
    for name, encoder in ours.items():
        if encoder.named_axes:
            _tell(name, list(encoder.names or ()), theirs.get(name, []), str(checkpoint.path))


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


@rank_zero_only
def _tell(name: str, ours: Sequence[str], theirs: Sequence[str], path: str) -> None:
    for words, found in (("new, and untrained", [n for n in ours if n not in theirs]),
                         (f"left in {path}", [n for n in theirs if n not in ours])):  # fmt: skip
        if found:
            print(f"condgen: condition '{name}': {words}: {', '.join(found)}", file=sys.stderr)
