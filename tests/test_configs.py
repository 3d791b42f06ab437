"""Every configuration is built as the command in its first lines would build it, and its model fits its data."""

import itertools
from pathlib import Path

import pytest
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.trainer.states import TrainerFn

from condgen.commands.fit import cli
from condgen.models import ConditionalGenerator
from condgen.training import EMA, AdversarialTask, SampleAudio, SampleGrid, SampleQuality
from condgen.training.compatibility import check_data

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
    touch_speech(tmp_path / "data")
    built = cli(["-c", str(config)], run=False)
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
    own = {name: conditions[name] for name in model.film_generator.encoders}
    with torch.no_grad():
        assert torch.equal(network(x, model.film(own)), network(x))


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_its_run_has_what_every_run_has(config, monkeypatch, tmp_path):
    """A log of its name, the last checkpoint, the best by a figure of its own, and samples."""
    monkeypatch.chdir(tmp_path)
    touch_speech(tmp_path / "data")
    built = cli(["-c", str(config)], run=False)
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
        "pixelcnn_digits", "pixelcnn_mnist", "pixelcnn_mnist_binary", "pixelcnn_cifar10",
        "cdcgan_digits", "cdcgan_mnist", "cdcgan_mnist_concat", "cdcgan_cifar10", "cdcgan_fsdd",
        "wavenet_espeak", "wavenet_fsdd", "wavenet_fsdd_mel", "wavenet_sc09", "wavenet_vctk",
    }  # fmt: skip
