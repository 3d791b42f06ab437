"""Data of the true kind for every configuration: idx files, pickled batches, packed arrays, PNG files, tables, WAV and
FLAC files; and every configuration trained on them for a step.

As a program it is one of several processes that train all configurations, one after the other:
`python tests/real_data.py FOLDER` with RANK, LOCAL_RANK and WORLD_SIZE in the environment, as torchrun sets them.
"""

import csv
import itertools
import json
import os
import pickle
import runpy
import sys
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import numpy as np
import soundfile
from PIL import Image

from condgen.cli import main
from condgen.evaluation.samples import train_classifiers

OWN = runpy.run_path(str(Path(__file__).with_name("own_data.py")))

CONFIGS = Path(__file__).resolve().parent.parent / "configs"
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
STEP = [
    "--trainer.max_epochs", "1", "--trainer.limit_train_batches", "2", "--trainer.limit_val_batches", "2",
    "--trainer.check_val_every_n_epoch", "1", "--trainer.accelerator", "cpu", "--model.samples_every_n_epochs", "1",
    "--trainer.enable_progress_bar", "false", "--trainer.num_sanity_val_steps", "0",
]  # fmt: skip
NARROW = {
    "pixelcnn": ["--model.network.channels", "6", "--model.network.layers", "2", "--model.network.head", "6",
                 "--model.compile", "false", "--data.batch_size", "4"],
    "wavenet": ["--model.network.channels", "4", "--model.network.skip", "4", "--model.network.head", "4",
                "--model.network.layers", "4", "--model.network.stacks", "1", "--model.compile", "false",
                "--data.batch_size", "2", "--data.num_workers", "0"],
    "cdcgan": ["--model.network.channels", "4", "--model.discriminator.channels", "4", "--data.batch_size", "4"],
}  # fmt: skip


def mnist(folder: Path) -> list[str]:
    """Write MNIST's four idx files; a training split is what is left of 10,000 images of validation."""
    raw, rng = folder / "mnist" / "MNIST" / "raw", np.random.default_rng(0)
    raw.mkdir(parents=True)
    for name, count in (("train", 10_040), ("t10k", 20)):
        images = np.repeat(np.arange(count) % 10 * 25, 784).reshape(count, 28, 28).astype(np.uint8)
        images[:, 9:19, 9:19] = rng.integers(0, 256, (10, 10))
        images[0, 0, 0] = 255
        header = b"\0\0\x08\x03" + b"".join(n.to_bytes(4, "big") for n in images.shape)
        (raw / f"{name}-images-idx3-ubyte").write_bytes(header + images.tobytes())
        labels = (np.arange(count) % 10).astype(np.uint8)
        (raw / f"{name}-labels-idx1-ubyte").write_bytes(b"\0\0\x08\x01" + count.to_bytes(4, "big") + labels.tobytes())
    return ["--data.source.root", str(folder / "mnist")]


def fixed_mnist(folder: Path) -> list[str]:
    """Write the packed arrays of the binarized MNIST."""
    root, rng = folder / "mnist_binarized", np.random.default_rng(0)
    root.mkdir()
    splits = ("train", "valid", "test")
    np.savez(
        root / "binarized_mnist.npz", **{f"{s}_packed": np.packbits(rng.integers(0, 2, (20, 784)), 1) for s in splits}
    )
    labels = {f"{s}_label": (np.arange(20) % 10).astype(np.uint8) for s in splits}
    np.savez(root / "source_index_and_label.npz", **labels)
    return ["--data.source.root", str(root)]


def cifar10(folder: Path) -> list[str]:
    """Write CIFAR-10's pickled batches; a training split is what is left of 5,000 images of validation."""
    root, rng = folder / "cifar10" / "cifar-10-batches-py", np.random.default_rng(0)
    root.mkdir(parents=True)
    for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"):
        count = 20 if name == "test_batch" else 1_008
        images = rng.integers(0, 256, (count, 3072)).astype(np.uint8)
        (root / name).write_bytes(pickle.dumps({"data": images, "labels": [i % 10 for i in range(count)]}))
    (root / "batches.meta").write_bytes(pickle.dumps({"label_names": [f"class {i}" for i in range(10)]}))
    return ["--data.source.root", str(folder / "cifar10")]


def photographs(folder: Path) -> list[str]:
    """Write a folder of PNG files for each of three classes."""
    rng = np.random.default_rng(0)
    for name, i in itertools.product("abc", range(60)):
        path = folder / "photographs" / name / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (28, 28)).astype(np.uint8)).save(path)
    return ["--data.source", json.dumps({"class_path": "condgen.data.Folder", "init_args": {
        "root": str(folder / "photographs"), "condition": "digit", "channels": 1}})]  # fmt: skip


def tone(path: Path, pitch: float, seconds: float, rate: int) -> None:
    """Write a tone with a little noise, of 16 bits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    time = np.arange(round(seconds * rate)) / rate
    noise = np.random.default_rng(int(pitch)).normal(0, 0.02, len(time))
    soundfile.write(path, 0.5 * np.sin(2 * np.pi * pitch * time) + noise, rate)


def spoken_digits(folder: Path) -> list[str]:
    """Write WAV files of 8 kHz named as the Free Spoken Digit Dataset names them."""
    for digit, (number, speaker), take in itertools.product(
        range(4), enumerate(("george", "theo")), (0, 1, 5, 6, 7, 8)
    ):
        tone(
            folder / "fsdd" / f"{digit}_{speaker}_{take}.wav", 200 + 100 * number + 300 * digit, 0.1 + take / 100, 8000
        )
    return ["--data.source.root", str(folder / "fsdd"), "--data.cache", str(folder / "prepared")]


def spoken_digits_of_a_table(folder: Path) -> list[str]:
    """Write a CSV table that names the same files, their labels and splits."""
    spoken_digits(folder)
    with open(folder / "fsdd.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", "speaker", "digit", "split"])
        for path in sorted((folder / "fsdd").glob("*.wav")):
            digit, speaker, take = path.stem.split("_")
            table.writerow([f"fsdd/{path.name}", speaker, digit, {"5": "val", "6": "test"}.get(take, "train")])
    return ["--data.source", json.dumps({"class_path": "condgen.data.Manifest", "init_args": {
        "path": str(folder / "fsdd.csv")}}), "--data.cache", str(folder / "prepared")]  # fmt: skip


def speech_commands(folder: Path) -> list[str]:
    """Write WAV files of 16 kHz and the lists of Speech Commands."""
    root = folder / "speech_commands"
    for number, word in enumerate(WORDS):
        for take in range(4):
            tone(root / word / f"abc{take}_nohash_0.wav", 200 + 50 * number, 0.1, 16_000)
    for take, name in enumerate(("validation", "testing")):
        (root / f"{name}_list.txt").write_text("".join(f"{word}/abc{take}_nohash_0.wav\n" for word in WORDS))
    return ["--data.source.root", str(root), "--data.cache", str(folder / "prepared")]


def vctk(folder: Path) -> list[str]:
    """Write FLAC files of 48 kHz and transcripts as VCTK 0.92 has them."""
    root = folder / "VCTK-Corpus-0.92"
    for (number, speaker), take in itertools.product(enumerate(("p225", "p226")), range(1, 21)):
        name = f"{speaker}/{speaker}_{take:03d}"
        tone(root / "wav48_silence_trimmed" / f"{name}_mic2.flac", 200 + 100 * number, 0.1, 48_000)
        (root / "txt" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "txt" / f"{name}.txt").write_text("Please call Stella.\n")
    return ["--data.source.root", str(root), "--data.cache", str(folder / "prepared"), "--data.crop", "800",
            "--data.context", "200"]  # fmt: skip


def espeak(folder: Path) -> list[str]:
    """Have eSpeak NG speak three words."""
    return ["--data.source.root", str(folder / "espeak"), "--data.cache", str(folder / "prepared"),
            "--data.source.texts", '["one", "two", "three"]', "--data.source.pitches", "[50]"]  # fmt: skip


def own_pictures(folder: Path) -> list[str]:
    """Write pictures of every kind that people have."""
    return ["--data.source.root", str(OWN["photographs"](folder / "photos", {"cat": 24, "dog": 14}))]


def own_sounds(folder: Path) -> list[str]:
    """Write recordings of every kind that people have, and a table."""
    return ["--data.source.root", str(OWN["recordings"](folder / "voices", {"ann": 14, "bob": 12})),
            "--data.cache", str(folder / "prepared"), "--data.mono", "true"]  # fmt: skip


def digits(folder: Path) -> list[str]:
    """Write nothing: scikit-learn brings these."""
    return []


short = [f"--model.{part}.shape=[1,1024]" for part in ("network", "discriminator")] + ["--data.length", "1024"]
# A case is a configuration with its data: what writes them, and what else is to be set.
CASES: dict[str, tuple[str, Callable[[Path], list[str]], list[str]]] = {
    "cdcgan_audio_folder": ("cdcgan_audio_folder", own_sounds, ["--data.length", "1024"]),
    "cdcgan_captions": ("cdcgan_captions", digits, ["--data.source.copies", "1"]),
    "cdcgan_cifar10": ("cdcgan_cifar10", cifar10, []),
    "cdcgan_digits": ("cdcgan_digits", digits, []),
    "cdcgan_folder": ("cdcgan_folder", own_pictures, []),
    "cdcgan_fsdd": ("cdcgan_fsdd", spoken_digits, short),
    "cdcgan_mnist": ("cdcgan_mnist", mnist, []),
    "cdcgan_mnist_concat": ("cdcgan_mnist_concat", mnist, []),
    "cdcgan_mnist of PNG files": ("cdcgan_mnist", photographs, []),
    "pixelcnn_captions": ("pixelcnn_captions", digits, ["--data.source.copies", "1"]),
    "pixelcnn_cifar10": ("pixelcnn_cifar10", cifar10, []),
    "pixelcnn_digits": ("pixelcnn_digits", digits, []),
    "pixelcnn_folder": ("pixelcnn_folder", own_pictures, []),
    "pixelcnn_mnist": ("pixelcnn_mnist", mnist, []),
    "pixelcnn_mnist of PNG files": ("pixelcnn_mnist", photographs, []),
    "pixelcnn_mnist_binary": ("pixelcnn_mnist_binary", fixed_mnist, []),
    "wavenet_espeak": ("wavenet_espeak", espeak, ["--data.crop", "800", "--data.context", "200"]),
    "wavenet_folder": ("wavenet_folder", own_sounds, ["--data.crop", "800"]),
    "wavenet_fsdd": ("wavenet_fsdd", spoken_digits, []),
    "wavenet_fsdd of a table": ("wavenet_fsdd", spoken_digits_of_a_table, []),
    "wavenet_fsdd_mel": ("wavenet_fsdd_mel", spoken_digits, ["--data.crop", "400"]),
    "wavenet_fsdd_voice": ("wavenet_fsdd_voice", spoken_digits, []),
    "wavenet_sc09": ("wavenet_sc09", speech_commands, []),
    "wavenet_vctk": ("wavenet_vctk", vctk, []),
}  # fmt: skip


def written(case: str, folder: Path) -> list[str]:
    """Write the data of a case into a folder; return the options that name them."""
    folder.mkdir(parents=True, exist_ok=True)
    return CASES[case][1](folder)


def quickly(data: object, steps: int, seed: int) -> object:
    """Train classifiers for a few steps alone; all else of them is as it is."""
    return train_classifiers(data, min(steps, 2), seed)  # type: ignore[arg-type]


def fit(case: str, data: list[str], runs: Path, *options: str) -> int:
    """Train a narrow network of a case for one step; return the exit status."""
    config, _, own = CASES[case]
    looks = (
        ["--trainer.callbacks.num_samples", "8"] if "SampleQuality" in (CONFIGS / f"{config}.yaml").read_text() else []
    )
    with patch("condgen.training.callbacks.train_classifiers", quickly), unchecked():
        return main(["fit", "-c", str(CONFIGS / f"{config}.yaml"), *STEP, *NARROW[config.split("_")[0]], *data, *own,
                     *looks, "--trainer.logger.save_dir", str(runs), "--trainer.default_root_dir", str(runs),
                     *options])  # fmt: skip


def unchecked() -> object:
    """Let torchvision take batches of CIFAR-10 whose checksums are not those of the published ones."""
    from torchvision.datasets import CIFAR10

    def nameless(files: list[list[str]]) -> list[list[str | None]]:
        return [[name, None] for name, _ in files]

    return patch.multiple(CIFAR10, train_list=nameless(CIFAR10.train_list), test_list=nameless(CIFAR10.test_list),
                          meta={**CIFAR10.meta, "md5": None})  # fmt: skip


if __name__ == "__main__":
    folder, rank = Path(sys.argv[1]), int(os.environ["RANK"])
    for name in sys.argv[2:] or CASES:
        place = folder / name.replace(" ", "_")
        if rank == 0:
            (place / "data").mkdir(parents=True, exist_ok=True)
            (place / "options.json").with_suffix(".part").write_text(json.dumps(written(name, place / "data")))
            (place / "options.part").rename(place / "options.json")
        while not (place / "options.json").exists():
            time.sleep(0.05)
        strategy = "ddp_find_unused_parameters_true" if name.startswith("cdcgan") else "ddp"
        status = fit(name, json.loads((place / "options.json").read_text()), place / "runs",
                     "--trainer.devices", "2", "--trainer.strategy", strategy)  # fmt: skip
        (place / f"status.{rank}").write_text(str(status))
