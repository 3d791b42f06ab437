"""Frame features: the mel spectrogram is librosa's, whatever is odd, and measuring it does not import librosa."""

import math
import subprocess
import sys

import librosa
import numpy as np
import pytest
import torch

from condgen.data.features import MelSpectrogram


@pytest.mark.parametrize("seed", range(20))
def test_mel_spectrograms_are_librosas_for_random_settings(seed):
    """Of the twenty, windows and rates are odd and even in all four ways."""
    rng = np.random.default_rng(seed)
    rate, hop = 2 * int(rng.integers(2_000, 24_000)) + seed % 2, 2 * int(rng.integers(10, 150)) + seed // 2 % 2
    bands, window = int(rng.integers(1, 60)), hop + 2 * int(rng.integers(100, 700))
    low, high = float(rng.uniform(0, rate / 8)), None if seed % 3 else float(rng.uniform(rate / 4, rate / 2))
    noise = rng.normal(size=int(rng.integers(1, 20)) * hop).astype(np.float32)
    found = MelSpectrogram(bands, hop, window, low, high).measure(torch.from_numpy(noise), rate)
    expected = librosa.feature.melspectrogram(
        y=np.pad(noise, (window - hop) // 2), sr=rate, n_fft=window, hop_length=hop, center=False, power=1,
        n_mels=bands, fmin=low, fmax=high,
    )  # fmt: skip
    assert found.dtype == torch.float32
    assert found.shape == (bands, len(noise) // hop)
    np.testing.assert_allclose(10**found, np.maximum(expected, 1e-5), rtol=1e-4)


@pytest.mark.parametrize(("window", "rate"), [(400, 16_000), (401, 16_000), (400, 11_025), (401, 11_025)])
def test_mel_filters_are_librosas(window, rate):
    expected = librosa.filters.mel(sr=rate, n_fft=window, n_mels=20, fmin=50)
    found = MelSpectrogram(20, 80 + window % 2, window, low=50).filters(rate)
    assert found.shape == expected.T.shape
    np.testing.assert_allclose(found, expected.T, rtol=1e-3, atol=1e-7)


def test_to_measure_a_mel_spectrogram_librosa_is_not_needed():
    """Its first import compiles for many seconds, and whoever samples from a vocoder would wait for it."""
    code = (
        "import sys, torch\nfrom condgen.data import MelSpectrogram\n"
        "MelSpectrogram(8, 10).measure(torch.ones(100), 8000)\nprint(*sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "torch" in loaded
    assert "librosa" not in loaded


@pytest.mark.parametrize("options", [{"bands": 0}, {"bands": -1}, {"hop": 0}, {"hop": -80}, {"low": math.nan},
                                     {"low": -3.0}, {"low": 100.0, "high": 50.0}, {"high": math.inf}])  # fmt: skip
def test_settings_that_mean_nothing_are_refused(options):
    with pytest.raises(ValueError, match=f"MelSpectrogram: .*{next(iter(options))} "):
        MelSpectrogram(**options)


@pytest.mark.parametrize("options", [{"high": 9_000.0}, {"low": 5_000.0}])
def test_bands_beyond_half_the_sample_rate_are_refused(options):
    with pytest.raises(ValueError, match="do not lie within half of the sample rate, 4000 Hz"):
        MelSpectrogram(**options).measure(torch.zeros(800), 8_000)
