"""What a checkpoint may name is decided from plain data, whatever depth and role it stands in."""

import sys

import pytest
import torch

import condgen.conditioning
import condgen.data
import condgen.models
import condgen.training
from condgen.data.hyperparameters import INSTANTIATOR
from condgen.trust import DATA_MODULES, NETWORKS, PARTS, TASKS, Named, check, imported


def settings(**changes):
    network = {"class_path": "condgen.models.PixelCNN", "init_args": {"shape": [1, 8, 8]}}
    conditions = {"digit": {"class_path": "condgen.conditioning.ClassEmbedding", "init_args": {"names": ["a", "b"]}}}
    return {"_class_path": TASKS[0], "_instantiator": INSTANTIATOR, "network": network, "conditions": conditions,
            "learning_rate": 0.1, **changes}  # fmt: skip


SOURCE = {"class_path": "condgen.data.Digits"}
RUN = {"class_path": "torch.fx.symbolic_trace", "init_args": {"root": "os.popen"}}
INSIDE = {"class_path": "condgen.models.PixelCNN", "init_args": {"shape": [1, {"deeper": [RUN]}]}}


def test_what_condgen_writes_is_taken():
    assert check(settings(), TASKS) == []
    assert check(settings(conditions=None), TASKS) == []
    assert check({"_class_path": "condgen.data.Images", "source": SOURCE, "batch_size": 3}, DATA_MODULES) == []


@pytest.mark.parametrize("changes", [
    {"_class_path": "torch.fx.symbolic_trace"},
    {"_class_path": "condgen.data.Images"},
    {"_class_path": None},
    {"network": RUN},
    {"network": INSIDE},
    {"network": "torch.fx.symbolic_trace"},
    {"network": "condgen.models.PixelCNN"},
    {"network": [RUN]},
    {"network": {"init_args": {}}},
    {"network": {"class_path": ["condgen.models.PixelCNN"]}},
    {"network": {"class_path": "condgen.data.Digits"}},
    {"network": {"class_path": "condgen.models.pixelcnn.PixelCNN"}},
    {"network": {"class_path": "condgen.modelsPixelCNN"}},
    {"network": {"class_path": "condgen.models.PixelCNN", "dict_kwargs": {"extra": RUN}}},
    {"discriminator": RUN},
    {"discriminator": INSIDE},
    {"conditions": {"digit": RUN}},
    {"conditions": {"digit": "os.popen"}},
    {"conditions": "os.popen"},
    {"conditions": {"digit": {"class_path": "condgen.models.PixelCNN"}}},
    {"conditions": {"source": SOURCE}},
    {"source": RUN},
    {"source": {"class_path": "condgen.data.Folder", "init_args": {"root": RUN}}},
    {"features": {"mel": RUN}},
    {"features": {"mel": SOURCE}},
    {"learning_rate": RUN},
    {"learning_rate": [{"a": RUN}]},
    {"learning_rate": '{"class_path": "torch.fx.symbolic_trace"}'},
    {"_instantiator": "os.system"},
    {"_instantiator": None},
])  # fmt: skip
def test_everything_else_is_refused_and_nothing_is_imported(changes):
    before = set(sys.modules)
    with pytest.raises(ValueError, match="names"):
        check(settings(**changes), TASKS)
    assert set(sys.modules) == before


def test_the_message_names_the_class_and_the_remedy():
    with pytest.raises(ValueError, match=r"names the class mine\.nets\.Net in network.* add --trust mine\.nets .*"
                                         r'trust=\["mine\.nets"\]'):  # fmt: skip
        check(settings(network={"class_path": "mine.nets.Net"}), TASKS)


def test_trust_is_of_a_module_and_what_lies_in_it():
    own = settings(network={"class_path": "mine.nets.Net"})
    for module in ("mine", "mine.nets"):
        assert [named.path for named in check(own, TASKS, [module])] == ["mine.nets.Net"]
    for module in ("min", "mine.nets.Net", "mine.net", ""):
        with pytest.raises(ValueError, match="names the class"):
            check(own, TASKS, [module])
    with pytest.raises(ValueError, match=r"torch\.fx\.symbolic_trace"):
        check(settings(network={"class_path": "mine.nets.Net", "init_args": {"inner": RUN}}), TASKS, ["mine"])


def public(package, names):
    return {f"{package.__name__}.{name}": getattr(package, name) for name in names}


def test_every_class_that_may_be_named_is_there_under_its_public_name():
    listed = {*TASKS, *DATA_MODULES, *(path for paths in PARTS.values() for path in paths)}
    packages = (condgen.conditioning, condgen.data, condgen.models, condgen.training)
    found = {path for package in packages for path in public(package, package.__all__)}
    assert listed <= found


def test_no_public_class_of_a_role_is_forgotten():
    models = public(condgen.models, condgen.models.__all__)
    networks = {path for path, found in models.items() if isinstance(found, type) and hasattr(found, "film_layers")}
    assert networks == set(NETWORKS)
    encoders = {path for path, found in public(condgen.conditioning, condgen.conditioning.__all__).items()
                if hasattr(found, "parse") and not getattr(found, "_is_protocol", False)}  # fmt: skip
    assert encoders == set(PARTS["conditions"])
    data = {path: found for path, found in public(condgen.data, condgen.data.__all__).items()
            if not getattr(found, "_is_protocol", False)}  # fmt: skip
    assert {path for path, found in data.items() if hasattr(found, "measure")} == set(PARTS["features"])
    assert {path for path, found in data.items() if hasattr(found, "class_ids")} == set(DATA_MODULES)
    sources = {path for path, found in data.items() if hasattr(found, "load") or hasattr(found, "clips")}
    assert sources == set(PARTS["source"])


def test_a_task_of_ones_own_may_call_its_arguments_as_it_likes():
    own = {"_class_path": "mine.Task", "_instantiator": INSTANTIATOR, "features": 3, "source": "a word", "network": 8}
    assert [named.path for named in check(own, TASKS, ["mine"])] == ["mine.Task"]
    with pytest.raises(ValueError, match=r"names the class os\.popen in source"):
        check({**own, "source": {"class_path": "os.popen"}}, TASKS, ["mine"])


@pytest.mark.parametrize("word", [
    r'{"class\u005fpath": "torch.fx.symbolic_trace", "init_args": {"root": "os.popen"}}',
    r'{"class\x5fpath": torch.fx.symbolic_trace, init_args: {root: os.popen}}', "? class_path\n: os.popen",
    "[os.popen]", "- os.popen", "{x: [1]}", "a: {b: c}", '["a"]',
])  # fmt: skip
def test_a_trusted_class_is_handed_no_class_in_a_word(word):
    """jsonargparse reads words as YAML, in which the same key can be written in many ways."""
    own = settings(network={"class_path": "mine.nets.Net", "init_args": {"part": word}})
    with pytest.raises(ValueError, match=r"names .* in network"):
        check(own, TASKS, ["mine"])


@pytest.mark.parametrize("made", ["evil.py", "evil/inner.py", "evil/__init__.py"])
def test_a_word_that_means_a_module_of_the_current_folder_is_seen(made, tmp_path, monkeypatch):
    """Also before that folder is where modules are looked for, and where a folder is a package without saying so."""
    (tmp_path / made).parent.mkdir(exist_ok=True)
    (tmp_path / made).write_text("raise SystemExit('run')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry not in ("", str(tmp_path))])
    own = settings(network={"class_path": "mine.nets.Net", "init_args": {"activation": "evil.inner.run"}})
    with pytest.raises(ValueError, match=r"names evil\.inner\.run in network"):
        check(own, TASKS, ["mine"])


CYCLE: dict = {}
CYCLE["a"] = [CYCLE]


@pytest.mark.parametrize("value", [CYCLE, {5: 6}, {"a": {None: 1}}, {1, 2}, torch.ones(2), b"bytes", object()])
def test_only_plain_data_with_an_end_are_taken(value):
    for odd in (settings(learning_rate=value), settings(network={**settings()["network"], "x": value})):
        with pytest.raises(ValueError, match="nothing of condgen writes that"):
            check(odd, TASKS)


@pytest.mark.parametrize("path", [7, None, "", "word", "a b.c", ["condgen.models.PixelCNN"], ".a", "a..b"])
def test_what_is_no_class_path_is_not_offered_to_trust(path):
    with pytest.raises(ValueError, match="nothing of condgen writes that"):
        check(settings(network={"class_path": path}), TASKS)


@pytest.mark.parametrize(
    "word", ["os.system", "subprocess.Popen", "torch.hub.load", "builtins.exec", "pathlib.Path.unlink"]
)
def test_a_trusted_class_is_handed_no_function_by_its_name(word):
    """jsonargparse imports words where a class asks for a function."""
    own = settings(network={"class_path": "mine.nets.Net", "init_args": {"activation": word}})
    with pytest.raises(ValueError, match=rf"names {word} in network, for a class of your own: add --trust"):
        check(own, TASKS, ["mine"])
    for harmless in ("a.wav", "sub.folder", "v1.2", "relu", "", "a..b", "3.5", ".hidden", "Ωmega.x"):
        own = settings(network={"class_path": "mine.nets.Net", "init_args": {"name": harmless}})
        assert check(own, TASKS, ["mine"])


def test_a_trusted_module_lends_its_name_to_nothing_from_elsewhere(tmp_path, monkeypatch):
    (tmp_path / "lender.py").write_text("from subprocess import Popen\nfrom os import system\nclass Own: pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert imported(Named("lender.Own", "network", ()), ["lender"]).__name__ == "Own"
    for name, said in (
        ("Popen", r"is subprocess\.Popen: add --trust subprocess"),
        ("system", "is no class"),
        ("x", "no class"),
    ):
        with pytest.raises(ValueError, match=said):
            imported(Named(f"lender.{name}", "network", ()), ["lender"])
    sys.modules.pop("lender")
