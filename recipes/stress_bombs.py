"""Small files that claim to be huge, each opened in a process of its own; see stress.py."""

from __future__ import annotations

import json
import os
import resource
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile
import torch
from stress_files import digits

from condgen.checkpoint import Checkpoint
from condgen.cli import main
from condgen.commands.conditions import read_npy
from condgen.conditioning import FiLMParameters
from condgen.data import MNIST
from condgen.data.decoding import read_audio
from condgen.data.image_sources import read_fixed_mnist
from condgen.data.pictures import read_picture

MOST_MEGABYTES, MOST_SECONDS, PATIENCE = 1500, 10, 60
ADDRESSES = 24 << 30  # bytes that a process may address; more is refused by the system and not by condgen
READERS: dict[str, Callable[[Path], Any]] = {
    ".ckpt": lambda path: Checkpoint.open(path).model(),
    ".json": lambda path: Checkpoint.open(path.parent).model(),
    ".safetensors": FiLMParameters.load,
    ".npy": lambda path: read_npy(str(path)),
    ".npz": lambda path: read_fixed_mnist(path.parent, "train"),
    ".idx": lambda path: MNIST(str(path.parent), download=False).load("test"),
    ".yaml": lambda path: sys.exit(main(["data", "-c", str(path)])),
    ".flac": read_audio,
    ".png": lambda path: read_picture(path, 3),
}


class End(NamedTuple):
    """What became of opening a file: peak of memory, time on the processor, the last line that was said,
    and whether condgen said it."""

    megabytes: float
    seconds: float
    said: str
    is_own: bool

    @property
    def is_defused(self) -> bool:
        """The end as it should be: little memory, little time, and either whole or one line of condgen's own."""
        return self.megabytes < MOST_MEGABYTES and self.seconds < MOST_SECONDS and self.is_own


def opened(path: Path) -> End:
    """Open a file in a process with bounds, and measure it."""

    def read() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))
        resource.setrlimit(resource.RLIMIT_CPU, (PATIENCE, PATIENCE))
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        READERS[path.suffix](path)

    status, told, used = aside(read, path.with_name("said"))
    lines = told.strip().splitlines() or ["opened" if not status else f"exit {status}"]
    return End(used.ru_maxrss / 1024, used.ru_utime + used.ru_stime, lines[-1][-90:].replace("|", "/"),
               "Traceback" not in told and status in (0, 1))  # fmt: skip


def aside(does: Callable[[], object], said: Path) -> tuple[int, str, resource.struct_rusage]:
    """Do something in a process of its own, which has imported all that this one has; return its exit status, what it
    said, and what it used."""
    sys.stdout.flush()
    child = os.fork()
    if not child:
        status = 1
        os.dup2(os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
        try:
            does()
            status = 0
        except SystemExit as stop:
            status = int(stop.code or 0)
        except (ValueError, OSError) as error:
            os.write(2, str(error)[:2000].encode(errors="replace"))
        except BaseException as error:
            os.write(2, f"Traceback of {type(error).__name__}: {str(error)[:200]}".encode(errors="replace"))
        finally:
            os._exit(status)
    _, ended, used = os.wait4(child, 0)
    return os.waitstatus_to_exitcode(ended), said.read_text(errors="replace"), used


def defused(name: str, folder: Path) -> End:
    """Write the bomb of a name into a folder, open it, and remove it."""
    suffix, write = BOMBS[name]
    path = folder / f"bomb{suffix}"
    failed, told, _ = aside(lambda: write(path), path.with_name("said"))
    if failed:
        raise RuntimeError(f"the bomb '{name}' could not be written: {told}")
    try:
        return opened(path)
    finally:
        path.unlink()


def _altered(role: str, **changes: Any) -> Callable[[Path], object]:
    """Write a checkpoint whose network, condition or data have other arguments."""

    def write(path: Path) -> None:
        found = digits()
        task, data = dict(found["hyper_parameters"]), dict(found["datamodule_hyper_parameters"])
        if role == "network":
            task["network"] = _with(task["network"], changes)
        elif role == "condition":
            task["conditions"] = {name: _with(part, changes) for name, part in task["conditions"].items()}
        elif role == "task":
            task |= changes
        else:
            data |= changes
        torch.save({**found, "hyper_parameters": task, "datamodule_hyper_parameters": data}, path)

    return write


def _with(part: Any, changes: dict[str, Any]) -> Any:
    return {**part, "init_args": {**part.get("init_args", {}), **changes}}


def _doubled(times: int = 40) -> list[Any]:
    """Nest a list by reference: a word that stands there 2 to the power of `times` times."""
    found: list[Any] = ["x"]
    for _ in range(times):
        found = [found, found]
    return found


def _wavenet(**changes: Any) -> Callable[[Path], object]:
    network = {"class_path": "condgen.models.WaveNet", "init_args": {"sample_rate": 8000, **changes}}
    return _altered("task", network=network)


def _state(entry: Callable[[], torch.Tensor]) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        found = digits()
        torch.save({**found, "state_dict": {**found["state_dict"], "model.x": entry()}}, path)

    return write


def _deflated(path: Path) -> None:
    """Write a checkpoint one of whose entries is 3 GB of zeros in 3 MB."""
    torch.save({**digits(), "more": torch.zeros(4)}, path.with_suffix(".whole"))
    with zipfile.ZipFile(path.with_suffix(".whole")) as whole, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bomb:
        for entry in whole.infolist():
            if not entry.filename.endswith("data/0"):
                bomb.writestr(entry.filename, whole.read(entry))
                continue
            with bomb.open(entry.filename, "w", force_zip64=True) as file:
                for _ in range(3 << 6):
                    file.write(bytes(1 << 24))
    path.with_suffix(".whole").unlink()


def _deflated_npz(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bomb, bomb.open("train_packed.npy", "w") as file:
        _header(file, (20_000_000, 98))
        for _ in range(1960):
            file.write(bytes(1_000_000))
    path.rename(path.with_name("binarized_mnist.npz"))
    path.touch()


def _claimed_npz(path: Path) -> None:
    _npy((60_000_000_000, 98))(path)
    with zipfile.ZipFile(path.with_name("binarized_mnist.npz"), "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.write(path, "train_packed.npy")
    path.touch()


def _header(file: Any, shape: tuple[int, ...], descr: str = "|u1") -> None:
    np.lib.format.write_array_header_2_0(file, {"descr": descr, "fortran_order": False, "shape": shape})


def _npy(shape: tuple[int, ...], descr: str = "|u1") -> Callable[[Path], object]:
    def write(path: Path) -> None:
        with open(path, "wb") as file:
            _header(file, shape, descr)

    return write


def _silence(hours: float, format: str, **how: Any) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        block = np.zeros(1 << 20, np.int16)
        with soundfile.SoundFile(path, "w", 16000, 1, format=format, **how) as file:
            for _ in range(int(hours * 3600 * 16000) >> 20):
                file.write(block)

    return write


def _claims(frames: int) -> Callable[[Path], object]:
    """Write a FLAC whose header claims a number of frames, in 36 bits."""

    def write(path: Path) -> None:
        soundfile.write(path, np.zeros(4000), 8000)
        content = bytearray(path.read_bytes())
        content[21:26] = bytes([content[21] & 0xF0 | frames >> 32]) + (frames & 0xFFFFFFFF).to_bytes(4, "big")
        path.write_bytes(content)

    return write


def _png(width: int, height: int, colour: int, channels: int) -> Callable[[Path], object]:
    """Write a PNG of zeros, row by row."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    def write(path: Path) -> None:
        packer, row = zlib.compressobj(), bytes(1 + width * channels)
        packed = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
        head = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
        parts = chunk(b"IHDR", head) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + parts)

    return write


def _text(text: Callable[[], str]) -> Callable[[Path], object]:
    return lambda path: path.write_text(text())


def _anchors(times: int = 22) -> str:
    lines = ["x0: &x0 [a, a]", *(f"x{i}: &x{i} [*x{i - 1}, *x{i - 1}]" for i in range(1, times))]
    source = f"    source: {{class_path: condgen.data.Folder, init_args: {{root: *x{times - 1}}}}}"
    return "\n".join([*lines, "data:", "  class_path: condgen.data.Images", "  init_args:", source])


def _film(metadata: Callable[[], dict[str, str]]) -> Callable[[Path], object]:
    from safetensors.torch import save_file

    return lambda path: save_file({"a/gamma": torch.ones(1, 2)}, path, metadata())


def _idx(path: Path) -> None:
    raw = path.parent / "MNIST" / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    for name in ("train-images-idx3", "t10k-images-idx3", "train-labels-idx1", "t10k-labels-idx1"):
        sides = (2**31 - 1,) * (3 if "3" in name[-1:] else 1)
        (raw / f"{name}-ubyte").write_bytes(bytes([0, 0, 8, len(sides)]) + struct.pack(f">{len(sides)}I", *sides))
    path.touch()


def _export(path: Path) -> None:
    """Write the folder of an exported model whose config.json gives 20,000 channels."""
    from condgen.pretrained import FOLDER

    config = json.loads((FOLDER / "digits" / "config.json").read_text())
    config["task"]["init_args"]["network"]["init_args"]["channels"] = 20_000
    path.with_name("config.json").write_text(json.dumps(config))
    path.with_name("model.safetensors").write_bytes((FOLDER / "digits" / "model.safetensors").read_bytes())
    path.touch()


BOMBS: dict[str, tuple[str, Callable[[Path], object]]] = {
    **{f"{name} = {value:,} of a PixelCNN": (".ckpt", _altered("network", **{name: value}))
       for name in ("channels", "layers", "levels", "mixtures", "kernel_size", "first_kernel_size", "head")
       for value in (20_000, 10**5, 2**40)},
    **{f"{name} = {value:,} of a WaveNet": (".ckpt", _wavenet(**{name: value}))
       for name in ("channels", "hidden", "skip", "layers", "stacks", "levels", "kernel_size", "hop")
       for value in (20_000, 10**6)},
    "a shape of 10^5 by 10^5": (".ckpt", _altered("network", shape=[1, 10**5, 10**5])),
    "100,000 dilations": (".ckpt", _wavenet(dilations=[1] * 10**5)),
    "dilations of 2^30": (".ckpt", _wavenet(dilations=[2**30] * 4)),
    "10^6 class names": (".ckpt", _altered("condition", names=[str(i) for i in range(10**6)])),
    "10^9 classes": (".ckpt", _altered("condition", names=None, num_classes=10**9)),
    "10^7 features": (".ckpt", _altered("condition", features=10**7)),
    "30,000 conditions": (".ckpt", lambda path: _altered("task", conditions=dict.fromkeys(
        map(str, range(30_000)), digits()["hyper_parameters"]["conditions"]["digit"]))(path)),
    "a film_depth of 10^6": (".ckpt", _altered("task", film_depth=10**6)),
    "a list nested by reference": (".ckpt", _altered("task", learning_rate=_doubled())),
    "a list nested by reference in a network": (".ckpt", _altered("network", shape=_doubled())),
    "a list nested by reference as names": (".ckpt", _altered("condition", names=_doubled(18))),
    "a list nested by reference in data": (".ckpt", _altered("data", features={"x": _doubled()})),
    "callbacks nested by reference": (".ckpt", lambda path: torch.save({**digits(), "callbacks": {"a": _doubled()}},
                                                                       path)),
    "10^12 numbers in one": (".ckpt", _state(lambda: torch.ones(1).expand(10**6, 10**6))),
    "a tensor with strides of 0 for the size": (".ckpt", _altered("network", channels=20_000)),
    "deflated zeros": (".ckpt", _deflated),
    "an export of 20,000 channels": (".json", _export),
    "labels nested deep": (".safetensors", _film(lambda: {"film_layers": '["a"]', "labels": "[" * 10**5})),
    "10^6 layers": (".safetensors", _film(lambda: {"film_layers": json.dumps([str(i) for i in range(10**6)])})),
    "an npy of 6e10 numbers": (".npy", _npy((60_000_000_000,))),
    "an npy of objects without width": (".npy", _npy((10**12,), "|V0")),
    "an npy of words without width": (".npy", _npy((10**12,), "<U0")),
    "2 GB of zeros in an npz": (".npz", _deflated_npz),
    "an npz of 6e12 numbers": (".npz", _claimed_npz),
    "an idx of 2^93 pixels": (".idx", _idx),
    "six silent hours of FLAC": (".flac", _silence(6, "FLAC")),
    "fifty silent minutes of FLAC": (".flac", _silence(0.8, "FLAC")),
    "a FLAC that claims 6e10 frames": (".flac", _claims(60_000_000_000)),
    "a FLAC of unknown length": (".flac", _claims(0)),
    "a PNG of 60,000 by 60,000": (".png", _png(60_000, 60_000, 0, 1)),
    "a PNG of 13,000 by 13,000 with transparency": (".png", _png(13_000, 13_000, 6, 4)),
    "YAML of 22 doubling anchors": (".yaml", _text(_anchors)),
    "YAML of 60 doubling anchors": (".yaml", _text(lambda: _anchors(60))),
    "YAML nested 100,000 times": (".yaml", _text(lambda: "data: " + "[" * 10**5)),
    "YAML of a number of 10^6 digits": (".yaml", _text(lambda: "data: {batch_size: " + "1" * 10**6 + "}")),
}  # fmt: skip
