"""What a classifier sees: speech in decibels below the loudest point, and nothing of what stands behind a clip."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from condgen.evaluation.views import SpeechView
from condgen.quantization import Quantization

RATE = 8000


@pytest.fixture
def seen():
    """The view of data whose training clips last half a second."""
    data = SimpleNamespace(sample_rate=RATE, quantization=Quantization(65536, "linear"),
                           dataset=lambda split: SimpleNamespace(lengths=np.array([RATE // 2])))  # fmt: skip
    return SpeechView(data)


def tone(samples=RATE // 2):
    return 0.9 * torch.sin(2 * torch.pi * 1000 * torch.arange(samples) / RATE)


def test_a_tenth_of_the_amplitude_is_20_decibels_of_70(seen):
    """255 levels are 70 dB, so that what is 20 dB below the loudest point lies 255 · 20/70 = 73 levels below it."""
    waveform = tone()
    waveform[RATE // 4 :] /= 10
    columns = seen.picture(waveform)[0].max(0).values.long()
    half = RATE // 4 // seen.mel.hop
    loud, quiet = columns[2 : half - 1], columns[half + 2 : 2 * half - 1]
    assert len(loud) > 1
    assert len(quiet) > 1
    assert (loud[:, None] - quiet - 73).abs().max() <= 1


def test_a_picture_is_of_the_clip_and_not_of_what_stands_behind_it(seen):
    clip = tone(3000)
    alone = seen.pictures(seen.quantization.encode(clip)[None, None], [3000])
    behind = torch.cat([clip, torch.ones(1000)])
    assert torch.equal(seen.pictures(seen.quantization.encode(behind)[None, None], [3000]), alone)
    assert not torch.equal(seen.pictures(seen.quantization.encode(behind)[None, None], [4000]), alone)
