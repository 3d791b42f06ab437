"""A store of prepared clips: read, measured and quantized once, then mapped into memory by every run."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from condgen.atomic import whole_folder
from condgen.data.clips import Clip
from condgen.data.features import FrameFeature
from condgen.data.recordings import RecordingReader
from condgen.data.text import read_json, read_text
from condgen.paths import require_file
from condgen.quantization import Quantization

INDEX = "index.json"


@dataclass(frozen=True)
class ClipStore:
    """Clips one after the other in flat arrays.

    Attributes:
        levels: levels of all clips, (samples,).
        ends: end of each clip in `levels`, (clips + 1,), beginning with 0.
        frames: frames of all clips, per feature, (frames, size).
        ids: class ids per condition, (clips,).
        files: files of the clips.
        dropped: seconds that trimming, and cutting to whole frames, dropped.
    """

    levels: np.ndarray
    ends: np.ndarray
    frames: dict[str, np.ndarray]
    ids: dict[str, np.ndarray]
    files: list[str]
    dropped: float

    @classmethod
    def open(cls, folder: Path) -> ClipStore:
        """Map a folder that `write_store` wrote."""
        index = read_json(read_text(folder / INDEX), str(folder / INDEX))
        frames = {name: np.memmap(folder / f"{name}.frames", np.float32, "r").reshape(-1, size)
                  for name, size in index["sizes"].items()}  # fmt: skip
        return cls(
            np.memmap(folder / "levels", np.dtype(index["dtype"]), "r"),
            np.array(index["ends"]),
            frames,
            {name: np.array(ids, dtype=np.int64) for name, ids in index["ids"].items()},
            index["files"],
            index["dropped"],
        )


def store_name(clips: Sequence[Clip], settings: Mapping[str, object]) -> str:
    """Name a store after everything that decides its content: settings, and files with their sizes and times."""
    files = []
    for clip in clips:
        require_file(clip.path, "a sound file", f"{clip.path} ({clip.origin})")
        stat = os.stat(clip.path)
        files.append([str(clip.path), stat.st_size, stat.st_mtime_ns, clip.labels, clip.phonemes])
    return hashlib.sha256(json.dumps([settings, files], sort_keys=True).encode()).hexdigest()[:16]


def write_store(
    folder: Path,
    clips: Sequence[Clip],
    reader: RecordingReader,
    quantization: Quantization,
    features: Mapping[str, FrameFeature],
    names: Mapping[str, list[str]],
    unit: int,
    description: str,
) -> None:
    """Prepare clips and write them to a folder, which appears only when everything is done.

    Args:
        folder: folder for the store.
        clips: clips to prepare.
        reader: reader that reads and normalises them.
        quantization: quantization of their samples.
        features: frame features to measure, by the name of their condition.
        names: class names per condition.
        unit: grid of lengths in samples: what exceeds a multiple of it is cut off the end of a clip.
        description: text of the progress bar.
    """
    index: dict[str, Any] = {
        "dtype": _dtype(quantization).name, "ends": [0], "files": [str(clip.path) for clip in clips], "dropped": 0.0,
        "sizes": {name: feature.size for name, feature in features.items()},
        "ids": {name: [_id(clip, name, known) for clip in clips] for name, known in names.items()},
    }  # fmt: skip
    try:
        with whole_folder(folder) as unfinished:
            for clip in tqdm(clips, desc=description, unit="clip", delay=1, leave=False):
                samples, dropped = _append_clip(unfinished, clip, reader, quantization, features, unit)
                index["ends"].append(index["ends"][-1] + samples)
                index["dropped"] += dropped
            (unfinished / INDEX).write_text(json.dumps(index))
    except OSError:  # another process may have prepared the same clips in the meantime
        if not (folder / INDEX).is_file():
            raise


def _append_clip(
    folder: Path,
    clip: Clip,
    reader: RecordingReader,
    quantization: Quantization,
    features: Mapping[str, FrameFeature],
    unit: int,
) -> tuple[int, float]:
    """Append a clip to the arrays of a store; return the samples appended and the seconds dropped."""
    waveform, moved, dropped = reader.read(clip)
    kept = waveform[: len(waveform) // unit * unit]
    if not len(kept):
        raise ValueError(f"{clip.path} ({clip.origin}) has {len(waveform)} samples, fewer than the {unit} "
                         "that the frames of its features need")  # fmt: skip
    for name, feature in features.items():
        frames = feature.measure(kept, reader.sample_rate, moved)
        if frames.shape != (feature.size, len(kept) // feature.hop):
            raise ValueError(f"{clip.path}: feature '{name}' has {frames.shape[-1]} frames: × hop {feature.hop}"
                             f" ≠ {len(kept)} samples")  # fmt: skip
        _append(folder / f"{name}.frames", frames.T.numpy().astype(np.float32))
    _append(folder / "levels", quantization.encode(kept).numpy().astype(_dtype(quantization)))
    return len(kept), dropped + (len(waveform) - len(kept)) / reader.sample_rate


def _dtype(quantization: Quantization) -> np.dtype:
    return np.dtype(np.uint8 if quantization.levels <= 256 else np.int32)


def _append(path: Path, array: np.ndarray) -> None:
    with open(path, "ab") as file:
        file.write(np.ascontiguousarray(array).tobytes())


def _id(clip: Clip, name: str, known: list[str]) -> int:
    if clip.labels.get(name) not in known:
        raise ValueError(f"{clip.path} ({clip.origin}): {name} '{clip.labels.get(name)}' is not one of "
                         f"{', '.join(known)}")  # fmt: skip
    return known.index(clip.labels[name])
