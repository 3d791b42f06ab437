"""What a configuration leaves out is taken from its data, whose source is built once."""

import importlib
import itertools
import sys

import numpy as np
import pytest
import soundfile
import torch

from condgen.cli import main

COUNTED = """
from condgen.data import Digits, FreeSpokenDigits

built = []


class Images(Digits):
    def __init__(self) -> None:
        built.append(self)
        super().__init__()


class Clips(FreeSpokenDigits):
    def __init__(self, root: str) -> None:
        built.append(self)
        super().__init__(root)
"""
IMAGES = """
model:
  class_path: condgen.training.LikelihoodTask
  init_args:
    network: {class_path: condgen.models.PixelCNN, init_args: {shape: [1, 8, 8], levels: 17, channels: 4, layers: 1}}
    conditions: {digit: {class_path: condgen.conditioning.ClassEmbedding}}
data:
  class_path: condgen.data.Images
  init_args: {source: {class_path: counted.Images}}
trainer: {max_epochs: 1, limit_train_batches: 1, limit_val_batches: 1, accelerator: cpu, enable_progress_bar: false}
"""
CLIPS = """
model:
  class_path: condgen.training.LikelihoodTask
  init_args:
    network:
      class_path: condgen.models.WaveNet
      init_args: {sample_rate: 8000, hop: 80, channels: 4, layers: 2, stacks: 1}
    conditions:
      speaker: {class_path: condgen.conditioning.ClassEmbedding, init_args: {features: 4}}
      position: {class_path: condgen.conditioning.FrameSequence, init_args: {size: 10}}
data:
  class_path: condgen.data.Speech
  init_args:
    source: {class_path: counted.Clips, init_args: {root: wav}}
    sample_rate: 8000
    features: {position: {class_path: condgen.data.Position}}
trainer: {max_epochs: 1, limit_train_batches: 1, limit_val_batches: 1, accelerator: cpu, enable_progress_bar: false}
"""


@pytest.fixture
def counted(tmp_path, monkeypatch):
    """A module in the current folder with sources that count how often they are built."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    (tmp_path / "counted.py").write_text(COUNTED)
    (tmp_path / "wav").mkdir()
    for digit, speaker, take in itertools.product((1, 2), ("ann", "bob"), (0, 5, 6)):
        soundfile.write(f"wav/{digit}_{speaker}_{take}.wav", 0.5 * np.sin(np.arange(480) * 0.1 * digit), 8000)
    yield importlib.import_module("counted")
    del sys.modules["counted"]


@pytest.mark.parametrize(("configuration", "name", "names"), [
    (IMAGES, "digit", list("0123456789")), (CLIPS, "speaker", ["ann", "bob"]),
], ids=["images", "clips"])  # fmt: skip
def test_fit_builds_the_source_once_and_its_names_travel(counted, tmp_path, configuration, name, names):
    (tmp_path / "own.yaml").write_text(configuration)
    assert main(["fit", "-c", "own.yaml"]) == 0
    assert len(counted.built) == 1
    stored = torch.load("runs/own/version_0/checkpoints/last.ckpt", weights_only=True)["hyper_parameters"]
    assert stored["conditions"][name]["init_args"]["names"] == names
    assert (tmp_path / "runs/own/version_0/config.yaml").read_text().count("names:") >= 1


def test_a_condition_that_the_data_lack_is_one_line(counted, tmp_path, capsys):
    (tmp_path / "own.yaml").write_text(IMAGES.replace("digit:", "speaker:"))
    assert main(["fit", "-c", "own.yaml"]) == 1
    assert "condgen: error: the model has the condition 'speaker', the data has: digit\n" in capsys.readouterr().err
