"""Examples of data to look at and to listen to, as a model will see and hear them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
import torch

from condgen.data import Speech
from condgen.data.batch import ConditionedData
from condgen.evaluation.pictures import save_grid, save_waveforms, some_classes
from condgen.evaluation.sound import write_wav

PER_ROW = 8  # pictures of a class
CLIPS = 8  # recordings in all


def write_examples(folder: Path, data: ConditionedData) -> str:
    """Write training examples of each class of the first condition, of 40 at most; return the names of the files."""
    names, rows = rows_by_class(data)
    if data.sample_rate is None:
        return _write_pictures(folder, data, names, rows)
    return _write_recordings(folder, cast(Speech, data), names, rows)


def rows_by_class(data: ConditionedData) -> tuple[list[str], list[list[int]]]:
    """List the first training examples of each class of the first condition; of all, where there is none."""
    ids = data.class_ids("train")
    condition = next((name for name in data.names if name in ids), None)
    if condition is None:
        return ["examples"], [list(range(min(PER_ROW, len(data.dataset("train")))))]
    names, known = data.names[condition], ids[condition]
    shown = some_classes(len(names))
    return [names[i] for i in shown], [(known == i).nonzero()[:PER_ROW, 0].tolist() for i in shown]


def _write_pictures(folder: Path, data: ConditionedData, names: list[str], rows: list[list[int]]) -> str:
    """Write a grid with a row per class; where a class has fewer examples, the places stay white."""
    channels, height, width = cast(tuple[int, int, int], data.shape)
    x = torch.full((len(rows), PER_ROW, channels, height, width), data.levels - 1)
    for row, indices in enumerate(rows):
        if indices:
            x[row, : len(indices)] = data.dataset("train").__getitems__(indices).x
    save_grid(folder / "examples.png", x.flatten(0, 1), data.levels, PER_ROW, names)
    return "examples.png"


def _write_recordings(folder: Path, data: Speech, names: list[str], rows: list[list[int]]) -> str:
    """Write WAV files, and a picture of their waveforms and spectrograms; the classes take turns."""
    chosen = in_turns(rows)[:CLIPS]
    store = data.dataset("train").store
    titles = [f"{i:04d}.wav  {names[row]}" for i, (row, _) in enumerate(chosen)]
    waveforms: list[np.ndarray] = [
        data.quantization.decode(torch.from_numpy(store.prepared(index).levels)).numpy() for _, index in chosen
    ]
    for i, waveform in enumerate(waveforms):
        write_wav(folder / f"{i:04d}.wav", waveform, data.sample_rate)
    save_waveforms(folder / "examples.png", waveforms, data.sample_rate, titles)
    return f"examples.png, 0000.wav … {len(chosen) - 1:04d}.wav"


def in_turns(rows: Sequence[Sequence[int]]) -> list[tuple[int, int]]:
    """List pairs of a row and what stands in it: the first of every row, then the second of every row, and so on."""
    return sorted(((row, item) for row, items in enumerate(rows) for item in items),
                  key=lambda pair: (rows[pair[0]].index(pair[1]), pair[0]))  # fmt: skip
