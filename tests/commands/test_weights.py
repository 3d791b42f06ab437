"""Weights of an earlier run in a new one: what belongs to a name ends at that name, wherever it stood before."""

from pathlib import Path

import pytest
import torch

from condgen.checkpoint import Checkpoint
from condgen.commands.weights import start_from
from condgen.conditioning import ClassEmbedding, FeatureVector, LinguisticSequence
from condgen.models import Discriminator, Generator, PixelCNN, WaveNet
from condgen.training import AdversarialTask, LikelihoodTask

ORDERS = [(["a", "b", "c"], ["c", "a", "b"]), (["a", "b", "c"], ["b", "d"]), (["a", "b"], ["x", "b", "a", "y"]),
          (["a", "b"], ["x", "y"])]  # fmt: skip


def pixelcnn(names, encoder=ClassEmbedding, dropout=0.0, adapted=None):
    network = PixelCNN((1, 4, 4), levels=3, channels=2, layers=1, head=2)
    conditions = {"kind": encoder(features=4, names=names)}
    return LikelihoodTask(network, conditions, condition_dropout=dropout, adapted=adapted)


def wavenet(names):
    network = WaveNet(8, channels=2, dilations=[1], head=2, hop=2, sample_rate=100)
    return LikelihoodTask(network, {"kind": LinguisticSequence(4, names, embedding=3)})


def cdcgan(conditioning):
    def build(names):
        networks = Generator((1, 8, 8), levels=3, noise=2, channels=2), Discriminator((1, 8, 8), channels=2)
        conditions = {"kind": ClassEmbedding(4, names=names)}
        return AdversarialTask(*networks, conditions, discriminator_conditioning=conditioning)

    return build


def tags(names):
    return pixelcnn(names, FeatureVector)


def kept(task, **more):
    """A checkpoint of a task, all of whose entries are planted: no two are equal."""
    state = {name: torch.arange(value.numel(), dtype=torch.float32).view(value.shape) + 1000 * i
             for i, (name, value) in enumerate(task.state_dict().items())}  # fmt: skip
    stored = {"_class_path": f"condgen.training.{type(task).__name__}", **task.hparams}
    return Checkpoint(Path("old.ckpt"), {"state_dict": state, "hyper_parameters": stored, **more})


BUILDS = {"pixelcnn": (pixelcnn, 1), "wavenet": (wavenet, 1), "tags": (tags, 1),
          **{name: (cdcgan(name), 3) for name in ("projection", "film", "auxiliary")}}  # fmt: skip


@pytest.mark.parametrize(("old", "new"), ORDERS)
@pytest.mark.parametrize("kind", BUILDS)
def test_a_row_of_a_name_ends_at_that_name_and_others_stay_as_they_were(kind, old, new):
    """Of the average, the generator, the discriminator, and its auxiliary classifier."""
    build, tables = BUILDS[kind]
    checkpoint, task = kept(build(old)), build(new)
    before = {name: value.clone() for name, value in task.state_dict().items()}
    start_from(task, checkpoint)
    found = set()
    for name, value in task.state_dict().items():
        planted = checkpoint.content["state_dict"][name]
        axis = 1 if name.endswith("kind.linear.weight") else 0
        if not name.endswith(("kind.embedding.weight", "kind.linear.weight")) and ".classify." not in name:
            assert torch.equal(value, planted), name
            continue
        found.add(name.removesuffix(".weight").removesuffix(".bias"))
        for i, row in enumerate(new):
            expected = planted.select(axis, old.index(row)) if row in old else before[name].select(axis, i)
            assert torch.equal(value.select(axis, i), expected), (name, row)
    assert len(found) == tables


def test_what_is_new_and_what_is_left_is_said_one_line_each_and_what_was_learned_counts(capsys):
    checkpoint = kept(pixelcnn(["a", "b"]), class_examples={"kind": {"a": 3, "b": 0}})
    task = pixelcnn(["c", "a"])
    start_from(task, checkpoint)
    assert capsys.readouterr().err.splitlines() == [
        "condgen: condition 'kind': new, and untrained: c", "condgen: condition 'kind': left in old.ckpt: b",
    ]  # fmt: skip
    assert task.class_examples == {"kind": {"a": 3, "b": 0}}
    start_from(pixelcnn(["b", "a"]), checkpoint)
    assert capsys.readouterr().err == ""


def test_what_does_not_fit_is_one_line():
    wider = LikelihoodTask(PixelCNN((1, 4, 4), levels=3, channels=2, layers=1, head=2),
                           {"kind": ClassEmbedding(5, names=["a", "b"])})  # fmt: skip
    with pytest.raises(ValueError, match=r"old\.ckpt does not fit this model: ") as found:
        start_from(wider, kept(pixelcnn(["a", "b"])))
    assert str(found.value).endswith(": model.conditions.kind.features is 5, there 4")


@pytest.mark.parametrize(("changes", "words"), [
    ({"levels": 4}, "model.network.levels is 4, there 3"),
    ({"channels": 3, "layers": 2}, "model.network.channels is 3, there 2; model.network.layers is 2, there 1"),
])  # fmt: skip
def test_every_setting_that_contradicts_is_named(changes, words):
    network = PixelCNN((1, 4, 4), **{"levels": 3, "channels": 2, "layers": 1, "head": 2, **changes})
    task = LikelihoodTask(network, {"kind": ClassEmbedding(4, names=["a", "b"])})
    with pytest.raises(ValueError, match="does not fit this model: ") as found:
        start_from(task, kept(pixelcnn(["a", "b"])))
    assert str(found.value).endswith(f": {words}")


def test_settings_that_differ_and_fit_are_said(capsys):
    network = PixelCNN((1, 6, 6), levels=3, channels=2, layers=1, head=2)
    task = LikelihoodTask(network, {"kind": ClassEmbedding(4, names=["a", "b"])})
    start_from(task, kept(pixelcnn(["a", "b"])))
    assert capsys.readouterr().err == (
        "condgen: other than in old.ckpt: model.network.shape is [1, 6, 6], there [1, 4, 4]\n"
    )  # fmt: skip


def two(names, conditioning="film"):
    networks = Generator((1, 8, 8), levels=3, noise=2, channels=2), Discriminator((1, 8, 8), channels=2)
    conditions = {name: ClassEmbedding(4, names=["a", "b"]) for name in names}
    return AdversarialTask(*networks, conditions, conditioning=conditioning, discriminator_conditioning="projection")


@pytest.mark.parametrize("build", [two, lambda names: LikelihoodTask(
    PixelCNN((1, 4, 4), levels=3, channels=2, layers=1, head=2),
    {name: ClassEmbedding(4, names=["a", "b"]) for name in names}, "concat")])  # fmt: skip
def test_conditions_that_come_and_go_leave_all_others_carried_over(build, capsys):
    checkpoint, task = kept(build(["kind", "old"])), build(["kind", "fresh"])
    before = {name: value.clone() for name, value in task.state_dict().items()}
    start_from(task, checkpoint)
    fresh = {name for name in before if ".fresh." in name}
    assert fresh
    for name, value in task.state_dict().items():
        assert torch.equal(value, before[name] if name in fresh else checkpoint.content["state_dict"][name]), name
    assert capsys.readouterr().err.splitlines() == [
        "condgen: conditions: new, and untrained: fresh", "condgen: conditions: left in old.ckpt: old",
    ]  # fmt: skip


@pytest.mark.parametrize(("before", "after"), [(0.0, 0.1), (0.1, 0.0), (0.1, 0.2)])
def test_a_run_may_begin_or_cease_to_drop_conditions(before, after):
    old, task = kept(pixelcnn(["a", "b"], dropout=before)), pixelcnn(["a", "b"], dropout=after)
    start_from(task, old)
    own, theirs = task.state_dict(), old.content["state_dict"]
    none = "model.film_generator.none.kind"
    assert (none in own) == bool(after)
    for key, value in own.items():
        expected = theirs.get(key, torch.zeros_like(value) if key == none else None)
        assert torch.equal(value, expected), key


def test_adapted_classes_are_carried_into_a_model_that_has_them_and_left_by_one_that_has_not(capsys):
    names, adapted = ["a", "b"], {"kind": ["b"]}
    checkpoint = kept(pixelcnn(names, adapted=adapted))
    start_from(with_them := pixelcnn(names, adapted=adapted), checkpoint)
    assert all(
        torch.equal(value, checkpoint.content["state_dict"][key]) for key, value in with_them.state_dict().items()
    )
    assert "of classes' own" not in capsys.readouterr().err
    start_from(without := pixelcnn(names), checkpoint)
    assert all(torch.equal(value, checkpoint.content["state_dict"][key]) for key, value in without.state_dict().items())
    assert "FiLM parameters of classes' own: left in old.ckpt: b" in capsys.readouterr().err
    start_from(begun := pixelcnn(names, adapted=adapted), kept(pixelcnn(names)))
    assert not begun.model.film_generator.offsets["kind"].numbers.any()


def separate(speaker, digit, **options):
    network = PixelCNN((1, 4, 4), levels=3, channels=2, layers=1, head=2)
    conditions = {name: ClassEmbedding(4, names=["a", "b"]) for name in ("speaker", "digit")}
    one = speaker if speaker == digit else {"speaker": speaker, "digit": digit}
    return LikelihoodTask(network, conditions, one, **options)


@pytest.mark.parametrize(("ours", "theirs", "options", "words"), [
    (("bias", "film"), ("bias", "scale"), {}, "model.conditioning.digit is film, there scale"),
    (("bias", "film"), ("bias", "bias"), {}, "model.conditioning.digit is film, there bias"),
    (("bias", "bias"), ("bias", "film"), {}, "model.conditioning.digit is bias, there film"),
    (("bias", "film"), ("bias", "film"), {"post_multiplier": True}, "model.post_multiplier is True, there False"),
])  # fmt: skip
def test_the_condition_whose_mechanism_is_another_is_named(ours, theirs, options, words):
    with pytest.raises(ValueError, match="does not fit this model: ") as found:
        start_from(separate(*ours, **options), kept(separate(*theirs)))
    assert str(found.value).endswith(f": {words}")


def test_each_condition_s_own_heads_are_carried_over():
    task, old = separate("gate", "film"), separate("gate", "film")
    start_from(task, kept(old))
    state = kept(old).content["state_dict"]
    assert all(torch.equal(value, state[name]) for name, value in task.state_dict().items())
