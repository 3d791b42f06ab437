"""Copy-synthesis: copies in time with their originals, and a distance over what is heard."""

import pytest
import torch

from condgen.data import MelSpectrogram
from condgen.evaluation.copy_synthesis import griffin_lim, mel_distance

RATE = 8000


def middle(waveform):
    """The sample about which a waveform's energy lies."""
    energy = waveform.double().square()
    return float((energy * torch.arange(len(waveform))).sum() / energy.sum())


@pytest.mark.parametrize("at", [1500, 2340])
def test_a_copy_is_heard_when_the_original_is(at):
    """A short burst, and a hop of 160 samples, half of which would be 80."""
    feature = MelSpectrogram(40, hop=160, window=640)
    envelope = torch.exp(-(((torch.arange(4000) - at) / 100) ** 2))
    burst = 0.8 * envelope * torch.sin(2 * torch.pi * 1000 * torch.arange(4000) / RATE)
    (copy,) = griffin_lim([feature.measure(burst, RATE)], feature, RATE, seed=0)
    assert copy.shape == burst.shape
    assert middle(copy) == pytest.approx(middle(burst), abs=20)


def test_the_distance_is_over_frames_within_50_decibels_of_the_loudest():
    """log10 amplitudes: 2.5 are 50 dB. The third frame is silent, whatever is found there."""
    target = torch.tensor([[0.0, -2.4, -5.0], [-1.0, -3.0, -5.0]])
    found = target + torch.tensor([[0.1, 0.0, 4.0], [-0.1, 0.3, 4.0]])
    assert mel_distance(found, target).tolist() == pytest.approx([2.0, 3.0], abs=1e-4)
