"""Checkpoints: opened once, of one format, checked before anything is built, and enough to draw and to measure."""

import hashlib
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from condgen import load
from condgen.checkpoint import Checkpoint, changed
from condgen.cli import main
from condgen.commands.model_card import card
from condgen.conditioning import ClassEmbedding, TokenSequence
from condgen.conditioning.mechanism import in_words
from condgen.data.hyperparameters import write_format
from condgen.models import PixelCNN, WaveNet
from condgen.models.conditional import as_likelihood
from condgen.sampling import sample, sampler
from condgen.training import LikelihoodTask

ROOT = Path(__file__).resolve().parents[1]
KINDS = ("pixelcnn_digits", "cdcgan_digits", "wavenet_fsdd", "wavenet_fsdd_mel", "cdcgan_fsdd")
KEPT = sorted((Path(__file__).parent / "checkpoints").glob("*.ckpt"))


@pytest.fixture
def pixelcnn(trained):
    return trained("pixelcnn_digits")


@pytest.fixture
def cdcgan(trained):
    return trained("cdcgan_digits")


def levels(model, front_end):
    """Draw two samples under the first class of every condition, and half a second or what the network draws."""
    conditions = {name: torch.tensor([0, 1]) for name, encoder in model.encoders.items() if encoder.classes}
    length = {} if front_end is None else {"length": 2 * front_end.unit}
    for name in set(model.encoders) - set(conditions):
        feature = front_end.features[name]
        conditions[name] = torch.zeros(2, feature.size, 2 * front_end.unit // feature.hop)
    options = {} if as_likelihood(model) is None else length
    return sampler(model)(model, conditions, progress=False, **options).x


@pytest.mark.parametrize("kind", KEPT or KINDS, ids=lambda kind: getattr(kind, "stem", kind))
def test_every_kind_that_was_released_opens_draws_and_rebuilds_its_task(kind, trained):
    checkpoint = Checkpoint.open(kind if KEPT else trained(kind))
    for weights in ("ema", "live"):
        drawn = levels(checkpoint.model(weights), checkpoint.front_end())
        assert len(drawn) == 2
        assert 0 <= int(drawn.min()) <= int(drawn.max()) < checkpoint.model().network.levels
    task = checkpoint.task()
    assert type(task).__name__ == checkpoint.task_path.split(".")[-1]
    model, rebuilt = checkpoint.model().state_dict(), task.model.state_dict()
    assert model.keys() == rebuilt.keys()
    assert all(torch.equal(value, rebuilt[name]) for name, value in model.items())
    assert checkpoint.data_settings["batch_size"] > 0


@pytest.mark.parametrize("path", [path for path in KEPT if "pixelcnn" in path.name], ids=lambda path: path.stem)
def test_a_model_older_than_dilations_has_neighbours_for_taps(path):
    checkpoint = Checkpoint.open(path)
    assert "dilations" not in str(torch.load(path, weights_only=True)["hyper_parameters"])
    assert {block.dilation for block in checkpoint.model().network.blocks} == {1}


@pytest.mark.filterwarnings("ignore:nothing is written where a checkpoint says")
@pytest.mark.parametrize("path", [path for path in KEPT if "fsdd" in path.name], ids=lambda path: path.stem)
def test_clips_of_a_model_older_than_the_removal_of_offsets_keep_theirs(path, tmp_path):
    checkpoint = Checkpoint.open(path)
    assert not checkpoint.front_end().reader.remove_dc
    soundfile.write(tmp_path / "0_ann_9.wav", [0.1, 0.2], 8000)
    assert not checkpoint.data({"root": str(tmp_path)}).reader.remove_dc


def test_a_checkpoint_is_read_once_and_hashed_once(pixelcnn, monkeypatch):
    seen = []
    original = torch.load
    monkeypatch.setattr(torch, "load", lambda *given, **named: seen.append(given) or original(*given, **named))
    checkpoint = Checkpoint.open(pixelcnn)
    checkpoint.model("live")
    checkpoint.task()
    checkpoint.data()
    assert checkpoint.front_end() is None
    assert checkpoint.data_settings["batch_size"] == 64
    assert len(seen) == 1
    assert checkpoint.sha256 == hashlib.sha256(Path(pixelcnn).read_bytes()).hexdigest()
    monkeypatch.setattr("builtins.open", None)
    assert len(checkpoint.sha256) == 64


def test_what_is_built_leaves_the_plain_data_as_they_are(pixelcnn):
    checkpoint, again = Checkpoint.open(pixelcnn), Checkpoint.open(pixelcnn)
    checkpoint.model()
    checkpoint.task()
    checkpoint.data({"batch_size": 7})
    assert checkpoint.hyper_parameters == again.hyper_parameters
    assert checkpoint.data_settings == again.data_settings


def test_each_kind_of_weights_of_a_generator_is_the_one_of_that_name(cdcgan):
    state = torch.load(cdcgan, weights_only=True)["state_dict"]
    for weights, prefix in (("ema", "model."), ("live", "generator.")):
        model = load(cdcgan, weights=weights).model
        assert not model.training
        assert all(torch.equal(value, state[prefix + name]) for name, value in model.state_dict().items())


def test_live_weights_of_a_likelihood_model_are_the_last_ones(pixelcnn):
    checkpoint = torch.load(pixelcnn, weights_only=True)
    averaged, live = (load(pixelcnn, weights=weights).model.state_dict() for weights in ("ema", "live"))
    assert all(torch.equal(v, checkpoint["current_model_state"][f"model.{n}"]) for n, v in live.items())
    assert all(torch.equal(v, checkpoint["state_dict"][f"model.{n}"]) for n, v in averaged.items())
    assert any(not torch.equal(v, averaged[n]) for n, v in live.items())


def test_without_an_average_both_kinds_of_weights_are_one(pixelcnn, tmp_path):
    content = torch.load(pixelcnn, weights_only=True)
    del content["current_model_state"]
    torch.save(content, tmp_path / "plain.ckpt")
    one, other = (load(tmp_path / "plain.ckpt", weights=weights).model.state_dict() for weights in ("ema", "live"))
    assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_changes_of_data_go_to_the_module_or_else_to_its_source(pixelcnn):
    settings = {"source": {"class_path": "condgen.data.MNIST", "init_args": {"root": "a", "binarize": "none"}},
                "batch_size": 64}  # fmt: skip
    found = changed(settings, {"batch_size": 3, "root": "b", "source": {"binarize": "fixed"}})
    assert found == {"source": {"class_path": "condgen.data.MNIST", "init_args": {"root": "b", "binarize": "fixed"}},
                     "batch_size": 3}  # fmt: skip
    assert changed(settings, {"source.root": "c"})["source"]["init_args"]["root"] == "c"
    assert settings["source"]["init_args"]["root"] == "a"
    assert Checkpoint.open(pixelcnn).data({"batch_size": 3}).batch_size == 3


@pytest.mark.parametrize("options", [
    [],
    ["--model", "LikelihoodTask"],
    ["--model", "condgen.training.likelihood.LikelihoodTask"],
    ["--data", "Images"],
    ["--data", "condgen.data.images.Images"],
    ["--model.network", "condgen.models.pixelcnn.PixelCNN"],
], ids=" ".join)  # fmt: skip
def test_a_checkpoint_names_public_paths_alone_however_a_class_was_given(options, make, tmp_path):
    network = ["--model.network.shape=[1,8,8]", "--model.network.levels", "17"] if "--model.network" in options else []
    checkpoint = torch.load(make.trained("pixelcnn_digits", tmp_path, *options, *network), weights_only=True)
    assert checkpoint["format"] == 1
    assert checkpoint["hyper_parameters"]["_class_path"] == "condgen.training.LikelihoodTask"
    assert checkpoint["hyper_parameters"]["network"]["class_path"] == "condgen.models.PixelCNN"
    assert checkpoint["datamodule_hyper_parameters"]["_class_path"] == "condgen.data.Images"


def test_an_adversarial_task_too_is_named_by_its_public_path(make, tmp_path):
    checkpoint = make.trained("cdcgan_digits", tmp_path, "--model", "AdversarialTask")
    assert Checkpoint.open(checkpoint).task_path == "condgen.training.AdversarialTask"


@pytest.mark.parametrize(("format", "said"), [(None, "format none"), (2, "format 2"), ("1", "format 1")])
def test_another_format_is_refused_in_one_line(format, said, altered, tmp_path, one_line):
    path = altered(format=format)
    with pytest.raises(ValueError, match=rf"written by another version of condgen \({said}\); this one reads format 1"):
        Checkpoint.open(path)
    for command in (["sample", "--out", str(tmp_path / "o")], ["evaluate", "--out", str(tmp_path / "o")], ["test"]):
        assert main([*command, "--ckpt_path", path]) == 1
        one_line("altered.ckpt was written by another version of condgen", "train the model again")


@pytest.mark.parametrize("command", ["sample", "evaluate", "test", "fit"])
def test_checkpoints_that_are_broken_or_foreign_are_refused(command, pixelcnn, tmp_path, one_line):
    whole = Path(pixelcnn).read_bytes()
    (tmp_path / "truncated.ckpt").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.ckpt").write_text("not a checkpoint")
    (tmp_path / "empty.ckpt").touch()
    torch.save({"state_dict": {}, "hyper_parameters": {"_class_path": "other.Model"}}, tmp_path / "foreign.ckpt")
    torch.save([1, 2], tmp_path / "list.ckpt")
    config = ["-c", str(ROOT / "configs" / "pixelcnn_digits.yaml")]
    out = config if command in ("fit", "test") else ["--out", str(tmp_path / "o")]
    broken, foreign = "may be truncated", "not a checkpoint of a condgen model"
    cases = {"missing": "does not exist", "truncated": broken, "text": broken, "empty": broken, "foreign": foreign}
    cases["list"] = foreign
    for name, words in cases.items():
        assert main([command, "--ckpt_path", str(tmp_path / f"{name}.ckpt"), *out]) == 1
        one_line(f"{name}.ckpt", words)
    assert not (tmp_path / "o").exists()


def test_a_checkpoint_never_runs_code(tmp_path, one_line):
    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    torch.save(
        {"hyper_parameters": {"_class_path": "condgen.training.LikelihoodTask"}, "trap": Trap()}, tmp_path / "t.ckpt"
    )
    assert main(["sample", "--ckpt_path", str(tmp_path / "t.ckpt"), "--out", str(tmp_path / "o")]) == 1
    one_line("t.ckpt is a pickle that would call")
    assert not (tmp_path / "ran").exists()


OWN = """
from condgen.models import PixelCNN

class Mine(PixelCNN):
    '''A network of one's own.'''
"""


@pytest.fixture
def own(make, tmp_path, monkeypatch):
    """A checkpoint of a network of one's own, and the folder of its module, which is imported from nowhere yet."""
    (tmp_path / "place").mkdir()
    (tmp_path / "place" / "own_network.py").write_text(textwrap.dedent(OWN))
    monkeypatch.syspath_prepend(tmp_path / "place")
    network = ["--model.network", "own_network.Mine", "--model.network.shape=[1,8,8]", "--model.network.levels", "17"]
    checkpoint = make.trained("pixelcnn_digits", tmp_path / "runs", *network)
    monkeypatch.undo()
    sys.modules.pop("own_network", None)
    yield str(checkpoint), tmp_path / "place"
    sys.modules.pop("own_network", None)
    sys.path[:] = [entry for entry in sys.path if entry != str(tmp_path / "place")]


def test_a_network_of_ones_own_is_built_where_its_module_is_trusted(own, tmp_path, monkeypatch, one_line):
    checkpoint, place = own
    monkeypatch.chdir(place)
    options = ["sample", "--ckpt_path", checkpoint, "--condition.digit", "1", "--out", str(tmp_path / "o")]
    assert main(options) == 1
    one_line("last.ckpt names the class own_network.Mine in network", "--trust own_network")
    assert main([*options, "--trust", "own_network"]) == 0
    assert np.load(tmp_path / "o" / "samples.npz")["samples"].shape == (1, 1, 8, 8)
    assert type(load(checkpoint, trust=["own_network"]).model.network).__name__ == "Mine"
    report = ["--num_samples", "20", "--limit", "20", "--classifier_steps", "2", "--out", str(tmp_path / "r")]
    assert main(["evaluate", "--ckpt_path", checkpoint, "--trust", "own_network", *report]) == 0
    assert main(["test", "--ckpt_path", checkpoint, "--trust", "own_network"]) == 0
    assert main(["export", checkpoint, "--out", str(tmp_path / "e"), "--trust", "own_network"]) == 0
    assert type(load(tmp_path / "e", trust=["own_network"]).model.network).__name__ == "Mine"
    with pytest.raises(ValueError, match="--trust own_network"):
        load(tmp_path / "e")


def test_a_trusted_module_that_is_not_there_is_one_line(own, tmp_path, monkeypatch, one_line):
    checkpoint, _ = own
    monkeypatch.chdir(tmp_path)
    options = ["--condition.digit", "1", "--out", str(tmp_path / "o"), "--trust", "own_network"]
    assert main(["sample", "--ckpt_path", checkpoint, *options]) == 1
    one_line("last.ckpt needs the module own_network", f"neither in {tmp_path}", "PYTHONPATH")


def test_a_checkpoint_whose_weights_do_not_fit_is_one_line(altered, tmp_path, one_line):
    network = torch.load(altered(), weights_only=True)["hyper_parameters"]["network"]
    wider = {**network, "init_args": {**network["init_args"], "channels": 8}}
    unknown = {**network, "init_args": {**network["init_args"], "colour": "red"}}
    for task in ({"network": wider}, {"network": unknown}, {"conditioning": "bent"}):
        with pytest.raises(ValueError, match="does not fit this version of condgen"):
            load(altered(task))
    options = ["--condition.digit", "1", "--out", str(tmp_path / "o")]
    assert main(["sample", "--ckpt_path", altered({"network": unknown}), *options]) == 1
    one_line("does not fit this version of condgen", "colour")


def test_sampling_loads_neither_lightning_nor_what_it_brings(pixelcnn, cdcgan, tmp_path):
    code = textwrap.dedent(f"""
        import sys
        from condgen.cli import main
        for name in {[pixelcnn, cdcgan]!r}:
            options = ["--condition.digit", "1", "--overwrite", "--out", {str(tmp_path / "o")!r}]
            assert main(["sample", "--ckpt_path", name, *options]) == 0
        print(*sys.modules, file=sys.stderr)
    """)
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stderr.split()
    assert "condgen.commands.sample" in found
    heavy = {"pytorch_lightning", "lightning", "lightning_utilities", "torchmetrics", "torchvision", "torchaudio",
             "librosa", "sklearn", "matplotlib", "torch._dynamo", "torch._inductor", "condgen.training"}  # fmt: skip
    assert not heavy & set(found)


def test_images_are_drawn_from_a_checkpoint_of_a_run_without_a_data_module(altered, tmp_path):
    path = altered()
    content = torch.load(path, weights_only=True)
    del content["datamodule_hyper_parameters"]
    torch.save(content, path)
    options = ["--ckpt_path", path, "--condition.digit", "3", "--out", str(tmp_path / "o")]
    assert main(["sample", *options]) == 0
    assert np.load(tmp_path / "o" / "samples.npz")["samples"].shape == (1, 1, 8, 8)


NEW = {
    "a mechanism for each condition": ("wavenet_fsdd", "bias of digit, film of speaker, gate of position", [
        "--model.conditioning", "{digit: bias, speaker: film, position: gate}", "--model.post_multiplier", "true",
        "--model.condition_dropout", "0.5"]),
    "by dotted keys, and squeezed": ("cdcgan_digits", "scale of digit", [
        "--model.conditioning.digit", "scale", "--model.discriminator_conditioning.digit", "film",
        "--model.network.squeeze", "2", "--model.discriminator.squeeze", "2"]),
}  # fmt: skip


@pytest.mark.parametrize("kind", NEW)
def test_mechanisms_multipliers_and_squeezes_are_kept(kind, make, tmp_path):
    config, words, options = NEW[kind]
    data = make.spoken_digits(tmp_path) if config == "wavenet_fsdd" else []
    path = make.trained(config, tmp_path, *data, *options)
    checkpoint = Checkpoint.open(path)
    live, task = checkpoint.model("live"), checkpoint.task()
    generator = live.film_generator
    assert in_words({name: generator.mechanisms[name] for name in generator.conditioning}) == words
    assert (generator.post is not None) == ("--model.post_multiplier" in options)
    trained_ = {"wavenet_fsdd": lambda: task.model, "cdcgan_digits": lambda: task.generator}[config]().state_dict()
    assert {*trained_} == {*live.state_dict()}
    assert dict(card(checkpoint))["mechanism"].startswith(words)
    out = ["--out", str(tmp_path / "drawn"), "--condition.digit", "1"]
    speech = ["--condition.speaker", "theo", "--seconds", "0.02", "--guidance", "1"] if data else []
    assert main(["sample", "--ckpt_path", str(path), *out, *speech]) == 0


WORDS = ["a", "small", "seven", "left"]


@pytest.mark.parametrize("network", [PixelCNN((1, 4, 4), 4, layers=2, channels=4, head=4),
                                     WaveNet(levels=8, channels=4, dilations=[1, 2])])  # fmt: skip
def test_a_model_that_attends_to_captions_is_rebuilt_with_its_memories_and_can_be_guided(network):
    encoders = {"caption": TokenSequence(6, WORDS), "digit": ClassEmbedding(4, names=["x", "y"])}
    task = LikelihoodTask(network, encoders, {"caption": "film", "digit": "bias"}, film_generator="multi_hop",
                          post_multiplier=True, condition_dropout=0.2, film_start="small")  # fmt: skip
    content = {"state_dict": task.state_dict(), "hyper_parameters": dict(task.hparams)}
    write_format(content)
    model = as_likelihood(Checkpoint(Path("x.ckpt"), content).model())
    ours, theirs = task.model.state_dict(), model.state_dict()
    assert {*ours} == {*theirs}
    assert "film_generator.memory.caption.query" in ours
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    length = {"length": 9} if task.model.network.sample_rate else {}
    asked = {"caption": ["small seven", "a left small seven"], "digit": ["x", "y"]}
    drawn = [sample(model, asked, engine=engine, guidance=1.0, progress=False, **length).x
             for engine in ("naive", "cached", "compiled")]  # fmt: skip
    assert all(torch.equal(x, drawn[0]) for x in drawn)
