"""Clips as judges from outside hear them: waveforms of 16 kHz, with the classes that they should be of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from condgen.data import Speech
from condgen.evaluation.samples import Generated, matching_rows

RATE = 16000  # samples a second of the sound that the judges were trained on
ENROLLED = 50  # real training clips that make a speaker's mean voice


class Clips(NamedTuple):
    """Clips that judges hear.

    Attributes:
        waveforms: waveforms of 16 kHz in [−1, 1], (samples,) each.
        classes: class ids per condition, (clips,): those asked for, or the true ones.
    """

    waveforms: list[np.ndarray]
    classes: dict[str, Tensor]


def clips(generated: Generated, data: Speech) -> dict[str, Clips]:
    """Return the clips to judge: `samples`, `training` clips of the same classes, and the `held_out` ones."""
    asked = {name: generated.conditions[name] for name in data.class_ids("train")}
    cut = [[w[0, :n] for w, n in zip(x, generated.lengths or [], strict=True)]
           for x in (generated.x, generated.originals)]  # fmt: skip
    return {
        "samples": Clips(heard(cut[0], data), asked),
        "training": training(data, judged_rows(generated, data)),
        "held_out": Clips(heard(cut[1], data), asked),
    }


def enrolled(generated: Generated, data: Speech, condition: str) -> Clips:
    """Return training clips to learn every voice from, at most `ENROLLED` each: judged ones only where others are
    lacking.

    Args:
        generated: samples with the conditions of held-out clips.
        data: data module after `setup()`.
        condition: condition that says who speaks.
    """
    ids, judged = data.class_ids("train")[condition], set(judged_rows(generated, data))
    order = torch.randperm(len(ids), generator=torch.Generator().manual_seed(1)).tolist()
    rows = sorted(order, key=judged.__contains__)
    of_class = ([row for row in rows if int(ids[row]) == label] for label in ids.unique().tolist())
    return training(data, [row for found in of_class for row in found[:ENROLLED]])


def judged_rows(generated: Generated, data: Speech) -> list[int]:
    """Return the training clips that are judged: one of the same classes for each sample."""
    ids = data.class_ids("train")
    return matching_rows(ids, {name: generated.conditions[name] for name in ids})


def training(data: Speech, rows: Sequence[int]) -> Clips:
    """Return training clips, whole, or of the fixed length of the data."""
    store = data.stores["train"]
    found = [torch.from_numpy(np.array(store.levels[store.ends[i] : store.ends[i + 1]])).long() for i in rows]
    if data.length is not None:
        silence = data.quantization.silence
        found = [F.pad(x[: data.length], (0, max(0, data.length - len(x))), value=silence) for x in found]
    return Clips(heard(found, data), {name: ids[list(rows)] for name, ids in data.class_ids("train").items()})


def heard(levels: Iterable[Tensor], data: Speech) -> list[np.ndarray]:
    """Turn levels, (samples,) each, into waveforms of 16 kHz."""
    import soxr

    waveforms = (data.quantization.decode(x).numpy() for x in levels)
    return [soxr.resample(w, data.sample_rate, RATE).astype(np.float32).clip(-1, 1) for w in waveforms]
