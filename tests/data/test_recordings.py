"""Recordings: times are in seconds, whatever was done to the samples."""

import numpy as np
import pytest
import torch

from condgen.data import Clip, Phoneme
from condgen.data.recordings import RecordingReader


@pytest.mark.parametrize("rate", [8000, 16000, 4000])
def test_phonemes_move_in_seconds_whatever_the_rate_of_the_file(rate):
    """Half a second of silence before a tone of half a second: trimming moves the tone's phoneme to about 0."""
    tone = 0.5 * np.sin(2 * np.pi * 300 * np.arange(rate // 2) / rate)
    waveform = torch.from_numpy(np.concatenate([np.zeros(rate // 2), tone, np.zeros(rate // 2)])).float()
    clip = Clip("a.wav", {}, phonemes=(Phoneme("_", 0, 0.5), Phoneme("a", 0.5, 1.0), Phoneme("_", 1.0, 1.5)))
    found = RecordingReader(8000, resample=True, trim=30.0).prepare(waveform, rate, clip)
    spoken = next(phoneme for phoneme in found.clip.phonemes if phoneme.symbol == "a")
    assert len(found.waveform) / 8000 == pytest.approx(0.5, abs=0.05)
    assert (spoken.start, spoken.end) == pytest.approx((0, 0.5), abs=0.03)
