"""`condgen evaluate`: what it is asked for reaches whoever does it."""

import json
from pathlib import Path

import pytest
import torch

from condgen.cli import main
from condgen.sampling import Samples

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


@pytest.mark.slow
def test_options_of_sampling_reach_the_sampler(tmp_path, monkeypatch):
    """Samples to be read, to teach and to look at are drawn alike, and the report says how."""
    assert main([
        "fit", "-c", str(CONFIGS / "pixelcnn_digits.yaml"), "--model.network.channels", "4", "--model.network.layers",
        "2", "--model.network.head", "4", "--trainer.limit_train_batches", "2", "--trainer.limit_val_batches", "1",
        "--trainer.max_epochs", "1", "--trainer.check_val_every_n_epoch", "1", "--trainer.enable_progress_bar", "false",
        "--trainer.accelerator", "cpu", "--trainer.default_root_dir", str(tmp_path), "--trainer.logger.save_dir",
        str(tmp_path),
    ]) == 0  # fmt: skip
    checkpoint = str(next(tmp_path.rglob("last.ckpt")))
    asked = []

    def draw(model, conditions, *, num_samples, **options):
        asked.append({"num_samples": num_samples, **options})
        return Samples(torch.zeros(num_samples, 1, 8, 8, dtype=torch.long), None)

    for user in ("condgen.evaluation.samples", "condgen.commands.evaluate"):
        monkeypatch.setattr(f"{user}.sampler", lambda model: draw)
    options = ["--temperature", "0.7", "--seed", "3", "--num_samples", "12", "--lesson_samples", "20", "--limit", "10",
               "--batch_size", "7", "--classifier_steps", "2"]  # fmt: skip
    assert main(["evaluate", "--ckpt_path", checkpoint, "--out", str(tmp_path / "out"), *options]) == 0
    found, taught, pictured = asked
    assert (found["num_samples"], taught["num_samples"]) == (12, 20)
    assert (found["batch_size"], taught["batch_size"]) == (7, 7)
    assert {found["temperature"], taught["temperature"], pictured["temperature"]} == {0.7}
    assert found["seed"] == 3
    assert len({found["seed"], taught["seed"]}) == 2
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert (report["temperature"], report["seed"]) == (0.7, 3)
    assert report["likelihood"]["examples"] == 10
