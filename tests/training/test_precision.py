"""Every precision that Lightning offers trains every kind of model, or is refused with those that do."""

import platform
import sys
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import pytorch_lightning as pl
import soundfile
import torch
import yaml
from lightning_fabric.plugins.precision.precision import _PRECISION_INPUT_STR

from condgen.cli import main
from condgen.commands.going_on import precision_of
from condgen.conditioning import ClassEmbedding
from condgen.data import Digits, FreeSpokenDigits, Images, Speech
from condgen.models import Discriminator, Generator, PixelCNN, WaveNet
from condgen.training import AdversarialTask, LikelihoodTask, SampleQuality
from condgen.training.precision import COARSE, WORTH, default_precision, device_of, require_fast, seconds

CONFIGS = Path(__file__).parents[2] / "configs"
TIMED = seconds  # before a fixture lets it say the same on every machine
FINE = ("64-true", "32-true", "bf16-mixed", "16-mixed")


def pixelcnn(folder):
    network = PixelCNN((1, 8, 8), levels=17, channels=4, layers=1, head=4)
    return LikelihoodTask(network, {"digit": ClassEmbedding(3, num_classes=10)}), Images(Digits(), batch_size=16)


def wavenet(folder):
    for take in (0, 5, 6):  # of test, validation and training
        noise = np.random.default_rng(take).normal(0, 0.1, 400)
        soundfile.write(folder / f"1_ann_{take}.wav", noise, 8000)
    network = WaveNet(256, channels=4, layers=2, stacks=1, head=4, sample_rate=8000)
    data = Speech(FreeSpokenDigits(str(folder)), 8000, cache=str(folder / "cache"))
    return LikelihoodTask(network, {"speaker": ClassEmbedding(3, names=["ann"])}), data


def cdcgan(folder):
    networks = Generator((1, 8, 8), levels=17, noise=4, channels=4), Discriminator((1, 8, 8), channels=4)
    task = AdversarialTask(*networks, {"digit": ClassEmbedding(3, num_classes=10)}, r1=0.1, gradient_penalty=1.0)
    return task, Images(Digits(), batch_size=16)


def fit(folder, task, data, precision):
    quality = [] if data.sample_rate else [SampleQuality(num_samples=10, classifier_steps=1)]
    trainer = pl.Trainer(
        default_root_dir=folder, accelerator="cpu", precision=precision, max_epochs=1, limit_train_batches=2,
        limit_val_batches=1, logger=pl.loggers.CSVLogger(folder), callbacks=quality, enable_progress_bar=False,
        enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(task, data)


@pytest.mark.filterwarnings("ignore:the receptive field")
@pytest.mark.parametrize("build", [pixelcnn, wavenet, cdcgan])
@pytest.mark.parametrize("precision", FINE)
def test_a_precision_trains_samples_and_saves(tmp_path, precision, build):
    task, data = build(tmp_path)
    fit(tmp_path, task, data, precision)
    assert len(list(tmp_path.rglob("samples/*.png"))) == 1
    state = torch.load(next(tmp_path.rglob("last.ckpt")), weights_only=True)["state_dict"]
    kept = torch.float64 if precision == "64-true" else torch.float32
    assert {value.dtype for value in state.values() if value.is_floating_point()} == {kept}


@pytest.mark.parametrize("precision", ["bf16-true", "16-true"])
def test_a_precision_of_16_bits_is_refused_with_others(tmp_path, precision):
    words = f"trainer.precision {precision} keeps weights in 16 bits or fewer, .*: use bf16-mixed, 16-mixed, 32-true or"
    for build in (pixelcnn, cdcgan):
        with pytest.raises(ValueError, match=words):
            fit(tmp_path, *build(tmp_path), precision)


def test_the_command_line_refuses_precisions_that_need_packages_too(tmp_path, monkeypatch, one_line):
    monkeypatch.chdir(tmp_path)
    config = Path(__file__).parents[2] / "configs" / "pixelcnn_digits.yaml"
    assert main(["fit", "-c", str(config), "--trainer.precision", "transformer-engine"]) == 1
    one_line("trainer.precision transformer-engine keeps weights in 16 bits or fewer", "use bf16-mixed")


# What the machine has.


def on_a_machine(monkeypatch, gain):
    """Let the processor multiply in bf16 at so many times the rate of float32, and hide GPUs."""
    monkeypatch.setattr("condgen.training.precision.seconds", lambda dtype: gain if dtype == torch.float32 else 1)
    monkeypatch.setattr("torch.accelerator.current_accelerator", lambda check_available=False: None)


def on_a_gpu(monkeypatch, has_bf16):
    monkeypatch.setattr("torch.accelerator.current_accelerator", lambda check_available=False: torch.device("cuda"))
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda including_emulation: has_bf16 or including_emulation)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda: "Card")


def test_16_bits_are_chosen_where_they_are_fast_and_refused_where_they_are_not(monkeypatch):
    emulated = "this processor multiplies in bf16 0.03 times as fast as in float32"
    on_a_machine(monkeypatch, 0.03)
    assert default_precision("cpu") == ("32-true", emulated)
    for asked in ("bf16-mixed", "bf16", "16-mixed", "16"):
        with pytest.raises(ValueError, match=f"trainer.precision {asked}: {emulated}; use 32-true, or leave it out"):
            require_fast(asked, "cpu")
    require_fast("64-true", "cpu")
    on_a_machine(monkeypatch, 2.1)
    assert default_precision("cpu") == (
        "bf16-mixed",
        "this processor multiplies in bf16 2.1 times as fast as in float32",
    )
    require_fast("bf16-mixed", "cpu")


def test_a_gpu_is_asked_and_has_16_bits_of_the_other_kind_anyway(monkeypatch):
    on_a_gpu(monkeypatch, has_bf16=False)
    assert device_of("auto") == device_of("gpu") == "cuda"
    assert device_of("cpu") == "cpu"
    assert default_precision("cuda") == ("32-true", "Card emulates bf16")
    with pytest.raises(ValueError, match=r"trainer\.precision bf16-mixed: Card emulates bf16; use 32-true"):
        require_fast("bf16-mixed", "cuda")
    require_fast("16-mixed", "cuda")
    on_a_gpu(monkeypatch, has_bf16=True)
    assert default_precision("cuda") == ("bf16-mixed", "Card multiplies in bf16")


def test_of_other_devices_nothing_is_claimed():
    assert default_precision("mps")[0] == "32-true"
    require_fast("bf16-mixed", "mps")


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the flags are those of x86")
@pytest.mark.skipif(sys.platform != "linux", reason="the flags are Linux's")
def test_what_is_measured_is_what_the_processor_says_of_itself(monkeypatch):
    flags = Path("/proc/cpuinfo").read_text().split()
    gain = TIMED(torch.float32) / TIMED(torch.bfloat16)
    assert (gain > WORTH) == bool({"avx512_bf16", "amx_bf16"} & set(flags))


def fit_digits(folder, *options):
    return main(["fit", "-c", str(CONFIGS / "pixelcnn_digits.yaml"), "--model.network.channels", "4",
                 "--model.network.layers", "1", "--model.network.head", "4", "--trainer.max_epochs", "1",
                 "--trainer.limit_train_batches", "2", "--trainer.limit_val_batches", "1", "--trainer.accelerator",
                 "cpu", "--trainer.enable_progress_bar", "false", *options])  # fmt: skip


def test_a_run_says_its_precision_and_keeps_it_where_it_goes_on_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    on_a_machine(monkeypatch, 2.0)
    assert fit_digits(tmp_path) == 0
    on_a_machine(monkeypatch, 0.9)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("condgen.commands.fit.default_precision", lambda device: pytest.fail("chosen anew"))
        patch.setattr("condgen.commands.fit.require_fast", lambda precision, device: None)
        assert fit_digits(tmp_path, "--ckpt_path", "last", "--trainer.max_epochs", "2") == 0  # in its own folder
    assert fit_digits(tmp_path) == 0
    kept = {path.parts[-3]: torch.load(path, weights_only=True)["precision"] for path in tmp_path.rglob("last.ckpt")}
    assert kept == {"version_0": "bf16-mixed", "version_1": "32-true"}
    for version, precision in kept.items():
        config = yaml.safe_load(next(tmp_path.rglob(f"{version}/config.yaml")).read_text())
        assert config["trainer"]["precision"] == precision


def test_a_run_that_cannot_go_on_fast_here_says_so(tmp_path, monkeypatch, one_line):
    monkeypatch.chdir(tmp_path)
    on_a_machine(monkeypatch, 0.03)
    assert fit_digits(tmp_path, "--trainer.precision", "bf16-mixed") == 1
    one_line("trainer.precision bf16-mixed: this processor multiplies in bf16 0.03 times as fast as in float32")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("written", [{}, {"precision": None}, {"precision": "{class_path: os.system}"}])
def test_a_checkpoint_that_says_no_precision_had_32_bits(written):
    assert precision_of(written) == "32-true"
    assert precision_of({"precision": "16-mixed"}) == "16-mixed"


def test_adversarial_runs_stay_in_float32_unless_asked(tmp_path, monkeypatch):
    """Nothing has been measured of generators in 16 bits."""
    monkeypatch.chdir(tmp_path)
    on_a_machine(monkeypatch, 2.0)
    assert main(["fit", "-c", str(CONFIGS / "cdcgan_digits.yaml"), "--model.network.channels", "4",
                 "--model.discriminator.channels", "4", "--trainer.max_epochs", "1", "--trainer.limit_train_batches",
                 "1", "--trainer.limit_val_batches", "0", "--trainer.accelerator", "cpu", "--trainer.callbacks", "null",
                 "--trainer.enable_progress_bar", "false"]) == 0  # fmt: skip
    assert torch.load(next(tmp_path.rglob("last.ckpt")), weights_only=True)["precision"] == "32-true"


def test_every_precision_of_lightning_is_one_or_the_other():
    assert {*FINE, *COARSE} == {name for name in get_args(_PRECISION_INPUT_STR) if "-" in name}
