"""A store of prepared clips: read, measured and quantized once, then mapped into memory by every run."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from condgen.atomic import whole_folder
from condgen.data.clips import Clip
from condgen.data.faults import Faults, for_each
from condgen.data.features import FrameFeature
from condgen.data.recordings import RecordingReader
from condgen.data.text import read_json, read_text
from condgen.paths import broken_as, require_file
from condgen.quantization import Quantization

INDEX = "index.json"
CHECKSUMS, OWN = (
    "checksums",
    "sha256",
)  # of the index: of the other files (CRC-32), and of itself; earlier ones have none
BLOCK = 1 << 20  # bytes read at a time


class Prepared(NamedTuple):
    """A clip as it is stored: levels, (samples,); frames per feature, (frames, size); seconds dropped; whether it is
    silent; channels."""

    levels: np.ndarray
    frames: dict[str, np.ndarray]
    dropped: float
    silent: bool
    channels: int


class Row(NamedTuple):
    """What the index of a store says about a clip; see `ClipStore`."""

    file: str
    key: str
    ids: dict[str, int]
    samples: int
    dropped: float
    silent: bool
    channels: int


@dataclass(frozen=True)
class ClipStore:
    """Clips one after the other in flat arrays.

    Attributes:
        levels: levels of all clips, (samples,).
        ends: end of each clip in `levels`, (clips + 1,), beginning with 0.
        frames: frames of all clips, per feature, (frames, size).
        ids: class ids per condition, (clips,).
        files: files of the clips.
        dropped: seconds that trimming, and cutting to whole frames, dropped of each clip, (clips,).
        silent: silence of each clip, whose level was then left alone, (clips,).
        channels: channels of each file, which were mixed down to one, (clips,).
        keys: fingerprint of each clip; see `fingerprint`.
    """

    levels: np.ndarray
    ends: np.ndarray
    frames: dict[str, np.ndarray]
    ids: dict[str, np.ndarray]
    files: list[str]
    dropped: np.ndarray
    silent: np.ndarray
    channels: np.ndarray
    keys: list[str]

    @classmethod
    def open(cls, folder: Path) -> ClipStore:
        """Map a folder that `write_store` wrote.

        Raises:
            ValueError: its files are not what was written; the message names the folder and says to prepare it anew.
        """
        index = read_json(read_text(folder / INDEX), str(folder / INDEX))
        with broken_as(f"{folder} holds no prepared clips as they were written: remove it, and they are prepared anew"):
            _check_files(folder, index)
            return cls._mapped(folder, index)

    @classmethod
    def _mapped(cls, folder: Path, index: dict[str, Any]) -> ClipStore:
        frames = {name: np.memmap(folder / f"{name}.frames", np.float32, "r").reshape(-1, size)
                  for name, size in index["sizes"].items()}  # fmt: skip
        return cls(
            np.memmap(folder / "levels", np.dtype(index["dtype"]), "r"),
            np.array(index["ends"]),
            frames,
            {name: np.array(ids, dtype=np.int64) for name, ids in index["ids"].items()},
            index["files"],
            np.array(index["dropped"]),
            np.array(index["silent"], dtype=bool),
            np.array(index["channels"]),
            index["keys"],
        )

    def prepared(self, i: int) -> Prepared:
        """Copy a clip out of the store."""
        begin, end = (int(place) for place in self.ends[i : i + 2])
        # A feature's frames are as many to a sample in every clip.
        frames = {name: np.array(own[begin * len(own) // len(self.levels) : end * len(own) // len(self.levels)])
                  for name, own in self.frames.items()}  # fmt: skip
        return Prepared(np.array(self.levels[begin:end]), frames, float(self.dropped[i]), bool(self.silent[i]),
                        int(self.channels[i]))  # fmt: skip


def _check_files(folder: Path, index: dict[str, Any]) -> None:
    """Compare an index with its own checksum, and the files with those that it lists.

    Raises:
        ValueError: one is another; the message names the file.
    """
    if OWN in index and index[OWN] != _own_checksum(index):
        raise ValueError(f"{INDEX} was altered or damaged")
    for name, checksum in index.get(CHECKSUMS, {}).items():
        if _checksum(folder / name) != checksum:
            raise ValueError(f"{name} was altered or damaged")


def _checksum(path: Path) -> int:
    """Return the CRC-32 of a file: stores are large, and what is looked for is damage."""
    found = 0
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            found = zlib.crc32(block, found)
    return found


def _own_checksum(index: Mapping[str, object]) -> str:
    return _hash({name: part for name, part in index.items() if name != OWN})


def store_name(clips: Sequence[Clip], settings: Mapping[str, object]) -> str:
    """Name a store after everything that decides its content: settings, and files with their sizes and times."""
    return _hash([settings, [fingerprint(clip) for clip in clips]])


def fingerprint(clip: Clip) -> str:
    """Name all that decides what is prepared of a clip under the same settings: its file's path, size and time too."""
    stat = os.stat(clip.path)
    return _hash([str(clip.path), stat.st_size, stat.st_mtime_ns, clip.labels, clip.phonemes])


def require_clips(clips: Sequence[Clip]) -> None:
    """Make sure that the files of clips exist.

    Raises:
        Faults: some do not.
    """
    for_each(lambda clip: require_file(clip.path, "a sound file", f"{clip.path} ({clip.origin})"), clips, "clips")


def write_store(
    folder: Path,
    clips: Sequence[Clip],
    reader: RecordingReader,
    quantization: Quantization,
    features: Mapping[str, FrameFeature],
    names: Mapping[str, list[str]],
    unit: int,
    description: str,
    kept: Path,
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
        kept: folder for the good clips if others are bad: a second call takes them from there. It goes when all are
            done. Its name must tell the settings, since nothing in it does.

    Raises:
        Faults: clips are bad; all were tried.
    """
    earlier = ClipStore.open(kept) if (kept / INDEX).is_file() else None
    places = {} if earlier is None else {key: i for i, key in enumerate(earlier.keys)}
    rows, faults = [], []
    try:
        with whole_folder(folder) as unfinished:
            for clip in tqdm(clips, desc=description, unit="clip", delay=1, leave=False):
                try:
                    ids, key = {name: _id(clip, name, known) for name, known in names.items()}, fingerprint(clip)
                    found = (earlier.prepared(places[key]) if earlier and key in places
                             else _prepare(clip, reader, quantization, features, unit))  # fmt: skip
                except ValueError as error:
                    faults.append(str(error))
                    continue
                _append(unfinished / "levels", found.levels)
                for name, frames in found.frames.items():
                    _append(unfinished / f"{name}.frames", frames)
                rows.append(Row(str(clip.path), key, ids, len(found.levels), found.dropped, found.silent,
                                found.channels))  # fmt: skip
            sizes = {name: feature.size for name, feature in features.items()}
            index = _index(rows, _dtype(quantization), sizes, list(names))
            index |= {CHECKSUMS: {path.name: _checksum(path) for path in sorted(unfinished.iterdir())}}
            (unfinished / INDEX).write_text(json.dumps({**index, OWN: _own_checksum(index)}))
            if faults and rows:
                shutil.rmtree(kept, ignore_errors=True)
                os.replace(unfinished, kept)
            if faults:
                raise Faults(faults, "clips")
    except OSError:  # another process may have prepared the same clips in the meantime
        if not (folder / INDEX).is_file():
            raise
    shutil.rmtree(kept, ignore_errors=True)


def _index(rows: Sequence[Row], dtype: np.dtype, sizes: Mapping[str, int], names: Sequence[str]) -> dict[str, object]:
    return {
        "dtype": dtype.name, "sizes": dict(sizes), "ends": np.cumsum([0, *(row.samples for row in rows)]).tolist(),
        "ids": {name: [row.ids[name] for row in rows] for name in names}, "files": [row.file for row in rows],
        "dropped": [row.dropped for row in rows], "silent": [row.silent for row in rows],
        "channels": [row.channels for row in rows],
        "keys": [row.key for row in rows],
    }  # fmt: skip


def _prepare(
    clip: Clip, reader: RecordingReader, quantization: Quantization, features: Mapping[str, FrameFeature], unit: int
) -> Prepared:
    waveform, moved, dropped, silent, channels = reader.read(clip)
    kept = waveform[: len(waveform) // unit * unit]
    if not len(kept):
        raise ValueError(f"{clip.path} ({clip.origin}) has {len(waveform)} samples, fewer than the {unit} "
                         "that the frames of its features need")  # fmt: skip
    measured = {}
    for name, feature in features.items():
        frames = feature.measure(kept, reader.sample_rate, moved)
        if frames.shape != (feature.size, len(kept) // feature.hop):
            raise ValueError(f"{clip.path}: feature '{name}' has {frames.shape[-1]} frames: × hop {feature.hop}"
                             f" ≠ {len(kept)} samples")  # fmt: skip
        measured[name] = frames.T.numpy().astype(np.float32)
    levels = quantization.encode(kept).numpy().astype(_dtype(quantization))
    return Prepared(levels, measured, dropped + (len(waveform) - len(kept)) / reader.sample_rate, silent, channels)


def _hash(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


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
