"""A voice that is shown and not named."""

import re

import pytest
import torch
from torch.nn import functional as F

from condgen.conditioning import AudioReference, DataCondition, FrameSequence


def make():
    torch.manual_seed(0)
    return AudioReference(4, features=5, width=6, layers=2).double()


def test_frames_of_zeros_behind_a_recording_and_other_rows_are_nothing_to_it():
    encoder = make()
    frames = torch.randn(3, 4, 9, dtype=torch.float64)
    shorter = [frames[:1], frames[1:2, :, :7], frames[2:, :, :5]]
    together = encoder(torch.cat([F.pad(part, (0, 12 - part.shape[-1])) for part in shorter]))
    assert together.shape == (3, 5)
    assert not torch.allclose(together[0], together[1])
    for row, part in enumerate(shorter):
        assert torch.allclose(encoder(part)[0], together[row], rtol=0, atol=1e-12)


def test_the_mean_and_the_spread_over_the_frames_alone_count():
    """Frames that are all alike have no spread, however many there are, but for the edges that convolutions see."""
    encoder = AudioReference(4, features=5, width=6, layers=1).double()
    encoder.convolutions[0].weight.data[:, :, [0, 1, 3, 4]] = 0  # sees no neighbours
    frames = torch.randn(2, 4, 1, dtype=torch.float64)
    assert torch.allclose(encoder(frames.expand(2, 4, 6)), encoder(frames.expand(2, 4, 60)), atol=1e-12)
    x = torch.randn(1, 4, 8, dtype=torch.float64)
    hidden = torch.relu(encoder.convolutions[0]((x + 2) / 1.5))
    pooled = torch.cat([hidden.mean(2), hidden.var(2, correction=0).clamp(min=1e-5).sqrt()], 1)
    assert torch.allclose(encoder(x), encoder.project(pooled), atol=1e-12)


def test_there_is_a_gradient_where_nothing_varies():
    encoder = make()
    encoder(torch.ones(1, 4, 20, dtype=torch.float64)).sum().backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in encoder.parameters())


@pytest.mark.parametrize(("frames", "message"), [
    (torch.ones(2, 4, 4), "a recording of 4 frames is too short: at least 5 are needed"),
    (F.pad(torch.ones(1, 4, 3), (0, 9)), "a recording of 3 frames is too short"),
    (torch.zeros(1, 4, 9), "a recording of 0 frames is too short"),
    (torch.ones(2, 3, 9), "expected (batch, 4, frames), got (2, 3, 9)"),
])  # fmt: skip
def test_a_recording_that_is_too_short_or_of_other_frames_is_refused(frames, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make()(frames)


def test_a_network_of_nothing_is_refused():
    with pytest.raises(ValueError, match="size 4, width 64 and layers 0 must each be at least 1"):
        AudioReference(4, layers=0)


def test_the_size_is_the_datas_which_must_give_recordings():
    voice = DataCondition(size=4, given="reference")
    assert AudioReference.completed({"features": 2}, voice) == {"features": 2, "size": 4}
    assert AudioReference.completed({"size": 9}, voice) == {"size": 9}
    make().check(voice, hop=1)
    with pytest.raises(ValueError, match="takes frames of size 4, the data's have 5"):
        make().check(DataCondition(size=5, given="reference"), hop=1)
    with pytest.raises(ValueError, match="takes a recording, and the data give frames; use FrameSequence"):
        make().check(DataCondition(size=4, hop=1), hop=1)
    with pytest.raises(ValueError, match="takes frames, and the data give a recording; use AudioReference"):
        FrameSequence(4).check(voice, hop=1)
