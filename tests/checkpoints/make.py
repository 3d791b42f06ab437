"""Train a small model of each kind and keep its checkpoint: `python tests/checkpoints/make.py [FOLDER]`.

Without a folder, the files go beside this one, named after their kind and the number of their format, such as
`wavenet_fsdd.format1.ckpt`. Commit them once for each format that is released: `tests/test_checkpoint.py` opens all
that lie here, so that a later version still reads them. It takes about a minute.
"""

import shutil
import sys
import tempfile
from pathlib import Path
from unittest.mock import patch

import numpy as np
import soundfile
import torch

from condgen.cli import main
from condgen.evaluation.samples import train_classifiers

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
SHORT = [
    "--trainer.max_epochs", "1", "--trainer.limit_train_batches", "2", "--trainer.limit_val_batches", "1",
    "--trainer.check_val_every_n_epoch", "1", "--trainer.accelerator", "cpu",
    "--trainer.enable_progress_bar", "false",
]  # fmt: skip
NARROW = {
    "pixelcnn": ["--model.network.channels", "4", "--model.network.layers", "2", "--model.network.head", "4"],
    "wavenet": ["--model.network.channels", "4", "--model.network.layers", "4", "--model.network.stacks", "2",
                "--model.network.head", "4", "--model.compile", "false", "--data.batch_size", "4"],
    "cdcgan": ["--model.network.channels", "4", "--model.discriminator.channels", "4"],
}  # fmt: skip


def fit(config, folder, *options):
    """Train a narrow model for a moment, with the logs in a folder; return the exit status."""
    path = CONFIGS / f"{config}.yaml" if isinstance(config, str) else config
    logs = ["--trainer.default_root_dir", str(folder), "--trainer.logger.save_dir", str(folder)]
    given = {option for option in options if option.startswith("--")}
    short = [word for name, value in zip(SHORT[::2], SHORT[1::2], strict=True) if name not in given
             for word in (name, value)]  # fmt: skip
    # The classifier that looks on while a generator trains need not be a good one.
    with patch("condgen.training.callbacks.train_classifiers", lambda data, _, seed: train_classifiers(data, 3, seed)):
        return main(["fit", "-c", str(path), *NARROW[path.stem.split("_")[0]], *short, *logs, *options])


def trained(config, folder, *options):
    """Train as `fit` does; return the checkpoint."""
    status = fit(config, folder, *options)
    if status:
        raise RuntimeError(f"training {config} failed with exit status {status}")
    return max(Path(folder).rglob("last.ckpt"), key=lambda path: path.stat().st_mtime)


def tone(path, pitch, samples, rate=8000):
    """Write a tone with a little noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(pitch).normal(0, 0.02, samples)
    soundfile.write(path, 0.5 * np.sin(2 * np.pi * pitch * np.arange(samples) / rate) + noise, rate)


def spoken_digits(folder, digits=2):
    """Write tones of two speakers laid out as the Free Spoken Digit Dataset; return the options that name it."""
    for digit in range(digits):
        for number, speaker in enumerate(("george", "theo")):
            for take in (0, 1, 2, 5, 6, 7, 8):
                name = f"{digit}_{speaker}_{take}.wav"
                tone(folder / "fsdd" / name, 150 + 100 * number + 300 * digit, 800 + 80 * (take % 3))
    return ["--data.source.root", str(folder / "fsdd"), "--data.cache", str(folder / "cache")]


def pixelcnn_digits(folder):
    return trained("pixelcnn_digits", folder)


def cdcgan_digits(folder):
    return trained("cdcgan_digits", folder, "--trainer.limit_train_batches", "3")


def wavenet_fsdd(folder):
    return trained("wavenet_fsdd", folder, *spoken_digits(folder))


def wavenet_fsdd_mel(folder):
    return trained("wavenet_fsdd_mel", folder, *spoken_digits(folder), "--data.crop", "400",
                   "--model.conditions.mel.features", "4")  # fmt: skip


def cdcgan_fsdd(folder):
    shapes = [f"--model.{part}.shape=[1,1024]" for part in ("network", "discriminator")]
    batches = ["--trainer.limit_train_batches", "3", "--data.batch_size", "4", "--data.length", "1024",
               "--model.network.noise", "8"]  # fmt: skip
    return trained("cdcgan_fsdd", folder, *spoken_digits(folder, 3), *shapes, *batches)


KINDS = {made.__name__: made for made in (pixelcnn_digits, cdcgan_digits, wavenet_fsdd, wavenet_fsdd_mel, cdcgan_fsdd)}

if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    target.mkdir(parents=True, exist_ok=True)
    for kind, made in KINDS.items():
        with tempfile.TemporaryDirectory() as place:
            checkpoint = made(Path(place))
            number = torch.load(checkpoint, weights_only=True)["format"]
            shutil.copyfile(checkpoint, target / f"{kind}.format{number}.ckpt")
