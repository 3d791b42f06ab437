"""Conditions in words: classes, lengths and sounds that are taken, and one line for all others."""

import json

import numpy as np
import pytest
import soundfile


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--condition.digit", "eleven"], ["condition 'digit' has no class 'eleven'", "0, 1, 2"]),
        (["--condition.digit", "10"], ["has no class '10'; its classes: 0, 1, 2"]),
        (["--condition.digit", "-1"], ["has no class '-1'"]),
        (["--condition.speaker", "jackson", "--condition.digit", "1"], ["no condition 'speaker'", "digit"]),
        ([], ["needs --condition.digit"]),
        (["--condition.digit", "1", "--seconds", "1"], ["--seconds is for audio; this model draws images"]),
    ],
)
def test_conditions_that_a_model_lacks_are_one_line_and_leave_nothing(
    options, words, pixelcnn, sample, tmp_path, one_line
):
    assert sample(pixelcnn, tmp_path / "out", *options) == 1
    one_line(*words)
    assert list(tmp_path.iterdir()) == []


def test_a_class_that_a_generator_does_not_have_is_one_line(cdcgan, sample, tmp_path, one_line):
    assert sample(cdcgan, tmp_path / "o", "--condition.digit", "11") == 1
    one_line("condition 'digit' has no class '11'")


@pytest.mark.slow
def test_audio_of_conditions_or_lengths_that_cannot_be_is_one_line_and_leaves_nothing(
    draw, asked, recordings, tmp_path, one_line
):
    sound = ["--condition.mel", str(recordings / "0_theo_0.wav")]
    for model, options, words in (
        ("wavenet_fsdd", asked("jackson"), ["no class 'jackson'", "george, theo"]),
        ("wavenet_fsdd", asked()[:4], ["--seconds"]),
        ("wavenet_fsdd", asked(seconds="-1"), ["seconds -1.0 is not more than 0"]),
        ("wavenet_fsdd", asked(seconds="0.001"), ["less than a frame of 0.01 seconds"]),
        ("wavenet_fsdd", [*asked(), "--condition.position", "x.npy"], ["no condition 'position' to choose"]),
        ("wavenet_fsdd_mel", ["--condition.speaker", "theo"], ["--condition.mel", "an audio file"]),
        ("wavenet_fsdd_mel", ["--condition.speaker", "theo", "--condition.mel", "no.wav"], ["no.wav does not exist"]),
        ("wavenet_fsdd_mel", ["--condition.speaker", "theo", *sound, "--seconds", "1"], ["leave --seconds out"]),
    ):
        assert draw(model, tmp_path / "out", *options) == 1
        one_line(*words)
        assert not list(tmp_path.iterdir())


def test_a_class_taken_by_position_is_said_once_and_stands_in_the_manifest(trained, sample, tmp_path, capsys):
    options = ["--condition.digit", "1", "--seconds", "0.05", "--num_samples", "2"]
    assert sample(trained("wavenet_fsdd"), tmp_path / "by_place", "--condition.speaker", "1", *options) == 0
    assert capsys.readouterr().err.count("taken by position: 1 is 'theo'") == 1
    rows = [json.loads(line) for line in (tmp_path / "by_place" / "manifest.jsonl").read_text().splitlines()]
    assert [row["by_position"] for row in rows] == [{"speaker": {"1": "theo"}}] * 2
    assert [row["conditions"] for row in rows] == [{"speaker": "theo", "digit": "1"}] * 2
    assert sample(trained("wavenet_fsdd"), tmp_path / "by_name", "--condition.speaker", "theo", *options) == 0
    assert "position" not in capsys.readouterr().err
    lines = (tmp_path / "by_name" / "manifest.jsonl").read_text().splitlines()
    assert not [line for line in lines if "by_position" in json.loads(line)]


def test_a_local_condition_is_heard_as_in_training(draw, recordings, tmp_path, one_line):
    """An offset changes nothing, for the training clips lost theirs; two channels are refused as theirs would be."""
    waveform, rate = soundfile.read(recordings / "0_theo_0.wav")
    drawn = []
    for name, sound in (("as-is", waveform), ("offset", waveform + 0.2)):
        soundfile.write(tmp_path / f"{name}.wav", sound, rate, subtype="FLOAT")
        mel = ["--condition.speaker", "theo", "--condition.mel", str(tmp_path / f"{name}.wav")]
        assert draw("wavenet_fsdd_mel", tmp_path / name, *mel) == 0
        drawn.append(soundfile.read(next((tmp_path / name).glob("*_0000.wav")))[0])
    assert np.array_equal(*drawn)
    soundfile.write(tmp_path / "stereo.wav", np.stack([waveform] * 2, 1), rate)
    mel = ["--condition.speaker", "theo", "--condition.mel", str(tmp_path / "stereo.wav")]
    assert draw("wavenet_fsdd_mel", tmp_path / "out", *mel) == 1
    one_line("stereo.wav has 2 channels, not one: mix it down")
