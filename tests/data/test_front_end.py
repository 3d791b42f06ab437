"""The front end of a trained model: texts as the training data spoke them, and whole frames."""

import pytest
import torch

from condgen.data import Clip
from condgen.data.front_end import front_end


def settings(**source):
    feature = {"class_path": "condgen.data.MelSpectrogram", "init_args": {"bands": 8, "hop": 40}}
    return {"features": {"mel": feature}, "sample_rate": 8000, "normalise": "peak", "remove_dc": True, "mono": False,
            "source": {"class_path": "condgen.data.Espeak", "init_args": source}}  # fmt: skip


def test_texts_are_spoken_at_the_rate_and_the_middle_pitch_of_the_training_data():
    found = front_end(settings(voices=["en-us+f2"], pitches=[60, 20, 40], rate=120))
    assert (found.voice, found.pitch, found.rate) == ("en-us+f2", 40, 120)


def test_with_several_voices_none_is_taken_for_granted():
    assert front_end(settings(voices=["en-us+f2", "en-us+m3"])).voice is None


def test_waveforms_are_cut_to_whole_frames_and_brought_to_rate_and_level():
    found = front_end(settings())
    waveform, _ = found.ready(0.1 * torch.sin(torch.arange(330) / 5), 16000, Clip("x.wav", {}))
    assert waveform.shape == (160,)
    assert waveform.abs().max() == pytest.approx(0.95, abs=0.05)
    with pytest.raises(ValueError, match="fewer samples than the 40 of a whole frame"):
        found.ready(torch.linspace(0, 0.1, 30), 8000, Clip("x.wav", {}, origin="x.wav"))


def test_seconds_are_cut_to_whole_frames():
    assert front_end(settings()).samples(0.0199) == 120
    with pytest.raises(ValueError, match=r"less than a frame of 0\.005 seconds"):
        front_end(settings()).samples(0.004)


@pytest.mark.parametrize("name", ["remove_dc", "mono"])
def test_clips_are_read_as_in_training(name):
    for value in (True, False):
        assert getattr(front_end(settings() | {name: value}).reader, name) is value


def test_a_file_that_is_silent_is_named():
    clip = Clip("x.wav", {}, origin="x.wav")
    with pytest.warns(UserWarning, match=r"^x\.wav is silent, its peak not above −80 dB, and keeps its level$"):
        waveform, _ = front_end(settings()).ready(torch.zeros(400), 8000, clip)
    assert torch.equal(waveform, torch.zeros(400))
