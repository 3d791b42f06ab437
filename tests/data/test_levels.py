"""Rates and levels: no aliases, a flat passband, the length that the rates say, and a level that no gain changes."""

import math

import numpy as np
import pytest
import torch
from scipy.signal import lfilter, resample

from condgen.data.levels import SILENCE, is_silent, levelled, resampled

RATES = [(44_100, 16_000), (48_000, 16_000), (22_050, 8_000), (44_101, 16_000), (8_000, 16_000), (16_000, 22_050)]
rates = pytest.mark.parametrize(("old", "new"), RATES)


def tone(hz, rate, seconds=0.5):
    return torch.from_numpy(np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)).float()


def decibels(waveform):
    """Level of a tone's middle, relative to amplitude 1."""
    middle = waveform[len(waveform) // 5 : -len(waveform) // 5].double()
    return 20 * math.log10(middle.square().mean().mul(2).sqrt() + 1e-12)


@rates
@pytest.mark.parametrize("share", [1.0, 1.02, 1.1, 1.37])
def test_what_lies_above_half_the_new_rate_is_gone(old, new, share):
    hz = share * new / 2
    if hz < old / 2:
        assert decibels(resampled(tone(hz, old), old, new)) < -120


@rates
@pytest.mark.parametrize("share", [0.01, 0.3, 0.7, 0.9])
def test_what_lies_below_stays_as_it_is(old, new, share):
    hz = share * min(old, new) / 2
    found = resampled(tone(hz, old), old, new)
    assert abs(decibels(found)) < 0.02
    middle = slice(len(found) // 5, -len(found) // 5)
    assert torch.allclose(found[middle], tone(hz, new)[: len(found)][middle], atol=2e-3)


@rates
@pytest.mark.parametrize("samples", [1, 2, 7, 100, 4_001])
def test_the_length_is_what_the_rates_say(old, new, samples):
    found = resampled(torch.ones(samples), old, new)
    assert found.shape == (round(samples * new / old),)
    assert found.dtype == torch.float32


def filtered(waveform, rate):
    """K-weighting of ITU-R BS.1770-5, by the analogue prototypes of its coefficients at 48 kHz."""
    k, q = math.tan(math.pi * 1681.974450955533 / rate), 0.7071752369554196
    high = 10 ** (3.999843853973347 / 20)
    middle, norm = high**0.4996667741545416, 1 + k / q + k * k
    shelf = [(high + middle * k / q + k * k) / norm, 2 * (k * k - high) / norm, (high - middle * k / q + k * k) / norm]
    found = lfilter(shelf, [1, 2 * (k * k - 1) / norm, (1 - k / q + k * k) / norm], waveform)
    k, q = math.tan(math.pi * 38.13547087602444 / rate), 0.5003270373238773
    norm = 1 + k / q + k * k
    return lfilter([1, -2, 1], [1, 2 * (k * k - 1) / norm, (1 - k / q + k * k) / norm], found)


def loudness(waveform, rate):
    """Loudness in LUFS, block by block as the standard says it."""
    found = filtered(waveform.double().numpy(), rate)
    size, step = round(0.4 * rate), round(0.1 * rate)
    powers = [np.mean(found[i : i + size] ** 2) for i in range(0, len(found) - size + 1, step)]
    powers = [power for power in powers if -0.691 + 10 * math.log10(power + 1e-20) > -70]
    gate = -0.691 + 10 * math.log10(np.mean(powers)) - 10
    return -0.691 + 10 * math.log10(np.mean([p for p in powers if -0.691 + 10 * math.log10(p) > gate]))


def at_48k(waveform, rate):
    return torch.from_numpy(resample(waveform.double().numpy(), len(waveform) * 48_000 // rate))


@pytest.mark.parametrize("rate", [2_000, 4_000, 8_000, 16_000, 44_100, 48_000])
@pytest.mark.parametrize("hz", [200.0, 700.0, 997.0, 2_500.0])
def test_the_loudness_is_that_of_the_standard(rate, hz):
    assert loudness(tone(997, 48_000, 2.0), 48_000) == pytest.approx(-3.01, abs=0.01)  # what the standard says of it
    if hz < 0.4 * rate:
        found = levelled(0.03 * tone(hz, rate, 2.0), rate, "loudness")
        assert loudness(at_48k(found, rate), 48_000) == pytest.approx(-23, abs=0.05)


@pytest.mark.parametrize("floor", [-75, -65, -55, -45, -35])
def test_the_loudness_is_that_of_the_standard_for_a_word_over_a_noise_floor(floor):
    """Whether the gates take in the floor depends on the level that the clip is to have, not on the one it has."""
    rng = np.random.default_rng(-floor)
    noise = 10 ** (floor / 20) * rng.normal(size=96_000)
    noise[16_000:32_000] += 0.02 * np.hanning(16_000) * rng.normal(size=16_000)
    noise[50_000:66_000] += 0.1 * np.hanning(16_000) * rng.normal(size=16_000)
    found = levelled(torch.from_numpy(lfilter([0.25, 0.5, 0.25], 1, noise)).float(), 16_000, "loudness")
    assert found.abs().max() < 0.99
    assert loudness(at_48k(found, 16_000), 48_000) == pytest.approx(-23, abs=0.05)


def voice(rate=16_000):
    """Bursts of noise and a tone, between them near silence: some blocks are gated out, others not."""
    rng, times = np.random.default_rng(0), np.arange(3 * rate) / rate
    bursts = (np.sin(2 * np.pi * times) > 0) + 0.003
    return torch.from_numpy(0.2 * bursts * (np.sin(2 * np.pi * 300 * times) + 0.3 * rng.normal(size=3 * rate))).float()


@pytest.mark.parametrize("normalise", ["peak", "loudness"])
@pytest.mark.parametrize("gain", [1e-3, 0.02, 0.4, 1.7, 10.0])
def test_the_gain_of_a_file_changes_nothing(normalise, gain):
    clip = voice()
    expected = levelled(clip, 16_000, normalise)
    assert torch.allclose(levelled(gain * clip, 16_000, normalise), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("normalise", ["peak", "loudness"])
@pytest.mark.parametrize("size", [0.0, 1e-42, 1 / 32768, SILENCE])
def test_silence_has_no_level_and_stays_as_it_is(normalise, size):
    """A step of 16 bits is dither, not sound."""
    dither = size * torch.randint(-1, 2, (4_000,), generator=torch.Generator().manual_seed(0)).float()
    assert is_silent(dither)
    assert torch.equal(levelled(dither, 8_000, normalise), dither)


@pytest.mark.parametrize("normalise", ["peak", "loudness"])
def test_what_is_just_louder_is_brought_to_the_same_level_as_all(normalise):
    quiet = levelled(1.1 * SILENCE * tone(500, 8_000), 8_000, normalise)
    assert torch.allclose(quiet, levelled(tone(500, 8_000), 8_000, normalise), rtol=1e-4, atol=1e-6)


def test_a_click_in_silence_is_raised_to_its_peak():
    click = torch.zeros(8_000)
    click[4_000] = 0.2
    assert levelled(click, 8_000, "loudness").max() == pytest.approx(0.999)
