"""Every configuration is built as the command in its first lines would build it, and its model fits its data."""

import itertools
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.trainer.states import TrainerFn

from condgen.checkpoint import Checkpoint
from condgen.cli import main
from condgen.commands.fit import cli
from condgen.models import ConditionalGenerator
from condgen.training import EMA, AdversarialTask, SampleAudio, SampleGrid, SampleQuality
from condgen.training.compatibility import check_data

sys.path.insert(0, str(Path(__file__).parent))
import real_data

CONFIGS = sorted((Path(__file__).resolve().parent.parent / "configs").glob("*.yaml"))


def touch_speech(data):
    """Make empty files where the configurations look for speech: sources list files and read none."""
    for digit, speaker, take in itertools.product(range(10), ("george", "theo"), (0, 5, 6)):
        touch(data / f"fsdd/recordings/{digit}_{speaker}_{take}.wav")
    words = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
    for word, take in itertools.product(words, range(3)):
        touch(data / f"speech_commands/{word}/abc_nohash_{take}.wav")
    for take, name in enumerate(("validation", "testing")):
        listed = data / f"speech_commands/{name}_list.txt"
        listed.write_text("".join(f"{word}/abc_nohash_{take}.wav\n" for word in words))
    for speaker, number in itertools.product(("p225", "p226"), (7, 8, 9)):
        name = f"{speaker}/{speaker}_{number:03d}"
        touch(data / f"VCTK-Corpus-0.92/wav48_silence_trimmed/{name}_mic2.flac")
        touch(data / f"VCTK-Corpus-0.92/txt/{name}.txt")


def built_of(config, data):
    """Build what a configuration names, whose data are at their usual place or in a folder of one's own."""
    touch_speech(data)
    write = real_data.CASES[config.stem][1]
    return cli(["-c", str(config), *(write(data) if config.stem.endswith("_folder") else [])], run=False)


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_the_first_lines_say_how_to_launch_it(config):
    head = "".join(line for line in config.read_text().splitlines(keepends=True)[:10] if line.startswith("#"))
    assert f"condgen fit -c configs/{config.name}" in head


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_it_is_built_and_fits_its_data_and_starts_unconditional(config, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    built = built_of(config, tmp_path / "data")
    model, data = built.model.model.eval(), built.datamodule
    check_data(model, data)
    network = model.network
    if isinstance(model, ConditionalGenerator):
        x = torch.randn(2, network.noise)
    else:
        x = torch.randint(network.levels, (2, *getattr(network, "shape", (1, 2 * 240))))
    conditions = {name: torch.tensor([0, len(names) - 1]) for name, names in data.names.items()}
    for name, feature in getattr(data, "features", {}).items():
        conditions[name] = torch.rand(2, feature.size, 2 * 240 // feature.hop)
    captions = [name for name, condition in data.conditions.items() if condition.kind == "words"]
    conditions |= dict.fromkeys(captions, torch.tensor([[1, 2], [3, 0]]))
    own = {name: conditions[name] for name in model.film_generator.encoders}
    with torch.no_grad():
        assert torch.equal(network(x, model.film(own)), network(x))


@pytest.mark.parametrize("config", [c for c in CONFIGS if "dilations:" in c.read_text() and c.stem[0] == "p"],
                         ids=lambda path: path.stem)  # fmt: skip
def test_dilated_blocks_leave_no_blind_spot_and_see_what_is_said_beside_them(config, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    network = built_of(config, tmp_path / "data").model.model.network
    reach = 1
    for block in network.blocks:
        assert block.dilation <= reach  # what the layers before see leaves no hole between the taps
        reach = block.reach if block is network.blocks[0] else reach + block.reach
    assert reach == network.receptive_field
    above = network.shape[1] - 1
    seen, layers = min(reach + 1, above), len(network.blocks)
    said = f"all {above}" if seen == above else f"{seen} of the {above}"
    assert f"# {layers} layers; a pixel sees {said} rows above it" in config.read_text()


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_its_run_has_what_every_run_has(config, monkeypatch, tmp_path):
    """A log of its name, the last checkpoint, the best by a figure of its own, and samples."""
    monkeypatch.chdir(tmp_path)
    built = built_of(config, tmp_path / "data")
    task, trainer = built.model, built.trainer
    audio = task.model.network.sample_rate is not None
    adversarial = isinstance(task, AdversarialTask)
    assert Path(trainer.log_dir) == Path("runs", config.stem, "version_0")
    trainer.state.fn, task.trainer = TrainerFn.FITTING, trainer
    trainer.strategy.connect(task)
    trainer._data_connector.attach_data(task, datamodule=built.datamodule)
    given = task.configure_callbacks()
    saved = {c.filename: c.monitor for c in given if isinstance(c, ModelCheckpoint)}
    figure = "val/frechet" if adversarial else "val/bits_per_sample" if audio else "val/bits_per_dim"
    assert saved == {"last": None, "best": figure}
    assert [type(c) for c in given if isinstance(c, SampleGrid | SampleAudio)] == [SampleAudio if audio else SampleGrid]
    assert any(isinstance(c, EMA) for c in given) != adversarial
    assert any(isinstance(c, SampleQuality) for c in trainer.callbacks) == adversarial


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_it_says_what_is_its_own_alone(config):
    text = config.read_text()
    assert not [word for word in ("logger", "ModelCheckpoint", "default_root_dir", "seed_everything") if word in
                text.replace("--trainer.logger", "")]  # fmt: skip


def test_every_model_and_data_set_has_a_configuration():
    assert {path.stem for path in CONFIGS} >= {
        "pixelcnn_digits", "pixelcnn_mnist", "pixelcnn_mnist_binary", "pixelcnn_cifar10", "pixelcnn_folder",
        "cdcgan_digits", "cdcgan_mnist", "cdcgan_mnist_concat", "cdcgan_cifar10", "cdcgan_fsdd", "cdcgan_folder",
        "cdcgan_audio_folder", "wavenet_espeak", "wavenet_fsdd", "wavenet_fsdd_mel", "wavenet_sc09", "wavenet_vctk",
        "wavenet_folder", "pixelcnn_captions", "wavenet_fsdd_voice",
    }  # fmt: skip


def options_of(model):
    """What `condgen sample` needs to draw from a model: the first class of each condition, and a length for audio."""
    given = {"text": "one", "caption": "a small seven on the left"}
    chosen = {
        name: encoder.names[0] if encoder.classes else given.get(name) for name, encoder in model.encoders.items()
    }
    return [word for name, value in chosen.items() if value for word in (f"--condition.{name}", value)]


@pytest.mark.slow
@pytest.mark.parametrize("case", real_data.CASES)
def test_it_trains_scores_draws_and_shows_on_data_of_its_true_type(case, tmp_path, monkeypatch):
    pytest.importorskip("torchvision" if "mnist" in case or "cifar" in case else "torch")
    pytest.importorskip("espeakng_loader" if "espeak" in case else "torch", reason="espeakng-loader is not installed")
    monkeypatch.chdir(tmp_path)
    data = real_data.written(case, tmp_path / "data")
    assert real_data.fit(case, data, tmp_path / "runs") == 0
    last = next((tmp_path / "runs").rglob("last.ckpt"))
    checkpoint = Checkpoint.open(last)
    assert checkpoint.content["global_step"] >= 1
    model, audio = checkpoint.model(), "sample_rate" in checkpoint.data_settings
    pictures = [*(tmp_path / "runs").rglob("samples/*.png")]
    assert pictures
    assert all(np.ptp(np.array(Image.open(picture))) > 0 for picture in pictures)
    here = [] if not audio else ["--data.cache", str(tmp_path / "data" / "prepared")]
    with real_data.unchecked():
        module = checkpoint.data({"cache": here[-1]} if here else {})
        module.setup("test")
        x = module.dataset("test").__getitems__([0, 1]).x
        quiet = ["--trainer.enable_progress_bar", "false"]
        assert main(["test", "--ckpt_path", str(last), "--trainer.limit_test_batches", "2", *here, *quiet]) == 0
    assert x.dtype == torch.long if audio else x.dtype == torch.uint8
    assert x.amax() > 0
    drawn = options_of(model)
    if "position" in model.encoders or (audio and "text" not in model.encoders and not hasattr(model.network, "noise")):
        drawn += ["--seconds", "0.05"]
    if "voice" in model.encoders:
        drawn += ["--condition.voice", str(next((tmp_path / "data" / "fsdd").glob("*.wav")))]
    if "mel" in model.encoders:
        drawn = [word for word in drawn if word != "--seconds" and word != "0.05"]
        drawn += ["--condition.mel", str(next((tmp_path / "data" / "fsdd").glob("*.wav")))]
    assert main(["sample", "--ckpt_path", str(last), *drawn, "--num_samples", "2", "--out", "drawn"]) == 0
    assert np.ptp(np.array(Image.open(f"drawn/{'waveforms' if audio else 'grid'}.png"))) > 0
    with np.load("drawn/samples.npz") as arrays:
        assert arrays["samples"].shape[:2] == (2, x.shape[1])
        assert 0 <= arrays["samples"].min() <= arrays["samples"].max() < module.levels


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    """The folder in which two processes have trained all cases together; what they said on standard error."""
    pytest.importorskip("torchvision")
    pytest.importorskip("espeakng_loader", reason="espeakng-loader is not installed")
    folder = tmp_path_factory.mktemp("two")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {**os.environ, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "NODE_RANK": "0",
              "OMP_NUM_THREADS": "1"}  # fmt: skip
    processes = [
        subprocess.Popen([sys.executable, real_data.__file__, str(folder)], cwd=folder, text=True,
                         stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                         env={**common, "RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank in (0, 1)
    ]  # fmt: skip
    try:
        said = [process.communicate(timeout=400)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    return folder, said


@pytest.mark.slow
@pytest.mark.parametrize("case", real_data.CASES)
def test_two_processes_train_it_and_one_shows_its_pictures(case, two_processes):
    folder, said = two_processes
    place = folder / case.replace(" ", "_")
    errors = [line for text in said for line in text.splitlines() if line.startswith("condgen: error")]
    statuses = [(place / f"status.{rank}") for rank in (0, 1)]
    assert [status.exists() and status.read_text() for status in statuses] == ["0", "0"], errors or said
    assert len([*(place / "runs").rglob("last.ckpt")]) == 1
    assert [*(place / "runs").rglob("samples/*.png")]
