"""What is to be completed: rows of an image, the beginning of a waveform; and what of it is refused."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image


def test_completion_keeps_the_rows_asked_for(pixelcnn, sample, tmp_path):
    image = np.random.default_rng(0).integers(0, 17, (1, 8, 8))
    np.save(tmp_path / "image.npy", image)
    complete = ["--complete", str(tmp_path / "image.npy"), "--keep_rows", "3"]
    assert sample(pixelcnn, tmp_path / "out", "--condition.digit", "1", "--num_samples", "4", *complete) == 0
    with np.load(tmp_path / "out" / "samples.npz") as file:
        assert (file["samples"][:, :, :3] == image[:, :3]).all()
        assert (file["samples"][0] != file["samples"][1]).any()


def test_a_picture_is_completed_upright_on_its_background_and_on_the_models_levels(pixelcnn, sample, tmp_path, capsys):
    levels = np.arange(16).reshape(8, 2).repeat(4, 1)
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    picture = np.zeros((8, 8, 2), np.uint8)
    picture[..., 0], picture[..., 1] = (levels * 255 / 16).round(), 255
    picture[0, 0, 1] = 0
    Image.fromarray(picture[::-1, ::-1].copy(), "LA").save(tmp_path / "image.npy", "PNG", exif=exif)
    complete = ["--complete", str(tmp_path / "image.npy"), "--keep_rows", "7"]
    assert sample(pixelcnn, tmp_path / "out", "--condition.digit", "1", *complete) == 0
    assert "transparent in places, where white shows" in capsys.readouterr().err
    with np.load(tmp_path / "out" / "samples.npz") as file:
        found = file["samples"][0, 0, :7]
    levels[0, 0] = 16
    assert found.tolist() == levels[:7].tolist()


def test_a_picture_to_complete_is_brought_to_size_as_those_of_training_were(altered, sample, tmp_path, capsys):
    wide = np.zeros((8, 16), np.uint8)
    wide[:, :4] = wide[:, 12:] = 255  # which a crop to a square leaves out
    Image.fromarray(wide).save(tmp_path / "wide.png")
    found = {}
    for fit in ("crop", "squash"):
        source = {"class_path": "condgen.data.Folder", "init_args": {"root": "gone", "size": 8, "fit": fit}}
        options = ["--condition.digit", "1", "--complete", str(tmp_path / "wide.png"), "--keep_rows", "7"]
        assert sample(altered(data={"source": source}), tmp_path / fit, *options) == 0
        with np.load(tmp_path / fit / "samples.npz") as file:
            found[fit] = file["samples"][0, 0, :7]
    assert (found["crop"] == 0).all()
    assert (found["squash"][:, [0, 7]] >= 15).all()
    assert (found["squash"][:, [3, 4]] <= 1).all()
    told = capsys.readouterr().err
    assert "8 × 16; cropped and resized to 8 × 8" in told
    assert "8 × 16; squashed to 8 × 8" in told


@pytest.mark.slow
def test_a_primed_sample_begins_with_what_was_given(draw, asked, make, tmp_path):
    make.tone(tmp_path / "given.wav", 200, 240)
    assert draw("wavenet_fsdd", tmp_path / "out", *asked(), "--prime", str(tmp_path / "given.wav")) == 0
    given, _ = soundfile.read(tmp_path / "given.wav")
    drawn, _ = soundfile.read(next((tmp_path / "out").glob("*0000.wav")))
    assert np.allclose(drawn[:240], given, atol=0.03)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--keep_rows", "3"], ["keep_rows needs --complete"]),
        (["--complete", "none.npy", "--keep_rows", "3"], ["none.npy does not exist; give a picture"]),
        (["--complete", str(Path(__file__).parent), "--keep_rows", "3"], ["is a folder; give a picture, or an .npy"]),
        (["--complete", __file__, "--keep_rows", "3"], ["is not a readable image"]),
        (["--complete", "none.npy", "--keep_rows", "8"], ["keep_rows 8 is not between 1 and 7"]),
        (["--prime", "x.wav"], ["--prime is for audio", "--complete FILE"]),
    ],
)
def test_what_cannot_be_completed_is_one_line_and_leaves_nothing(options, words, pixelcnn, sample, tmp_path, one_line):
    assert sample(pixelcnn, tmp_path / "out", "--condition.digit", "1", *options) == 1
    one_line(*words)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_what_audio_cannot_begin_with_is_one_line_and_leaves_nothing(draw, asked, recordings, tmp_path, one_line):
    for options, word in ((["--keep_rows", "2"], "--prime FILE.wav"),
                          (["--prime", str(recordings / "0_theo_0.wav")], "has 0.10 s, more than the 0.05 s"),
                          (["--prime", "nowhere.wav"], "nowhere.wav does not exist")):  # fmt: skip
        assert draw("wavenet_fsdd", tmp_path / "out", *asked(), *options) == 1
        one_line(word)
        assert not list(tmp_path.iterdir())
