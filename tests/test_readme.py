"""Every command and every piece of Python in the README runs."""

import itertools
import re
import shlex
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

from condgen.cli import main

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
SMALL = {
    "fit": "--trainer.max_epochs 1 --trainer.limit_train_batches 2 --trainer.limit_val_batches 1 --model.compile false "
    "--trainer.enable_progress_bar false --trainer.accelerator cpu --trainer.check_val_every_n_epoch 1 "
    "--model.network.channels 4 --model.network.layers 2 --model.network.head 4",
    "sample": "",
    "fit cdcgan": "--trainer.max_epochs 1 --trainer.limit_train_batches 2 --trainer.check_val_every_n_epoch 1 "
    "--trainer.enable_progress_bar false --trainer.accelerator cpu "
    "--model.network.channels 4 --model.discriminator.channels 4",
    "fit wavenet": "--trainer.max_epochs 1 --trainer.limit_train_batches 2 --trainer.limit_val_batches 1 "
    "--model.compile false --trainer.enable_progress_bar false --trainer.accelerator cpu "
    "--trainer.check_val_every_n_epoch 1 --model.network.channels 4 --model.network.layers 2 --model.network.head 4",
    "fit wavenet_espeak": """--data.source.texts '["seven", "eleven", "heaven"]' --data.source.pitches [50]""",
    "fit wavenet_fsdd_mel": "--data.crop 400",
    "evaluate": "--num_samples 40 --limit 40 --classifier_steps 10",
}


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def small(command):
    """What makes a command quick."""
    _, name, *rest = shlex.split(command)
    config = next((Path(word).stem for word in rest if word.endswith(".yaml")), "")
    general = SMALL.get(f"{name} {config.split('_')[0]}", SMALL[name])
    return shlex.split(f"{general} {SMALL.get(f'{name} {config}', '')}")


def make_speech(folder):
    """Write tones named like recordings of the Free Spoken Digit Dataset."""
    folder.mkdir()
    for speaker, take, digit in itertools.product(("jackson", "theo"), (0, 5, 6, 7), range(6, 9)):
        wave = 0.5 * np.sin(np.arange(800) * (0.1 + 0.05 * digit))
        soundfile.write(folder / f"{digit}_{speaker}_{take}.wav", wave, 8000)


def commands():
    return [line.split("  #")[0].strip() for block in blocks("bash") for line in block.splitlines() if line.strip()]


@pytest.mark.slow
def test_every_command_runs_in_order(tmp_path, monkeypatch):
    pytest.importorskip("espeakng_loader", reason="the wheel espeakng-loader is not installed")
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    (tmp_path / "recipes").symlink_to(ROOT / "recipes")
    generator = np.random.default_rng(0)
    packed = {f"{s}_packed": np.packbits(generator.integers(0, 2, (64, 784)), 1) for s in ("train", "valid", "test")}
    labels = {f"{s}_label": generator.integers(0, 10, 64).astype(np.uint8) for s in ("train", "valid", "test")}
    (tmp_path / "DIR").mkdir()
    np.savez(tmp_path / "DIR" / "binarized_mnist.npz", **packed)
    np.savez(tmp_path / "DIR" / "source_index_and_label.npz", **labels)
    make_speech(tmp_path / "FSDD")
    monkeypatch.chdir(tmp_path)
    seen = set()
    for command in commands():
        program, *arguments = shlex.split(command)
        if program == "condgen":
            assert main([*arguments, *small(command)]) == 0, command
        elif program == "make":
            assert subprocess.run([program, "-n", *arguments], cwd=ROOT, capture_output=True).returncode == 0, command
        elif program == "python":
            assert (ROOT / arguments[0]).is_file()  # run in miniature by test_recipes
        else:
            assert command == "pip install -e '.[images,espeak,logs]'"
        seen.add((program, arguments[0]))
    assert {("condgen", "fit"), ("condgen", "sample"), ("condgen", "evaluate"), ("make", "demo")} <= seen


def test_the_python_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), names)
    assert names["x"].shape == (2, 1, 8, 8)
    assert names["between"].x.shape == (4, 1, 8, 8)
    assert abs(names["nats"] + names["log_prob"]).max() < 1e-3
    assert names["images"].shape == (2, 1, 28, 28)
    assert names["digits"].shape == (2, 1, 8, 8)
    assert names["clips"].shape == names["waveform"].shape == (2, 1, 400)


def test_every_file_it_names_exists():
    for name in re.findall(r"\]\(([^)#:]+)\)", README) + re.findall(r"configs/\w+\.yaml|recipes/\w+\.\w+", README):
        assert (ROOT / name).is_file(), name
