"""What a configuration leaves out is taken from its data, whose source is built once."""

import importlib
import itertools
import re
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
    assert (
        "condgen: error: the model has the condition 'speaker', which the data do not give; they give: digit. Leave "
        in (capsys.readouterr().err)
    )


@pytest.mark.parametrize("encoder", ["FeatureVector, init_args: {size: 3}", "FeatureMap, init_args: {channels: 1}",
                                     "FrameSequence, init_args: {size: 3}", "LinguisticSequence"])  # fmt: skip
def test_encoders_of_what_images_do_not_give_are_one_line(counted, tmp_path, capsys, encoder):
    (tmp_path / "own.yaml").write_text(IMAGES.replace("ClassEmbedding", encoder))
    assert main(["fit", "-c", "own.yaml"]) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("condgen: error: ")]
    assert "the data give a class" in line
    assert line.endswith("use ClassEmbedding")


PLAIN = """
import torch
from condgen.data import Labelled


class Images:
    def __init__(self) -> None:
        self.shape, self.levels, self.names = (1, 8, 8), 17, {"digit": ["a", "b"]}

    def load(self, split):
        return Labelled(torch.zeros(2, 1, 8, 8, dtype=torch.uint8), {"digit": torch.tensor([0, 1])})
"""


@pytest.mark.parametrize("written", ["{class_path: plain.Images}", "plain.Images"])
def test_a_source_without_types_is_told_which_it_needs(counted, tmp_path, one_line, written):
    (tmp_path / "plain.py").write_text(PLAIN)
    (tmp_path / "own.yaml").write_text(IMAGES.replace("{class_path: counted.Images}", written))
    assert main(["fit", "-c", "own.yaml"]) == 1
    one_line("data.source: ", "does not implement protocol ImageSource",
             "its load(self, split) must be load(self, split: Split) -> Labelled")  # fmt: skip


@pytest.mark.parametrize("trained_first", [False, True])
def test_data_that_have_moved_are_asked_for_with_the_option_that_says_where(counted, tmp_path, one_line, trained_first):
    (tmp_path / "own.yaml").write_text(CLIPS)
    command = ["fit", "-c", "own.yaml"]
    if trained_first:
        assert main(command) == 0
        command = ["validate", "--ckpt_path", "runs/own/version_0/checkpoints/last.ckpt", "--trust", "counted"]
    (tmp_path / "wav").rename(tmp_path / "elsewhere")
    for moved in (command, *([["evaluate", *command[1:], "--out", "out"]] if trained_first else [])):
        assert main(moved) == 1
        one_line("the folder wav is not there; give ", "say where the data are with --data.source.root NEW")
    assert main([*command, "--data.source.root", "elsewhere"]) == 0


def test_a_folder_for_a_configuration_is_one_line(counted, tmp_path, one_line):
    assert main(["fit", "-c", "wav"]) == 1
    one_line("wav is a folder; give a configuration")
    assert main(["fit", "-c", "no.yaml"]) == 1
    one_line("there is no configuration no.yaml", "no.yaml")


def leave_out(text, *patterns):
    for pattern in patterns:
        text, count = re.subn(pattern, "", text)
        assert count, pattern
    return text


def stored(name="own"):
    return torch.load(f"runs/{name}/version_0/checkpoints/last.ckpt", weights_only=True)["hyper_parameters"]


def test_the_grid_of_a_network_is_that_of_the_images(counted, tmp_path, caplog):
    (tmp_path / "own.yaml").write_text(leave_out(IMAGES, r"shape: \[1, 8, 8\], levels: 17, "))
    assert main(["fit", "-c", "own.yaml"]) == 0
    network = stored()["network"]["init_args"]
    assert (list(network["shape"]), network["levels"], network["channels"]) == ([1, 8, 8], 17, 4)
    said = [line for line in caplog.messages if line.startswith("taken from the data")]
    assert said == ["taken from the data: network.shape [1, 8, 8], network.levels 17"]
    assert len(counted.built) == 1


def test_the_grid_and_the_frames_of_a_network_are_those_of_the_clips(counted, tmp_path):
    own = leave_out(CLIPS, "sample_rate: 8000, hop: 80, ", r", init_args: \{size: 10\}")
    (tmp_path / "own.yaml").write_text(own + "seed_everything: 1\n")
    assert main(["fit", "-c", "own.yaml"]) == 0
    network, encoders = stored()["network"]["init_args"], stored()["conditions"]
    assert (network["sample_rate"], network["hop"], network["levels"]) == (8000, 80, 256)
    assert encoders["position"]["init_args"]["size"] == 10


def test_an_encoder_that_upsamples_makes_the_hop_shorter(counted, tmp_path):
    own = CLIPS.replace("{size: 10}", "{factor: 2}").replace("hop: 80, ", "")
    (tmp_path / "own.yaml").write_text(own)
    assert main(["fit", "-c", "own.yaml"]) == 0
    assert stored()["network"]["init_args"]["hop"] == 40


def test_what_is_given_stands_and_is_compared_with_the_data(counted, tmp_path, one_line):
    (tmp_path / "own.yaml").write_text(IMAGES.replace("levels: 17", "levels: 256"))
    assert main(["fit", "-c", "own.yaml"]) == 1
    one_line("the model's levels is 256, the data's is 17")


@pytest.mark.parametrize(("configuration", "condition", "encoders"), [
    (IMAGES, r" +conditions: .*\n", {"digit": "ClassEmbedding"}),
    (IMAGES.replace("init_args: {source", "init_args: {thumbnail: 4, source"), r" +conditions: .*\n",
     {"digit": "ClassEmbedding", "thumbnail": "FeatureMap"}),
    (CLIPS, r" +conditions:\n.*\n.*\n", {"speaker": "ClassEmbedding", "digit": "ClassEmbedding",
                                         "position": "FrameSequence"}),
], ids=["images", "thumbnails", "clips"])  # fmt: skip
def test_conditions_that_are_left_out_are_all_that_the_data_have(counted, tmp_path, configuration, condition, encoders):
    (tmp_path / "own.yaml").write_text(leave_out(configuration, condition))
    assert main(["fit", "-c", "own.yaml"]) == 0
    found = stored()["conditions"]
    assert {name: part["class_path"].rpartition(".")[2] for name, part in found.items()} == encoders


def test_a_model_without_conditions_says_so(counted, tmp_path):
    (tmp_path / "own.yaml").write_text(re.sub(r"conditions: .*", "conditioning: none", IMAGES))
    assert main(["fit", "-c", "own.yaml"]) == 0
    assert not stored()["conditions"]


def test_a_checkpoint_says_what_it_has_whatever_the_data_are_now(counted, tmp_path):
    """Names and shapes are the checkpoint's, and the data are compared with them."""
    (tmp_path / "own.yaml").write_text(leave_out(IMAGES, r"shape: \[1, 8, 8\], levels: 17, "))
    assert main(["fit", "-c", "own.yaml"]) == 0
    assert main(["fit", "-c", "own.yaml", "--ckpt_path", "last", "--trust", "counted",
                 "--trainer.max_epochs", "2"]) == 0  # fmt: skip
    newest = torch.load("runs/own/version_0/checkpoints/last.ckpt", weights_only=True)
    assert list(newest["hyper_parameters"]["network"]["init_args"]["shape"]) == [1, 8, 8]
    assert newest["epoch"] == 1


def test_what_neither_the_configuration_nor_the_data_say_is_named(counted, tmp_path, one_line):
    own = CLIPS.replace("condgen.models.WaveNet", "condgen.models.PixelCNN").replace("sample_rate: 8000, hop: 80, ", "")
    (tmp_path / "own.yaml").write_text(re.sub(", stacks: 1", "", own))
    assert main(["fit", "-c", "own.yaml"]) == 1
    one_line("model.network", "required: shape")


@pytest.mark.parametrize(("given", "expected"), [([], 2), (["--trainer.max_epochs", "1"], 1)])
def test_steps_are_whole_epochs_unless_epochs_are_given(counted, tmp_path, given, expected):
    (tmp_path / "own.yaml").write_text("steps: 25\n" + leave_out(IMAGES, "max_epochs: 1, limit_train_batches: 1, "))
    assert main(["fit", "-c", "own.yaml", *given]) == 0
    assert torch.load("runs/own/version_0/checkpoints/last.ckpt", weights_only=True)["epoch"] == expected - 1


def test_the_folder_that_is_not_named_is_asked_for(tmp_path, monkeypatch, one_line):
    monkeypatch.chdir(tmp_path)
    assert main(["fit", "-c", "pixelcnn_folder"]) == 1
    one_line("required: root; give the folder of the data: --data.source.root DIR")


def test_a_path_that_begins_with_dots_stays_whole_in_a_message(tmp_path, monkeypatch, one_line):
    (tmp_path / "here").mkdir()
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert main(["fit", "-c", "pixelcnn_folder", "--data.source.root", "../empty"]) == 1
    one_line("condgen: error: ../empty has no folders")
