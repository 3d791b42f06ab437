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


def burst(rate=8000):
    """Silence, a tone, silence: half a second each; the tone has whole periods, so that the mean is 0."""
    tone = 0.3 * np.sin(2 * np.pi * 300 * np.arange(rate // 2) / rate)
    return torch.from_numpy(np.concatenate([np.zeros(rate // 2), tone, np.zeros(rate // 2)])).float()


@pytest.mark.parametrize("offset", [0.05, -0.3])
@pytest.mark.parametrize(
    "options", [{}, {"trim": 30.0}, {"trim": 30.0, "normalise": "none"}, {"normalise": "loudness"}]
)
@pytest.mark.parametrize("rate", [8000, 16000])
def test_an_offset_changes_nothing(offset, options, rate):
    reader = RecordingReader(8000, resample=True, **options)
    expected, found = (reader.prepare(burst(rate) + added, rate, Clip("a.wav", {})) for added in (0.0, offset))
    assert found.dropped == expected.dropped
    torch.testing.assert_close(found.waveform, expected.waveform, rtol=0, atol=1e-5)
    assert abs(float(found.waveform.mean())) < 1e-3


def test_an_offset_stays_if_it_is_wanted_and_then_hides_silence():
    reader = RecordingReader(8000, normalise="none", trim=20.0, remove_dc=False)
    found = reader.prepare(burst() + 0.3, 8000, Clip("a.wav", {}))
    assert torch.equal(found.waveform, burst() + 0.3)


def test_a_file_that_is_nothing_but_an_offset_is_silent():
    found = RecordingReader(8000, trim=30.0).prepare(torch.full((999,), 0.123), 8000, Clip("a.wav", {}))
    assert found.silent
    assert found.dropped == 0
    assert found.waveform.abs().max() < 1e-6


@pytest.mark.parametrize("gain", [1e-3, 1e-2, 0.3, 10.0])
@pytest.mark.parametrize("trim", [30.0, 60.0])
@pytest.mark.parametrize("normalise", ["peak", "loudness"])
def test_the_gain_of_a_file_changes_neither_its_ends_nor_its_level(gain, trim, normalise):
    """A tone between stretches of noise that is 67 dB quieter."""
    noise = 1e-4 * torch.randn(12_000, generator=torch.Generator().manual_seed(0))
    reader = RecordingReader(8000, trim=trim, normalise=normalise)
    expected, found = (reader.prepare(by * (burst() + noise), 8000, Clip("a.wav", {})) for by in (1.0, gain))
    assert 0.9 < expected.dropped < 1.0
    assert found.dropped == expected.dropped
    torch.testing.assert_close(found.waveform, expected.waveform, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("rate", [0, -8000, 999, 10**12])
def test_a_rate_that_sound_does_not_have_is_refused_before_anything_is_resampled_to_it(rate):
    with pytest.raises(ValueError, match=f"sample_rate {rate} is not between 1,000 and 768,000"):
        RecordingReader(rate)
