"""`condgen adapt`: the new class is learnt from what its examples say, every old one stays as it was to the last bit,
the result takes the place of a checkpoint everywhere, and what is wrong is one line."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

import condgen
from condgen.checkpoint import Checkpoint
from condgen.cli import main
from condgen.commands.given_examples import NewClass, examples_of
from condgen.commands.grown import adaptable, grown
from condgen.commands.measuring import data_of
from condgen.evaluation.likelihood import likelihood

WHATS = ("embedding", "film")
whats = pytest.mark.parametrize("what", WHATS)


def run(model, out, examples, *options, steps=3):
    return main(["adapt", str(model), "--out", str(out), "--examples", *map(str, examples), "--steps", str(steps),
                 "--device", "cpu", *options])  # fmt: skip


@pytest.fixture(scope="session")
def ann(recordings, tmp_path_factory):
    """Recordings of a new speaker, named by the rule of the data; those of another lie beside them."""
    folder = tmp_path_factory.mktemp("ann")
    for digit in (0, 1):
        for take in (0, 6, 7):
            shutil.copyfile(recordings / f"{digit}_theo_{take}.wav", folder / f"{digit}_ann_{take}.wav")
    shutil.copyfile(recordings / "0_george_6.wav", folder / "0_bob_6.wav")
    return folder


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    for i in range(3):
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (16, 16)).astype(np.uint8)).save(folder / f"{i}.png")
    return folder


@pytest.fixture(scope="session")
def adapted(trained, ann, pictures, tmp_path_factory):
    """Adapt a small trained model of a kind once; return the folder."""
    made = {}

    def folder(kind, what):
        if (kind, what) not in made:
            made[kind, what] = tmp_path_factory.mktemp("adapted") / "new"
            options = {"wavenet_fsdd": ([ann], "--condition.speaker", "ann"),
                       "pixelcnn_digits": ([pictures], "--condition.digit", "ten")}[kind]  # fmt: skip
            assert run(trained(kind), made[kind, what], *options, "--what", what) == 0
        return made[kind, what]

    return folder


def every(model):
    names = {name: encoder.names for name, encoder in model.encoders.items() if encoder.classes is not None}
    grid = torch.cartesian_prod(*(torch.arange(len(known)) for known in names.values()))
    ids = dict(zip(names, grid.view(-1, len(names)).T, strict=True))
    local = {"position": torch.rand(1, 10, 3, generator=torch.Generator().manual_seed(0))}
    return {**ids, **{name: value for name, value in local.items() if name in model.encoders}}


@whats
@pytest.mark.parametrize("kind", ["wavenet_fsdd", "pixelcnn_digits"])
def test_old_classes_are_equal_to_the_last_bit_and_the_new_one_comes_last(trained, adapted, kind, what):
    old, new = condgen.load(trained(kind)), condgen.load(adapted(kind, what))
    condition, name = {"wavenet_fsdd": ("speaker", "ann"), "pixelcnn_digits": ("digit", "ten")}[kind]
    assert new.conditions == {**old.conditions, condition: [*old.conditions[condition], name]}
    conditions = every(old.model)
    assert torch.equal(old.film(conditions).flatten(), new.film(conditions).flatten())
    length = {} if kind == "pixelcnn_digits" else {"length": [240]}
    for engine in ("naive", "cached", "compiled"):
        drawn = [condgen.sampling.sample(m.model, conditions, seed=4, engine=engine, **length) for m in (old, new)]
        assert torch.equal(drawn[0].x, drawn[1].x)
        assert torch.equal(drawn[0].log_prob, drawn[1].log_prob)


@whats
def test_the_new_class_is_drawn_by_every_engine_alike_and_is_another_one(adapted, what):
    model = condgen.load(adapted("wavenet_fsdd", what))
    drawn = {engine: model.sample(speaker="ann", digit=["0", "1"], seconds=0.03, engine=engine).x
             for engine in ("naive", "cached", "compiled")}  # fmt: skip
    assert torch.equal(drawn["naive"], drawn["cached"])
    assert torch.equal(drawn["naive"], drawn["compiled"])
    film = model.film(speaker=["ann", "theo"], digit="0", seconds=0.03)
    assert not torch.equal(film.select(0).flatten(), film.select(1).flatten())
    assert bool(model.checkpoint.hyper_parameters["adapted"]) == (what == "film")


@whats
def test_every_command_takes_the_result(adapted, tmp_path, what, capsys):
    model = adapted("wavenet_fsdd", what)
    assert main(["sample", str(model), "--condition.speaker", "ann", "--condition.digit", "1", "--seconds", "0.03",
                 "--out", str(tmp_path / "s")]) == 0  # fmt: skip
    assert (tmp_path / "s" / "speaker=ann_digit=1_0000.wav").is_file()
    assert "no training examples" not in capsys.readouterr().err
    assert main(["show", str(model)]) == 0
    assert "george, theo, ann" in capsys.readouterr().out
    assert main(["export", str(model), "--out", str(tmp_path / "e")]) == 0
    exported = Checkpoint.open(tmp_path / "e").model()
    close = [condgen.load(m).film(speaker="ann", digit="0", seconds=0.03).flatten() for m in (model, tmp_path / "e")]
    torch.testing.assert_close(*close, rtol=1e-2, atol=1e-3)
    assert exported.encoders["speaker"].names == ["george", "theo", "ann"]
    card = (model / "README.md").read_text()
    assert "condgen adapt" in card
    assert str(model.parent) not in card
    facts = json.loads((model / "config.json").read_text())["adapted"]
    assert (facts["class"], facts["what"], facts["examples"]) == ("ann", what, 6)


def test_data_with_the_new_class_or_only_with_the_old_ones_measure_the_result(adapted, recordings, ann, tmp_path):
    """The data list ann first, and the model last: each clip must be scored and read as its own speaker's."""
    everyone = tmp_path / "everyone"
    shutil.copytree(recordings, everyone)
    for clip in ann.glob("*_ann_*.wav"):
        shutil.copyfile(clip, everyone / clip.name)
    new = Checkpoint.open(adapted("wavenet_fsdd", "film"))
    model = new.model()
    for folder, speakers in ((everyone, ["ann", "george", "theo"]), (recordings, ["george", "theo"])):
        changes = {"source": {"root": str(folder)}, "cache": str(tmp_path / "cache")}
        data = data_of(new, model, changes)
        assert data.source.names["speaker"] == speakers
        assert data.names["speaker"] == model.encoders["speaker"].names == ["george", "theo", "ann"]
        ids = data.class_ids("test")["speaker"].tolist()
        assert [data.names["speaker"][i] for i in ids] == [c.labels["speaker"] for c in data.source.clips("test")]
        assert likelihood(model, data, batch_size=4).examples == len(ids)


@pytest.mark.parametrize("second", WHATS)
@whats
def test_a_second_class_leaves_the_first_as_it_was(adapted, ann, tmp_path, what, second, capsys):
    first = adapted("wavenet_fsdd", what)
    assert run(first, tmp_path / "two", [ann / "0_bob_6.wav"], "--condition.speaker", "bob", "--what", second,
               "--average_of", "ann") == 0  # fmt: skip
    old, new = condgen.load(first), condgen.load(tmp_path / "two")
    assert new.conditions["speaker"] == ["george", "theo", "ann", "bob"]
    conditions = every(old.model)
    assert torch.equal(old.film(conditions).flatten(), new.film(conditions).flatten())
    if second == "film":  # it starts as the class that it is the average of, its offset included
        start = grown(Checkpoint.open(first), adaptable(Checkpoint.open(first)), "speaker", "bob", "ann", "film")
        film = start.model().film({**conditions, "speaker": torch.tensor([2, 3]), "digit": torch.zeros(1).long()})
        assert torch.equal(film.select(0).flatten(), film.select(1).flatten())


@pytest.fixture
def prepared(trained, tmp_path):
    """Prepare examples of a new speaker as the command does."""

    def read(paths, given=None, name="ann"):
        checkpoint = Checkpoint.open(trained("wavenet_fsdd"))
        start = grown(checkpoint, adaptable(checkpoint), "speaker", name, "all", "embedding")
        new = NewClass("speaker", name)
        return examples_of(start, start.model(), new, [str(p) for p in paths], given or {}, tmp_path / "cache")

    return read


def digits_of(examples):
    batch = examples.__getitems__(range(len(examples)))
    assert batch.conditions["speaker"].tolist() == [2] * len(examples)
    return batch.conditions["digit"].tolist()


def test_examples_are_prepared_as_training_clips_are_and_keep_their_digits(prepared, ann, recordings, trained, capsys):
    examples = prepared([ann])
    assert "left out 1 examples of bob" in capsys.readouterr().err
    assert digits_of(examples) == [int(Path(file).name[0]) for file in examples.store.files]
    assert sorted(digits_of(examples)) == [0, 0, 0, 1, 1, 1]
    data = Checkpoint.open(trained("wavenet_fsdd")).data({"root": str(recordings)})
    data.setup()
    train = data.dataset("train")
    for row, file in enumerate(examples.store.files):
        digit, _, take = Path(file).stem.split("_")
        same = [i for i, f in enumerate(train.store.files) if Path(f).name == f"{digit}_theo_{take}.wav"]
        assert bool(same) == (int(take) > 5)
        if same:
            ours, theirs = examples.__getitems__([row]), train.__getitems__(same)
            assert torch.equal(ours.x, theirs.x)
            assert torch.equal(ours.scored, theirs.scored)
            assert torch.equal(ours.conditions["position"], theirs.conditions["position"])
            assert torch.equal(ours.conditions["digit"], theirs.conditions["digit"])


def test_digits_come_from_the_names_of_files_or_an_option_or_a_table(prepared, ann, tmp_path, capsys):
    chosen = [ann / "1_ann_6.wav", ann / "0_ann_7.wav"]
    assert sorted(digits_of(prepared(chosen))) == [0, 1]
    assert digits_of(prepared(chosen, {"digit": "1"})) == [1, 1]
    for i, path in enumerate(chosen):
        shutil.copyfile(path, tmp_path / f"{i}.wav")
    assert digits_of(prepared([tmp_path / "0.wav", tmp_path / "1.wav"], {"digit": "0"}, "eve")) == [0, 0]
    (tmp_path / "table.csv").write_text("path,digit\n0.wav,01\n1.wav,0\n")
    assert digits_of(prepared([tmp_path / "table.csv"], name="eve")) == [1, 0]
    (tmp_path / "table.csv").write_text("path,digit,speaker\n0.wav,1,eve\n1.wav,0,bob\n")
    assert digits_of(prepared([tmp_path / "table.csv"], name="eve")) == [1]


def test_another_rate_is_converted_and_said(prepared, tmp_path, capsys):
    soundfile.write(tmp_path / "0_ann_1.wav", 0.5 * np.sin(np.arange(3200) / 9), 16_000)
    assert prepared([tmp_path / "0_ann_1.wav"]).lengths.tolist() == [1600]
    assert "the examples have 16,000 samples per second; converted to 8,000" in capsys.readouterr().err


def test_more_steps_lower_the_loss_of_the_new_class(trained, ann, tmp_path):
    options = ["--condition.speaker", "ann", "--learning_rate", "1", "--prior", "0"]
    for what in WHATS:
        assert run(trained("wavenet_fsdd"), tmp_path / what, [ann], *options, "--what", what, steps=12) == 0
        before, after = json.loads((tmp_path / what / "config.json").read_text())["adapted"]["bits"]
        assert after < before


def test_pictures_are_framed_and_levelled_as_the_models(trained, pictures, tmp_path):
    checkpoint = Checkpoint.open(trained("pixelcnn_digits"))
    start = grown(checkpoint, adaptable(checkpoint), "digit", "ten", "all", "embedding")
    paths = [str(pictures)]
    found = examples_of(start, start.model(), NewClass("digit", "ten"), paths, {}, tmp_path).__getitems__([0, 1, 2])
    assert found.conditions["digit"].tolist() == [10] * 3
    with Image.open(pictures / "1.png") as picture:
        small = np.asarray(picture.resize((8, 8), Image.Resampling.BICUBIC)).astype(int)
    assert np.array_equal(found.x[1, 0].numpy(), (small * 16 + 127) // 255)


@pytest.mark.parametrize(("options", "words"), [
    (["--condition.speaker", "theo"], ["'theo' of 'speaker' is given", "NAME, which the model does not know"]),
    (["--condition.speaker", "1"], ["'1' of 'speaker' is given"]),  # a position
    ([], ["the new class is to be named: give --condition.speaker NAME", "george, theo"]),
    (["--condition.speaker", "ann", "--condition.digit", "7"], ["'ann' of 'speaker' and '7' of 'digit' are new"]),
    (["--condition.position", "new"], ["condition 'position' has no classes"]),
    (["--condition.melody", "new"], ["has no condition 'melody'; its conditions: speaker, digit, position"]),
    (["--condition.speaker", "all"], ["'all' of 'speaker' is given"]),
    (["--condition.speaker", " "], ["a class cannot be called ''"]),
    (["--condition.speaker", "a/b"], ["a class cannot be called 'a/b'"]),
    (["--condition.speaker", "ann", "--average_of", "theo,zoe"], ["--average_of theo,zoe", "has no class 'zoe'"]),
    (["--condition.speaker", "zoe"], ["none of the examples is of speaker 'zoe'; they are of ann, bob"]),
    (["--condition.speaker", "ann", "--condition.digit", "all"], ["'all' means 2 classes"]),
    (["--condition.speaker", "ann", "--learning_rate", "-1"], ["learning_rate -1.0 is not more than 0"]),
    (["--condition.speaker", "ann", "--what", "all"], ["what"]),
])  # fmt: skip
def test_what_is_asked_wrongly_is_one_line_and_writes_nothing(trained, ann, tmp_path, one_line, options, words):
    assert run(trained("wavenet_fsdd"), tmp_path / "new", [ann], *options) == 1
    one_line(*words)
    assert not list(tmp_path.iterdir())


def bad_recordings(folder):
    tone = 0.5 * np.sin(np.arange(800) / 9)
    soundfile.write(folder / "0_ann_0.wav", tone[:40], 8000)
    soundfile.write(folder / "0_ann_1.wav", np.zeros(800), 8000)
    soundfile.write(folder / "0_ann_2.wav", np.stack([tone, tone], 1), 8000)
    soundfile.write(folder / "hello.wav", tone, 8000)
    (folder / "0_ann_3.wav").write_text("no sound")
    (folder / "empty").mkdir()
    return folder


@pytest.mark.parametrize(("names", "words"), [
    (["0_ann_0.wav"], ["has 40 samples, fewer than the 80"]), (["0_ann_1.wav"], ["silent, no peak", "0_ann_1.wav"]),
    (["0_ann_2.wav"], ["0_ann_2.wav"]), (["0_ann_3.wav"], ["0_ann_3.wav"]), (["none.wav"], ["none.wav does not exist"]),
    (["hello.wav"], ["hello.wav is not named digit_speaker_take.wav", "give --condition.digit"]),
    (["empty"], ["there are no recordings in", "give some examples"]),
])  # fmt: skip
def test_recordings_that_cannot_be_used_are_one_line(trained, tmp_path, one_line, names, words):
    folder = bad_recordings(tmp_path)
    own = tmp_path / "own"
    own.mkdir()
    for name in names:
        if (folder / name).is_file():
            shutil.copyfile(folder / name, own / name)
    paths = [own / name if (own / name).exists() else folder / name for name in names]
    assert run(trained("wavenet_fsdd"), tmp_path / "new", paths, "--condition.speaker", "ann") == 1
    one_line(*words)
    assert not (tmp_path / "new").exists()


def test_models_without_a_class_or_a_likelihood_are_one_line(trained, ann, pictures, altered, tmp_path, one_line):
    assert run(trained("cdcgan_digits"), tmp_path / "new", [pictures], "--condition.digit", "ten") == 1
    one_line("holds an adversarial generator, which gives examples no likelihood", "condgen fit --weights")
    content = torch.load(trained("pixelcnn_digits"), weights_only=True)
    state = {k: v for k, v in content["state_dict"].items() if "film_generator" not in k}
    settings = {**content["hyper_parameters"], "conditions": None, "conditioning": "none"}
    torch.save({**content, "hyper_parameters": settings, "state_dict": state}, tmp_path / "none.ckpt")
    assert run(tmp_path / "none.ckpt", tmp_path / "new", [pictures], "--condition.digit", "ten") == 1
    one_line("has no condition with classes", "none, it is unconditional")
    assert not (tmp_path / "new").exists()


def test_pictures_of_another_shape_and_files_that_are_none_are_one_line(trained, pictures, tmp_path, one_line):
    np.save(tmp_path / "large.npy", np.zeros((1, 9, 9), int))
    np.save(tmp_path / "levels.npy", np.full((1, 8, 8), 17))
    (tmp_path / "text.png").write_text("no picture")
    for name, words in (("large.npy", "is of shape (1, 9, 9), and the model of (1, 8, 8)"), ("levels.npy", "17"),
                        ("text.png", "text.png is not a readable image")):  # fmt: skip
        assert run(trained("pixelcnn_digits"), tmp_path / "new", [tmp_path / name], "--condition.digit", "ten") == 1
        one_line(words)
    assert not (tmp_path / "new").exists()


def test_an_output_folder_with_something_in_it_is_not_replaced_but_a_result_is(trained, pictures, tmp_path, one_line):
    options = ["--condition.digit", "ten"]
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "note.txt").write_text("mine")
    assert run(trained("pixelcnn_digits"), tmp_path / "new", [pictures], *options, "--overwrite") == 1
    one_line("holds more than results")
    (tmp_path / "new" / "note.txt").unlink()
    for more in ([], ["--overwrite"]):
        assert run(trained("pixelcnn_digits"), tmp_path / "new", [pictures], *options, *more) == 0
    assert run(trained("pixelcnn_digits"), tmp_path / "new", [pictures], *options) == 1
    one_line("is not empty")
