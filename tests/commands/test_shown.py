"""Conditions that are told in words, or shown by a recording or a picture, in every command."""

import itertools
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

import condgen
from condgen.checkpoint import Checkpoint
from condgen.cli import main
from condgen.commands.playing import Choices, Playground, answer
from condgen.data import Images
from condgen.data.captions import CaptionedDigits

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
CAPTION = "a small seven on the left"


@pytest.fixture(scope="module")
def place(tmp_path_factory, make):
    """A folder with recordings of two speakers, whose clips differ in pitch, and files that are none."""
    folder = tmp_path_factory.mktemp("shown")
    for digit, (number, speaker), take in itertools.product(range(2), enumerate(("george", "theo")), range(7)):
        make.tone(folder / "fsdd" / f"{digit}_{speaker}_{take}.wav", 150 + 90 * number + 300 * digit, 1600)
    wide = np.stack([np.sin(np.arange(22050) / 20), np.zeros(22050)], 1) / 2
    soundfile.write(folder / "wide.wav", wide, 44100)
    soundfile.write(folder / "short.wav", np.sin(np.arange(200) / 2) / 2, 8000)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)).save(folder / "x.png")
    for name in ("words.wav", "words.png"):
        (folder / name).write_text("words")
    return folder


@pytest.fixture(scope="module")
def model(place, make):
    """Train a small model of a kind: `voice`, `caption` or `picture`."""
    text = (CONFIGS / "pixelcnn_digits.yaml").read_text()
    kind = "class_path: condgen.conditioning.ImageEncoder\n        init_args: {channels: 1, width: 4}"
    told = "digit:\n        class_path: condgen.conditioning.ClassEmbedding\n        init_args: {features: 16}"
    shown = place / "pixelcnn_picture.yaml"
    shown.write_text(
        text.replace(told, f"picture:\n        {kind}").replace("batch_size", "picture_of: digit\n    batch_size")
    )
    voice = ["--data.source.root", str(place / "fsdd"), "--data.cache", str(place / "cache")]
    small = ["--data.source.copies", "1", "--data.batch_size", "8"]
    kinds = {"voice": ("wavenet_fsdd_voice", voice), "caption": ("pixelcnn_captions", small), "picture": (shown, [])}
    return cache(lambda kind: str(make.trained(kinds[kind][0], place / kind, *kinds[kind][1])))


def drawn(path, out, *options):
    assert main(["sample", path, *options, "--out", str(out)]) == 0
    with np.load(out / "samples.npz") as arrays:
        return dict(arrays)


def test_a_voice_is_measured_in_a_file_as_in_training(place, model, tmp_path):
    path, shown = model("voice"), place / "fsdd" / "1_theo_6.wav"
    asked = ["--condition.digit", "1", "--condition.voice", f"{shown},{place / 'wide.wav'}", "--seconds", "0.02"]
    found = drawn(path, tmp_path / "a", *asked)
    assert found["samples"].shape == (2, 1, 160)
    data = Checkpoint.open(path).data({"cache": str(place / "cache")})
    data.setup("fit")
    store = data.stores["train"]
    row = [Path(file).name for file in store.files].index(shown.name)
    begin, end = (int(store.ends[row + i]) // 80 for i in (0, 1))
    frames = torch.from_numpy(np.array(store.frames["voice"][begin:end])).T
    assert torch.allclose(torch.from_numpy(found["voice"][0])[:, : end - begin], frames, atol=1e-5)
    assert not found["voice"][0][:, end - begin :].any()  # it is shorter than the other


def test_captions_are_drawn_each_with_its_words(model, tmp_path):
    found = drawn(model("caption"), tmp_path / "a", "--condition.caption", f"{CAPTION}; the Two, large")
    words = CaptionedDigits().words["caption"]
    assert [[words[i - 1] for i in row if i] for row in found["caption"].tolist()] == [
        CAPTION.split(), ["the", "two", "large"],
    ]  # fmt: skip
    assert sorted(path.name for path in (tmp_path / "a").glob("caption*")) == [
        "caption=a-small-seven-on-the-left_0000.png", "caption=the-Two--large_0001.png",
    ]  # fmt: skip


def test_a_picture_is_brought_to_the_size_and_levels_of_training(place, model, tmp_path):
    found = drawn(model("picture"), tmp_path / "a", "--condition.picture", str(place / "x.png"))
    assert found["picture"].shape == (1, 1, 8, 8)
    assert 0 <= found["picture"].min() < found["picture"].max() <= 1
    assert np.allclose(found["picture"] * 16, np.round(found["picture"] * 16))


@pytest.mark.parametrize(("kind", "condition", "word", "said"), [
    ("voice", "voice", "{}/short.wav", "short.wav lasts 0.020 s, and a recording that shows a voice must last"),
    ("voice", "voice", "{}/words.wav", "words.wav is not a readable audio file"),
    ("voice", "voice", "{}/none.wav", "none.wav does not exist"),
    ("caption", "caption", "a smal seven", "condition 'caption' has no word 'smal' (did you mean small?); its words"),
    ("caption", "caption", " ", "condition 'caption' is without words"),
    ("picture", "picture", "{}/words.png", "words.png is not a readable image"),
    ("picture", "picture", "seven", "seven does not exist; give a picture"),
])  # fmt: skip
def test_what_shows_or_tells_nothing_is_refused_in_one_line(
    kind, condition, word, said, place, model, one_line, tmp_path
):
    own = ["--condition.digit", "1", "--seconds", "0.02"] if kind == "voice" else []
    asked = [f"--condition.{condition}", word.format(place), *own, "--out", str(tmp_path / "a")]
    assert main(["sample", model(kind), *asked]) != 0
    one_line(said)
    assert not (tmp_path / "a").exists()


def test_what_is_missing_is_asked_for_in_words(model, one_line, tmp_path):
    asked = {"voice": "an audio file", "caption": "a caption of words among a, bottom,", "picture": "a picture, or"}
    for kind, words in asked.items():
        own = ["--condition.digit", "1"] if kind == "voice" else []
        assert main(["sample", model(kind), *own, "--out", str(tmp_path / "a")]) != 0
        one_line(f"needs --condition.{kind}: {words}")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["voice", "caption", "picture"])
def test_the_other_commands_take_such_models(kind, model, place, tmp_path, capsys):
    few = (
        ["--classifier_steps", "2", "--data.cache", str(place / "cache")]
        if kind == "voice"
        else ["--classifier_steps", "2"]
    )
    assert main(["evaluate", model(kind), "--num_samples", "8", "--out", str(tmp_path / "e"), *few]) == 0
    assert main(["analyze", model(kind), "--out", str(tmp_path / "a"), *few]) == 0
    assert main(["show", model(kind)]) == 0
    assert f"--condition.{kind}" in capsys.readouterr().out


def test_a_class_of_a_model_that_is_shown_voices_is_refused_in_one_line(place, model, one_line, tmp_path):
    examples = [str(place / "fsdd" / f"1_theo_{take}.wav") for take in range(2)]
    learn = ["--condition.digit", "ann", "--steps", "1", "--out", str(tmp_path / "a"), "--examples", *examples]
    assert main(["adapt", model("voice"), *learn]) != 0
    one_line("the model has the condition 'voice', of which files say nothing")


def test_they_are_played_with_and_mean_what_they_mean_on_the_command_line(place, model):
    said = {"voice": str(place / "wide.wav"), "caption": CAPTION, "picture": str(place / "x.png")}
    for kind, word in said.items():
        checkpoint = Checkpoint.open(model(kind))
        playground = Playground(checkpoint.model(), checkpoint.front_end(), framing=checkpoint.framing)
        assert playground.kinds[kind] == {"voice": "reference"}.get(kind, kind)
        own = {"digit": "1"} if kind == "voice" else {}
        found = answer(playground, Choices({kind: word, **own}, num_samples=1, seconds=0.02))
        assert len(found.drawn.x) == 1
        with pytest.raises(ValueError, match=f"choose .* for the condition '{kind}'"):
            answer(playground, Choices(own, num_samples=1, seconds=0.02))


def test_they_are_taken_in_python(place, model):
    voice, caption = condgen.load(model("voice")), condgen.load(model("caption"))
    path = str(place / "fsdd" / "1_theo_6.wav")
    waveform, rate = soundfile.read(path, dtype="float32")
    both = [voice.film(digit="1", voice=shown, seconds=0.02).flatten() for shown in (path, (waveform, rate))]
    assert torch.equal(*both)
    assert voice.conditions["voice"] == "audio files or waveforms"
    assert caption.sample(caption=[CAPTION, "two"]).x.shape == (2, 1, 16, 16)


def test_a_picture_of_the_same_class_is_shown_in_training(model):
    data = Checkpoint.open(model("picture")).data()
    data.setup("fit")
    batch = data.dataset("train").__getitems__([0, 1, 2])
    train = data.splits["train"]
    for i, shown in enumerate(batch.conditions["picture"]):
        same = (train.x == (shown * 16).round()).flatten(1).all(1)
        assert same.any()
        assert set(train.conditions["digit"][same].tolist()) == {int(batch.conditions["digit"][i])}
    with pytest.raises(ValueError, match="picture_of 'colour' is no class condition of the data; those are: digit"):
        Images(data.source, picture_of="colour")


def test_no_file_is_not_the_current_folder(model, tmp_path, one_line):
    for given in ("", "a.wav,"):
        asked = [
            "--condition.digit",
            "1",
            "--condition.voice",
            given,
            "--seconds",
            "0.02",
            "--out",
            str(tmp_path / "o"),
        ]
        assert main(["sample", str(model("voice")), *asked]) == 1
        one_line(f"condition 'voice' is without a file in '{given}': give an audio file")
