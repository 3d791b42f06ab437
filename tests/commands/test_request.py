"""What is to be completed: rows of an image, the beginning of a waveform; and what of it is refused."""

import numpy as np
import pytest
import soundfile


def test_completion_keeps_the_rows_asked_for(pixelcnn, sample, tmp_path):
    image = np.random.default_rng(0).integers(0, 17, (1, 8, 8))
    np.save(tmp_path / "image.npy", image)
    complete = ["--complete", str(tmp_path / "image.npy"), "--keep_rows", "3"]
    assert sample(pixelcnn, tmp_path / "out", "--condition.digit", "1", "--num_samples", "4", *complete) == 0
    with np.load(tmp_path / "out" / "samples.npz") as file:
        assert (file["samples"][:, :, :3] == image[:, :3]).all()
        assert (file["samples"][0] != file["samples"][1]).any()


@pytest.mark.slow
def test_a_primed_sample_begins_with_what_was_given(draw, asked, make, tmp_path):
    make.tone(tmp_path / "given.wav", 200, 240)
    assert draw("wavenet_fsdd", tmp_path / "out", *asked(), "--prime", str(tmp_path / "given.wav")) == 0
    given, _ = soundfile.read(tmp_path / "given.wav")
    drawn, _ = soundfile.read(tmp_path / "out" / "0000.wav")
    assert np.allclose(drawn[:240], given, atol=0.03)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--keep_rows", "3"], ["keep_rows needs --complete"]),
        (["--complete", "none.npy", "--keep_rows", "3"], ["none.npy does not exist"]),
        (["--complete", "none.npy", "--keep_rows", "8"], ["keep_rows 8 is not between 1 and 7"]),
        (["--prime", "x.wav"], ["--prime is for audio", "--complete FILE.npy"]),
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
