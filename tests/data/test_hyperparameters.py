"""What a module was built from is stored as plain data, under public class paths, and built again."""

import copy
import sys
import textwrap

import numpy as np
import pytest
import pytorch_lightning as pl
import soundfile
import torch
from torch import nn

from condgen.checkpoint import Checkpoint
from condgen.cli import main
from condgen.conditioning import ClassEmbedding
from condgen.data import Digits, FreeSpokenDigits, Images, Speech
from condgen.data.hyperparameters import FORMAT, build, innermost, write_format
from condgen.models import Discriminator, Generator, PixelCNN, WaveNet
from condgen.training import AdversarialTask, LikelihoodTask

PIXELCNN = {"class_path": "condgen.models.PixelCNN", "init_args": {"shape": [1, 4, 4], "channels": 4, "layers": 1}}


def test_the_format_and_the_public_path_of_every_class_are_written():
    private = {"_class_path": "condgen.training.likelihood.LikelihoodTask",
               "network": {"class_path": "condgen.models.pixelcnn.PixelCNN", "init_args": {"shape": (1, 4, 4)}},
               "conditions": {"a": {"class_path": "condgen.conditioning.encoders.ClassEmbedding"}}}  # fmt: skip
    data = {"_class_path": "condgen.data.images.Images",
            "source": {"class_path": "condgen.data.image_sources.Digits"}}  # fmt: skip
    checkpoint = {"hyper_parameters": private, "datamodule_hyper_parameters": data, "state_dict": {}}
    before = copy.deepcopy(private)
    write_format(checkpoint)
    assert checkpoint["format"] == FORMAT
    assert checkpoint["hyper_parameters"] == {
        "_class_path": "condgen.training.LikelihoodTask",
        "network": {"class_path": "condgen.models.PixelCNN", "init_args": {"shape": [1, 4, 4]}},
        "conditions": {"a": {"class_path": "condgen.conditioning.ClassEmbedding"}},
    }
    assert checkpoint["datamodule_hyper_parameters"] == {
        "_class_path": "condgen.data.Images", "source": {"class_path": "condgen.data.Digits"},
    }  # fmt: skip
    assert private == before


def test_a_class_that_is_nowhere_shorter_keeps_its_path():
    checkpoint = {"hyper_parameters": {"_class_path": "torch.nn.modules.pixelshuffle.PixelShuffle", "n": 1}}
    write_format(checkpoint)
    assert checkpoint["hyper_parameters"]["_class_path"] == "torch.nn.PixelShuffle"
    checkpoint = {"hyper_parameters": {"_class_path": "condgen.models.pixelcnn.GatedBlock"}}
    write_format(checkpoint)
    assert checkpoint["hyper_parameters"]["_class_path"] == "condgen.models.pixelcnn.GatedBlock"


def test_plain_data_are_built_with_the_types_that_classes_declare_and_stay_as_they_are():
    before = copy.deepcopy(PIXELCNN)
    built = build(dict[str, nn.Module], {"a": PIXELCNN})["a"]
    assert isinstance(built, PixelCNN)
    assert built.shape == (1, 4, 4)
    assert before == PIXELCNN


def test_what_does_not_describe_such_a_thing_raises():
    with pytest.raises(ValueError, match="colours"):
        build(nn.Module, {**PIXELCNN, "init_args": {"colours": 3}})
    with pytest.raises(ValueError, match="Digits"):
        build(nn.Module, {"class_path": "condgen.data.Digits"})


TREE = """Parser key "data":
  Does not validate against any of the Union subtypes
  Subtypes: [<class 'LightningDataModule'>, <class 'NoneType'>]
  Errors:
    - Parser key "source":
{}
    - Expected a <class 'NoneType'>
  Given value type: <class 'dict'>
  Given value: {{'class_path': 'condgen.data.Images'}}"""
UNION = """        Parser key "size":
          Does not validate against any of the Union subtypes
          Subtypes: [tuple[int, int], <class 'NoneType'>]
          Errors:
            - Expected a <class 'tuple'>
            - Expected a <class 'NoneType'>
          Given value type: <class 'int'>
          Given value: 3"""
CAUSES = {
    "a line": ("        Option 'm' is not accepted", "Option 'm' is not accepted"),
    "several lines": ("        first line\n          deeper\n        third", "first line deeper third"),
    "below a path": ("\n        - Expected a path but m.A either not accessible\n        - No module named 'm'",
                     "No module named 'm'"),
    "a class": ("        Problem with given class_path 'm.A':\n          No module named 'm'", "No module named 'm'"),
    "a protocol": ("        Import path condgen.data.Manifest does not implement protocol ImageSource",
                   "Import path condgen.data.Manifest does not implement protocol ImageSource: it has no method load"
                   "(self, split: Split) -> Labelled"),
}  # fmt: skip


@pytest.mark.parametrize(("lines", "expected"), CAUSES.values(), ids=CAUSES)
def test_of_a_tree_of_types_the_cause_is_shown(lines, expected):
    assert innermost(TREE.format(lines)) == f"data.source: {expected}"


def test_of_a_union_the_value_is_shown():
    assert innermost(TREE.format(UNION)) == "data.source.size: Expected a <class 'tuple'>. Got value: 3"


def test_what_is_no_tree_stays_as_it_is():
    assert innermost("photos is not there") == "photos is not there"
    assert innermost('Parser key "config": File does not exist: a.yaml') == "config: File does not exist: a.yaml"


# What is built in Python and trained by a plain trainer.


def fit(folder, task, data):
    """Train for a moment with Lightning's own trainer; return the checkpoint."""
    trainer = pl.Trainer(
        default_root_dir=folder, accelerator="cpu", max_epochs=1, limit_train_batches=2, limit_val_batches=0,
        logger=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(task, data)
    return str(folder / "checkpoints" / "last.ckpt")


def pixelcnn(folder):
    network = PixelCNN((1, 8, 8), levels=17, channels=4, layers=1, head=4)
    return LikelihoodTask(network, {"digit": ClassEmbedding(3, names=Digits().names["digit"])}), Images(Digits())


def cdcgan(folder):
    networks = Generator((1, 8, 8), levels=17, noise=4, channels=4), Discriminator((1, 8, 8), channels=4)
    return AdversarialTask(*networks, {"digit": ClassEmbedding(3, num_classes=10)}), Images(Digits())


def wavenet(folder):
    for digit in range(2):
        for take in (0, 5, 6):
            noise = np.random.default_rng(take).normal(0, 0.1, 800)
            soundfile.write(folder / f"{digit}_ann_{take}.wav", noise, 8000)
    network = WaveNet(256, channels=4, dilations=[1, 2], head=4, sample_rate=8000)
    task = LikelihoodTask(network, {"digit": ClassEmbedding(3, names=["0", "1"])})
    return task, Speech(FreeSpokenDigits(str(folder)), 8000, cache=str(folder / "cache"))


@pytest.mark.filterwarnings("ignore:the receptive field", "ignore:.*already saved during checkpointing")
@pytest.mark.parametrize("build", [pixelcnn, cdcgan, wavenet])
def test_what_is_built_in_python_opens_like_what_a_configuration_built(build, tmp_path):
    task, data = build(tmp_path)
    path = fit(tmp_path, task, data)
    checkpoint = Checkpoint.open(path)
    assert checkpoint.model().state_dict().keys() == task.model.state_dict().keys()
    assert checkpoint.data().batch_size == data.batch_size
    assert type(pl.LightningModule.load_from_checkpoint(path)) is type(task)
    seconds = ["--seconds", "0.01"] if build is wavenet else []
    options = ["--ckpt_path", path, "--condition.digit", "1", "--out", str(tmp_path / "o"), *seconds]
    assert main(["sample", *options]) == 0


OWN = """
from torch import nn
from condgen.conditioning import ClassEmbedding
from condgen.models import PixelCNN
from condgen.training import LikelihoodTask

class Network(PixelCNN):
    def __init__(self, width: int):
        super().__init__((1, 8, 8), levels=17, channels=width, layers=1, head=4)

class Task(LikelihoodTask):
    def __init__(self, network: nn.Module, size: int):
        super().__init__(network, {"digit": ClassEmbedding(size, num_classes=10)}, ema_decay=0.5)
        self.save_hyperparameters()  # as Lightning's documentation has it
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "own_task.py").write_text(textwrap.dedent(OWN))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    import own_task

    yield own_task
    sys.modules.pop("own_task", None)


def test_a_task_of_ones_own_opens_where_its_module_is_trusted(own, tmp_path, one_line):
    path = fit(tmp_path, own.Task(own.Network(4), size=3), Images(Digits()))
    options = ["--ckpt_path", path, "--condition.digit", "1", "--out"]
    assert main(["sample", *options, "refused"]) == 1
    one_line("names the class own_task.Task", "--trust own_task")
    content = torch.load(path, weights_only=True)
    for weights, state in (("ema", "state_dict"), ("live", "current_model_state")):
        assert main(["sample", *options, weights, "--weights", weights, "--trust", "own_task"]) == 0
        for name, value in Checkpoint.open(path, ["own_task"]).model(weights).state_dict().items():
            assert torch.equal(value, content[state][f"model.{name}"])
    assert main(["test", "--ckpt_path", path, "--trust", "own_task"]) == 0


def test_a_run_whose_checkpoints_no_command_opens_says_so_and_why(tmp_path):
    class Inside(PixelCNN):
        pass

    task = LikelihoodTask(Inside((1, 8, 8), levels=17, channels=4, layers=1, head=4), conditioning="none")
    with pytest.warns(UserWarning, match="sample and evaluate will not open the checkpoints of this run: Inside"):
        path = fit(tmp_path, task, Images(Digits()))
    with pytest.raises(ValueError, match="not a checkpoint of a condgen model"):
        Checkpoint.open(path)
