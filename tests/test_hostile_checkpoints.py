"""A checkpoint is data: whatever stands in it and wherever, no command imports, runs or writes anything for it."""

import itertools
import os
import sys
from inspect import signature
from pathlib import Path

import pytest
import torch

from condgen import data, load
from condgen.checkpoint import Checkpoint
from condgen.cli import main
from condgen.trust import WRITING

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
SPY = """
import pathlib
pathlib.Path("ran").touch()

def run(**given) -> object:
    pathlib.Path("ran").touch()

class Network:
    def __init__(self, **given):
        pathlib.Path("ran").touch()
"""
POPEN = {"root": "os.popen", "concrete_args": {"cmd": "touch ran", "mode": "r", "buffering": -1}}
# What a class path can be made to run: a module of the folder, Python's own functions, and PyTorch's, as was found.
PAYLOADS = {
    "module": {"class_path": "spy.run"},
    "class": {"class_path": "spy.Network", "init_args": {"command": "id"}},
    "function": {"class_path": "os.system", "init_args": {"command": "touch ran"}},
    "trace": {"class_path": "torch.fx.symbolic_trace", "init_args": POPEN},
    "code": {"class_path": "builtins.exec", "init_args": {"source": "open('ran', 'w')"}},
}


def within(class_path, **arguments):
    return {"class_path": class_path, "init_args": arguments}


# Where a class path can stand: a kind of checkpoint, and what is changed in it.
ROLES = {
    "task": lambda run: ("pixelcnn_digits", {"task": {"_class_path": run["class_path"], **run.get("init_args", {})}}),
    "builder": lambda run: ("pixelcnn_digits", {"task": {"_instantiator": run["class_path"]}}),
    "network": lambda run: ("pixelcnn_digits", {"task": {"network": run}}),
    "network, as a word": lambda run: ("wavenet_fsdd", {"task": {"network": run["class_path"]}}),
    "in a network": lambda run: ("wavenet_fsdd", {"task": {"network": within("condgen.models.WaveNet", norm=run)}}),
    "deep in a network": lambda run: (
        "pixelcnn_digits", {"task": {"network": within("condgen.models.PixelCNN", shape=[1, [{"a": [run]}]])}}),
    "beside a network's arguments": lambda run: (
        "pixelcnn_digits", {"task": {"network": {"class_path": "condgen.models.PixelCNN", "dict_kwargs": {"x": run}}}}),
    "discriminator": lambda run: ("cdcgan_digits", {"task": {"discriminator": run}}),
    "discriminator of a model without one": lambda run: ("pixelcnn_digits", {"task": {"discriminator": run}}),
    "condition": lambda run: ("pixelcnn_digits", {"task": {"conditions": {"digit": run}}}),
    "one more condition": lambda run: (
        "wavenet_fsdd", {"task": {"conditions": {"x": within("condgen.conditioning.ClassEmbedding"), "y": run}}}),
    "in a condition": lambda run: (
        "cdcgan_digits", {"task": {"conditions": {"x": within("condgen.conditioning.ClassEmbedding", names=[run])}}}),
    "conditions": lambda run: ("pixelcnn_digits", {"task": {"conditions": run}}),
    "conditioning": lambda run: ("pixelcnn_digits", {"task": {"conditioning": run}}),
    "number": lambda run: ("cdcgan_digits", {"task": {"learning_rate": [run]}}),
    "argument that there is none of": lambda run: ("pixelcnn_digits", {"task": {"callbacks": [run]}}),
    "data": lambda run: ("pixelcnn_digits", {"data": {"_class_path": run["class_path"]}}),
    "builder of data": lambda run: ("wavenet_fsdd", {"data": {"_instantiator": run["class_path"]}}),
    "source": lambda run: ("pixelcnn_digits", {"data": {"source": run}}),
    "in a source": lambda run: ("pixelcnn_digits", {"data": {"source": within("condgen.data.Folder", root=run)}}),
    "feature": lambda run: ("wavenet_fsdd", {"data": {"features": {"position": run}}}),
    "in a feature": lambda run: (
        "wavenet_fsdd", {"data": {"features": {"mel": within("condgen.data.MelSpectrogram", hop={"a": run})}}}),
    "cache": lambda run: ("wavenet_fsdd", {"data": {"cache": run}}),
    "text of a class": lambda run: ("pixelcnn_digits", {"data": {"batch_size": str(run).replace("'", '"')}}),
}  # fmt: skip
COMMANDS = {
    "sample": ["--condition.digit", "1", "--out", "o"],
    "evaluate": ["--out", "o"],
    "validate": [],
    "test": [],
    "fit": ["-c", str(CONFIGS / "pixelcnn_digits.yaml")],
}
CASES = [pytest.param(role, payload, id=f"{role}-{payload}") for role, payload in itertools.product(ROLES, PAYLOADS)]


def called(command, path, option="--ckpt_path"):
    return [command, *COMMANDS[command], option, path]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty current folder with a module that leaves a mark when it is imported."""
    (tmp_path / "spy.py").write_text(SPY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("role", "payload"), CASES)
def test_no_command_imports_or_runs_what_a_checkpoint_names(role, payload, altered, folder, monkeypatch, one_line):
    kind, changes = ROLES[role](PAYLOADS[payload])
    path = altered(**changes, kind=kind)
    for ran in ("os.system", "os.popen"):
        monkeypatch.setattr(ran, lambda *args, **kwargs: pytest.fail("code was run"))
    before = {*folder.iterdir()}
    # To build the parsers of `fit` takes half a second.
    every = [called(name, path) for name in COMMANDS if name != "fit" or payload == "trace"]
    every.append(["fit", "--ckpt_path", path])  # from which alone a run goes on
    for command in [*every, *([called("fit", path, "--weights")] if payload == "trace" else [])]:
        assert main(command) == 1
        one_line("altered.ckpt names")
    with pytest.raises(ValueError, match="names"):
        load(path)
    assert {*folder.iterdir()} == before
    assert "spy" not in sys.modules


def test_there_are_a_hundred_of_them_and_more():
    assert len(CASES) >= 100


class Trap:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return (os.system, (f"touch {self.mark}",))


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("command", [*COMMANDS, "--weights"])
def test_a_pickle_with_code_is_called_what_it_is(command, zipped, folder, one_line, recwarn):
    torch.save({"hyper_parameters": {"_class_path": "condgen.training.LikelihoodTask"}, "format": 1,
                "trap": Trap("ran")}, "t.ckpt", _use_new_zipfile_serialization=zipped)  # fmt: skip
    option, command = ("--weights", "fit") if command == "--weights" else ("--ckpt_path", command)
    assert main(called(command, "t.ckpt", option)) == 1
    one_line("t.ckpt is a pickle that would call", "system when it is read", "hold data alone: nothing in it was run")
    assert not (folder / "ran").exists()


@pytest.mark.parametrize("path", ["/runs/x/../../home/letter.txt", "../a", ".."])
def test_no_file_beyond_a_runs_folder_is_listed_for_removal(path, trained, altered, folder, one_line):
    callbacks = torch.load(trained("pixelcnn_digits"), weights_only=True)["callbacks"]
    name = next(name for name in callbacks if name.startswith("ModelCheckpoint"))
    state = callbacks[name]
    for changed in ({**state, "best_model_path": path}, {**state, "best_k_models": {path: torch.tensor(1.0)}}):
        altered(callbacks={**callbacks, name: changed})
        assert main(called("fit", "altered.ckpt")) == 1
        one_line(f"altered.ckpt names the path '{path}'")


def test_what_a_class_takes_by_itself_takes_the_place_of_a_files_places():
    for class_path, own in WRITING.items():
        made = getattr(data, class_path.rpartition(".")[2])
        defaults = {name: p.default for name, p in signature(made).parameters.items()}
        assert all(defaults[name] == value for name, value in own.items() if name != "download")
        assert "download" not in own or own["download"] is False


@pytest.mark.parametrize("class_path", data.__all__)
def test_every_argument_that_makes_a_class_write_is_known(class_path):
    """By its name: a new source that writes must be looked at."""
    made = getattr(data, class_path)
    known = WRITING.get(f"condgen.data.{class_path}", {})
    if isinstance(made, type) and not getattr(made, "_is_protocol", False):
        assert {"cache", "download"} & set(signature(made).parameters) <= set(known)


def test_nothing_is_written_where_a_checkpoint_says(altered, folder, recwarn):
    path = altered(data={"cache": str(folder / "elsewhere" / "deep")}, kind="wavenet_fsdd")
    small = ["--num_samples", "6", "--limit", "2", "--classifier_steps", "1", "--lesson_samples", "0"]
    assert "elsewhere" not in str(Checkpoint.open(path).data_settings)
    for command in ([*called("evaluate", path), *small], called("test", path)):
        recwarn.clear()
        assert main(command) == 0
        said = [str(warning.message) for warning in recwarn if "where a checkpoint says" in str(warning.message)]
        assert len(said) == 1
        assert "data/prepared takes the place of" in said[0]
        assert "--data.cache DIR says where" in said[0]
    recwarn.clear()
    assert main([*called("test", path), "--data.cache", "mine"]) == 0
    assert not [warning for warning in recwarn if "where a checkpoint says" in str(warning.message)]
    assert {path.name for path in folder.iterdir()} == {"spy.py", "altered.ckpt", "o", "data", "mine"}


cycle: dict = {}
cycle["a"] = cycle
ODD = {
    "a number as a name": {"hyper_parameters": {5: 6}}, "no end": {"hyper_parameters": {"learning_rate": cycle}},
    "callbacks without an end": {"callbacks": cycle}, "callbacks that are none": {"callbacks": 5},
    "data that are a number": {"datamodule_hyper_parameters": 5},
    "data that are none": {"datamodule_hyper_parameters": None},
    "data that are a list": {"datamodule_hyper_parameters": [1]}, "no state": {"state_dict": None},
    "a state that is a number": {"state_dict": 5}, "a state by numbers": {"state_dict": {5: torch.ones(1)}},
    "an empty state": {"state_dict": {}}, "a state of numbers": {"state_dict": {"model.x": 5}},
    "a format that is a tensor": {"format": torch.ones(3)}, "counts that are numbers": {"class_examples": {"digit": 5}},
    "a tensor as an argument": {"hyper_parameters": {"learning_rate": torch.ones(2)}},
    "no source": {"datamodule_hyper_parameters": {"source": None}},
    "a source with a number": {"datamodule_hyper_parameters": {"source": {"class_path": "condgen.data.Digits",
                                                                          "init_args": 5}}},
}  # fmt: skip


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_odd_data_are_one_line_that_names_the_file(odd, trained, folder, one_line):
    content = torch.load(trained("pixelcnn_digits"), weights_only=True)
    for part, value in odd.items():
        merged = isinstance(value, dict) and part.endswith("hyper_parameters")
        content[part] = {**content[part], **value} if merged else value
    torch.save(content, "odd.ckpt")
    for command in (*(called(name, "odd.ckpt") for name in ("sample", "evaluate", "test")), ["show", "odd.ckpt"],
                    ["fit", "--ckpt_path", "odd.ckpt"]):  # fmt: skip
        assert main(command) == 1
        one_line("odd.ckpt")
    assert not (folder / "o").exists()


@pytest.mark.parametrize("command", ["fit", "validate", "test"])
def test_lightning_reads_a_checkpoint_as_data_too(command, trained, folder, monkeypatch):
    asked, load = [], torch.load
    monkeypatch.setattr(torch, "load", lambda *args, **options: asked.append(options) or load(*args, **options))
    quick = ["--trainer.max_epochs", "2", "--trainer.limit_train_batches", "2", "--trainer.enable_progress_bar",
             "false"]  # fmt: skip
    assert main([*called(command, trained("pixelcnn_digits")), *narrow(command), *quick]) == 0
    assert len(asked) > 1
    assert all(options["weights_only"] is True for options in asked)


def narrow(command):
    """The options with which the checkpoint was trained, where a configuration stands beside it."""
    options = ["--model.network.channels", "4", "--model.network.layers", "2", "--model.network.head", "4"]
    return options if command == "fit" else []
