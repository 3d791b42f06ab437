"""Files of every format that condgen reads, bent at random; see stress.py."""

from __future__ import annotations

import copy
import json
import random
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile
import torch
from PIL import Image

from condgen.checkpoint import Checkpoint
from condgen.commands.conditions import read_npy
from condgen.commands.data import of_data
from condgen.conditioning import FiLMParameters
from condgen.conditioning.film import GammaBeta
from condgen.data import MNIST, Clip
from condgen.data.decoding import read_audio
from condgen.data.image_sources import read_fixed_mnist
from condgen.data.pictures import read_picture
from condgen.data.recordings import RecordingReader
from condgen.data.store import ClipStore, write_store
from condgen.printable import CONTROL
from condgen.quantization import Quantization

# What takes the place of a number, a word or a part of plain data.
ODD: tuple[Any, ...] = (None, 0, -1, 5, 2**31, 2**70, 1e308, float("nan"), "", "x", "\x1b[2J", "\ud800", "a" * 5000,
                        [], {}, [None], {"": None}, {5: 6}, True, (1, 2), torch.ones(2), [[[[[]]]]], b"x")  # fmt: skip
LARGE = (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\1", b"\1\0\0\0")


class Format(NamedTuple):
    """A format of files.

    Attributes:
        write: function that writes whole files into a folder, and returns those to bend.
        read: function that reads the folder as condgen does, and returns all numbers and words that it found.
        bend: function that writes one of the files bent; bytes alone are bent if left out.
    """

    write: Callable[[Path], list[Path]]
    read: Callable[[Path], Any]
    bend: Callable[[Path, random.Random], None] | None = None


def bent_bytes(whole: bytes, rng: random.Random) -> bytes:
    """Return bytes with one to three faults: bits, numbers and runs altered, doubled, left out, cut or put in."""
    found = bytearray(whole)
    for _ in range(rng.randint(1, 3)):
        # Half of all faults lie in the first bytes, where headers are.
        at = rng.randrange(max(1, min(len(found), rng.choice((64, 512, len(found) or 1, len(found) or 1)))))
        run = rng.choice((1, 2, 4, 8, 64))
        match rng.randrange(7):
            case 0 if found:
                found[at] ^= 1 << rng.randrange(8)
            case 1:
                found[at : at + 4] = rng.choice(LARGE)
            case 2:
                del found[at : at + run]
            case 3:
                found[at:at] = rng.randbytes(run)
            case 4:
                found[at : at + run] = bytes(run)
            case 5:
                found[at:at] = found[at : at + run]
            case _:
                del found[rng.choice((at, len(found) - rng.randint(1, 16))) :]
    return bytes(found)


def bent_data(tree: Any, rng: random.Random) -> Any:
    """Return plain data of which one part, at any depth, is another, gone, or under another name."""
    is_leaf = not isinstance(tree, dict | list) or not tree
    if is_leaf or rng.random() < 0.08:
        return copy.deepcopy(rng.choice(ODD))
    if isinstance(tree, list):
        at = rng.randrange(len(tree))
        return [*tree[:at], bent_data(tree[at], rng), *tree[at + 1 :]]
    name = rng.choice(list(tree))
    how = rng.random()
    if how < 0.1:
        return {key: value for key, value in tree.items() if key != name}
    if how < 0.2:
        return {rng.choice(("x", "\x1b[2J", name)) if key == name else key: value for key, value in tree.items()}
    return {**tree, name: bent_data(tree[name], rng)}


def bent(made: Format, folder: Path, count: int, seed: int = 0) -> Counter[str]:
    """Bend files of a format, and count what came of it that is no line of condgen's own, by its kind."""
    rng, found = random.Random(seed), Counter[str]()
    files = made.write(folder)
    wholes = {file: file.read_bytes() for file in files}
    for _ in range(count):
        file = rng.choice(files)
        if made.bend is not None and rng.random() < 0.6:
            made.bend(file, rng)
        else:
            file.write_bytes(bent_bytes(wholes[file], rng))
        found.update(kind for kind in [fault_of(made, folder, file)] if kind)
        file.write_bytes(wholes[file])
    return found


def fault_of(made: Format, folder: Path, file: Path) -> str | None:
    """Read a folder, and return what is wrong with how it fails; `None` if it does not, or as it should."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made.read(folder)
    except Exception as error:
        kind, message = type(error), str(error)
        if kind not in (ValueError, OSError) and not kind.__module__.startswith("condgen"):
            return f"{kind.__name__}: {message[:50]!r}"
        if str(folder) not in message and file.name not in message:
            return f"names no file: {message[:50]!r}"
        if CONTROL.search(message):
            return f"escape codes: {message[:50]!r}"
    return None


def flipped(made: Format, folder: Path, count: int, seed: int = 0) -> list[str]:
    """Flip single bits, and list the places of those with which other content is read and nothing is said."""
    rng, silent = random.Random(seed), []
    files = made.write(folder)
    whole = plain(made.read(folder))
    for _ in range(count):
        file = rng.choices(files, [file.stat().st_size for file in files])[0]
        content = file.read_bytes()
        at = rng.randrange(len(content))
        file.write_bytes(content[:at] + bytes([content[at] ^ 1 << rng.randrange(8)]) + content[at + 1 :])
        try:
            if plain(made.read(folder)) != whole:
                silent.append(f"{file.name} at {at:,}")
        except Exception:  # of which kind, is counted elsewhere
            pass
        file.write_bytes(content)
    return silent


def plain(found: Any) -> Any:
    """Return what was read in a form that compares equal where all numbers are."""
    if isinstance(found, torch.Tensor):
        return plain(found.numpy())
    if isinstance(found, np.ndarray):
        return found.dtype.str, found.shape, found.tobytes()
    if isinstance(found, Mapping):
        return {name: plain(part) for name, part in found.items()}
    return [plain(part) for part in found] if isinstance(found, list | tuple) else repr(found)


@cache
def digits() -> dict[str, Any]:
    """Return the content of a checkpoint of the digits that come with condgen."""
    found = dict(Checkpoint.open("digits").content)
    return {key: value for key, value in found.items() if key not in ("exported", "seconds")}


def _write_checkpoint(folder: Path) -> list[Path]:
    torch.save(digits(), folder / "last.ckpt")
    return [folder / "last.ckpt"]


def _bend_checkpoint(file: Path, rng: random.Random) -> None:
    torch.save(bent_data(digits(), rng), file)


def _read_checkpoint(file: Path) -> Any:
    found = Checkpoint.open(file)
    return dict(found.model().state_dict()), found.hyper_parameters, found.has_data and found.data_settings


def _write_export(folder: Path) -> list[Path]:
    from condgen.cli import main

    torch.save(digits(), folder / "last.ckpt")
    main(["export", str(folder / "last.ckpt"), "--out", str(folder / "model"), "--overwrite"])
    (folder / "last.ckpt").unlink()
    return [folder / "model" / "config.json", folder / "model" / "model.safetensors"]


def _bend_json(file: Path, rng: random.Random) -> None:
    if file.suffix == ".json":
        changed = bent_data(json.loads(file.read_text()), rng)
        file.write_text(json.dumps(changed, default=str, skipkeys=True))
    else:
        file.write_bytes(bent_bytes(file.read_bytes(), rng))


def _write_film(folder: Path) -> list[Path]:
    torch.manual_seed(0)
    layers = {f"layers.{i}": GammaBeta(torch.randn(3, 8), torch.randn(3, 8)) for i in range(4)}
    FiLMParameters(layers, {"digit": ["0", "1", "2"]}).save(folder / "film.safetensors")
    return [folder / "film.safetensors"]


def _read_film(folder: Path) -> Any:
    found = FiLMParameters.load(folder / "film.safetensors")
    return {name: [*pair] for name, pair in found.items()}, found.labels, repr(found)


def _write_idx(folder: Path) -> list[Path]:
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    for name in ("train", "t10k"):
        (raw / f"{name}-images-idx3-ubyte").write_bytes(bytes([0, 0, 8, 3, *(0, 0, 0, 4, 0, 0, 0, 28, 0, 0, 0, 28)])
                                                        + bytes(i % 251 for i in range(4 * 784)))  # fmt: skip
        (raw / f"{name}-labels-idx1-ubyte").write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 4, 1, 2, 3, 4]))
    return sorted(raw.glob("t10k*"))


def _write_npz(folder: Path) -> list[Path]:
    packed, label = np.ones((4, 98), np.uint8), np.arange(4)
    np.savez_compressed(folder / "binarized_mnist.npz", train_packed=packed, valid_packed=packed, test_packed=packed)
    np.savez(folder / "source_index_and_label.npz", train_label=label, valid_label=label, test_label=label)
    return sorted(folder.glob("*.npz"))


def _write_npy(folder: Path) -> list[Path]:
    np.save(folder / "rows.npy", np.ones((3, 5), np.float32))
    return [folder / "rows.npy"]


def _sound(suffix: str) -> Format:
    def write(folder: Path) -> list[Path]:
        soundfile.write(folder / f"tone.{suffix}", 0.5 * np.sin(np.arange(2000) / 5), 8000)
        return [folder / f"tone.{suffix}"]

    return Format(write, lambda folder: read_audio(folder / f"tone.{suffix}"))


def _picture(suffix: str) -> Format:
    def write(folder: Path) -> list[Path]:
        Image.fromarray(np.arange(8 * 9 * 3, dtype=np.uint8).reshape(8, 9, 3)).save(folder / f"picture.{suffix}")
        return [folder / f"picture.{suffix}"]

    return Format(write, lambda folder: np.asarray(read_picture(folder / f"picture.{suffix}", 3).image))


def _write_yaml(folder: Path) -> list[Path]:
    settings = "{source: {class_path: condgen.data.Digits}, batch_size: 64}"
    (folder / "data.yaml").write_text(f"data:\n  class_path: condgen.data.Images\n  init_args: {settings}\n")
    return [folder / "data.yaml"]


def _write_store(folder: Path) -> list[Path]:
    for i in range(3):
        soundfile.write(folder / f"{i}.wav", 0.5 * np.sin(np.arange(1000 + 100 * i) / (3 + i)), 1000)
    clips = [Clip(folder / f"{i}.wav", {"speaker": str(i)}) for i in range(3)]
    if not (folder / "store").exists():
        write_store(folder / "store", clips, RecordingReader(1000), Quantization(256), {}, {"speaker": ["0", "1", "2"]},
                    10, "preparing", folder / "kept")  # fmt: skip
    return sorted((folder / "store").iterdir())


def _read_store(folder: Path) -> Any:
    found = ClipStore.open(folder / "store")
    return [[found.prepared(i), found.files[i], {name: ids[i] for name, ids in found.ids.items()}, found.keys[i]]
            for i in range(len(found.files))]  # fmt: skip


FORMATS: dict[str, Format] = {
    "checkpoint": Format(_write_checkpoint, lambda folder: _read_checkpoint(folder / "last.ckpt"), _bend_checkpoint),
    "export": Format(_write_export, lambda folder: _read_checkpoint(folder / "model"), _bend_json),
    "FiLM": Format(_write_film, _read_film),
    "store": Format(_write_store, _read_store, _bend_json),
    "idx": Format(_write_idx, lambda folder: MNIST(str(folder), download=False).load("test")),
    "npz": Format(_write_npz, lambda folder: read_fixed_mnist(folder, "train")),
    "npy": Format(_write_npy, lambda folder: read_npy(str(folder / "rows.npy"))),
    **{name: _sound(name) for name in ("wav", "flac", "ogg")},
    **{name: _picture(name) for name in ("png", "jpg", "gif", "bmp", "tiff", "webp")},
    "YAML": Format(_write_yaml, lambda folder: of_data(["-c", str(folder / "data.yaml")])),
}
SEALED = ("checkpoint", "export", "FiLM", "store")  # formats of condgen's own, which hold checksums
