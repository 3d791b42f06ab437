"""A picture that shows what is meant."""

import re

import pytest
import torch

from condgen.conditioning import DataCondition, ImageEncoder
from condgen.conditioning.contract import PictureEncoder, missing


@pytest.mark.parametrize(("height", "width"), [(4, 4), (5, 9), (28, 16)])
def test_pictures_of_any_size_become_a_vector_each_that_no_other_row_changes(height, width):
    encoder = ImageEncoder(3, features=5, width=4, layers=2).double()
    pictures = torch.rand(3, 3, height, width, dtype=torch.float64)
    together = encoder(pictures)
    assert together.shape == (3, 5)
    assert not torch.allclose(together[0], together[1])
    for row in range(3):
        assert torch.allclose(encoder(pictures[row : row + 1])[0], together[row], rtol=0, atol=1e-12)


def test_whole_numbers_are_taken_as_they_are():
    encoder = ImageEncoder(1, features=5, width=4, layers=1)
    assert torch.equal(encoder(torch.ones(1, 1, 4, 4, dtype=torch.uint8)), encoder(torch.ones(1, 1, 4, 4)))


@pytest.mark.parametrize(("shape", "message"), [
    ((2, 3, 7, 9), "a picture of 7 × 9 is too small: at least 8 × 8 are needed"),
    ((2, 1, 8, 8), "expected (batch, 3, height, width), got (2, 1, 8, 8)"),
    ((3, 8, 8), "expected (batch, 3, height, width), got (3, 8, 8)"),
])  # fmt: skip
def test_a_picture_that_is_too_small_or_of_other_channels_is_refused(shape, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        ImageEncoder(3)(torch.rand(shape))


def test_a_network_of_nothing_is_refused():
    with pytest.raises(ValueError, match="channels 1, width 0 and layers 3 must each be at least 1"):
        ImageEncoder(1, width=0)


def test_the_channels_are_the_datas_which_must_give_pictures():
    pictures = DataCondition(channels=3, given="picture")
    assert missing(ImageEncoder(1), PictureEncoder) == []
    assert ImageEncoder.completed({"features": 2}, pictures) == {"features": 2, "channels": 3}
    assert ImageEncoder.completed({"channels": 1}, pictures) == {"channels": 1}
    ImageEncoder(3).check(pictures, hop=1)
    with pytest.raises(ValueError, match="takes a picture, and the data give an array"):
        ImageEncoder(3).check(DataCondition(channels=3, factor=2), hop=1)
