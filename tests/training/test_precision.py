"""Every precision that Lightning offers trains every kind of model, or is refused with those that do."""

from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import pytorch_lightning as pl
import soundfile
import torch
from lightning_fabric.plugins.precision.precision import _PRECISION_INPUT_STR

from condgen.cli import main
from condgen.conditioning import ClassEmbedding
from condgen.data import Digits, FreeSpokenDigits, Images, Speech
from condgen.models import Discriminator, Generator, PixelCNN, WaveNet
from condgen.training import AdversarialTask, LikelihoodTask, SampleQuality
from condgen.training.compatibility import COARSE

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


def test_every_precision_of_lightning_is_one_or_the_other():
    assert {*FINE, *COARSE} == {name for name in get_args(_PRECISION_INPUT_STR) if "-" in name}
