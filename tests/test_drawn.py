"""Samples to look at: arrays at their own size, and what a notebook shows."""

import base64
import io
import re

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from condgen.drawn import Drawn
from condgen.models import WaveNet
from condgen.sampling import Samples


def drawn(x, levels=5, per_row=1, labels=None, network=None, lengths=None):
    labels, lengths = labels or [str(i) for i in range(len(x))], lengths or [x.shape[-1]] * len(x)
    return Drawn(Samples(x, torch.zeros(len(x)), "cached", ""), levels, per_row, labels, network, lengths)


def test_images_are_eight_bits_gray_or_in_colour():
    gray = drawn(torch.arange(4).view(1, 1, 2, 2))
    assert gray.images().tolist() == [[[0, 64], [128, 191]]]
    colours = drawn(torch.arange(3).view(1, 3, 1, 1)).images()
    assert colours.dtype == np.uint8
    assert colours.tolist() == [[[[0, 64, 128]]]]
    with pytest.raises(ValueError, match=r"these samples are images: images\(\) gives them"):
        gray.waveforms()
    assert len(gray) == len([*gray]) == 1


@pytest.mark.parametrize(("count", "per_row", "columns", "lines"), [(6, 3, 3, 2), (6, 1, 6, 1), (40, 1, 16, 3),
                                                                    (40, 20, 16, 2)])  # fmt: skip
def test_a_notebook_shows_a_grid(count, per_row, columns, lines):
    shown = drawn(torch.zeros(count, 1, 8, 8), per_row=per_row, labels=[""] * count)
    picture = Image.open(io.BytesIO(shown._repr_png_()))
    zoom = 96 // 8
    assert picture.height == (lines * 9 + 1) * zoom
    assert columns * 9 * zoom < picture.width < (columns * 9 + 1) * zoom + 20
    assert shown._repr_html_() is None


def test_a_notebook_plays_audio_at_its_own_length():
    network = WaveNet(levels=256, dilations=[1], channels=2, sample_rate=8000)
    x = torch.randint(256, (2, 1, 100))
    heard = drawn(x, 256, labels=["<ann>", "bob"], network=network, lengths=[100, 60])
    assert [len(wave) for wave in heard.waveforms()] == [100, 60]
    assert heard.sample_rate == 8000
    page = heard._repr_html_()
    assert "&lt;ann&gt;" in page
    assert "<ann>" not in page
    sounds = [io.BytesIO(base64.b64decode(data)) for data in re.findall(r"base64,([^\"]+)", page)]
    for sound, wave in zip(sounds, heard.waveforms(), strict=True):
        read, rate = soundfile.read(sound)
        assert rate == 8000
        assert np.abs(read - wave).max() < 1e-4
    assert heard._repr_png_() is None
    with pytest.raises(ValueError, match=r"these samples are audio: waveforms\(\) gives them"):
        heard.images()


def test_a_repr_is_one_short_line():
    told = repr(drawn(torch.zeros(4, 1, 8, 8), labels=["3", "3", "7", "7"]))
    assert told == "4 images, 1 × 8 × 8, of 3, 7; engine 'cached'"
