"""Differentiable augmentation: each change by hand, its draws, its gradients, and when it is chosen."""

import itertools

import pytest
import torch
from torch.autograd import gradcheck

from condgen.conditioning import ClassEmbedding, FeatureVector
from condgen.data import Digits, Images, Labelled
from condgen.models import ConditionalGenerator, Generator
from condgen.training.augmentation import (
    FEW,
    IMAGES,
    SOUND,
    Augmentation,
    choose,
    colour,
    cutout,
    fewest,
    gain,
    shift,
    tilt,
)

PICTURE, WAVE = Generator((3, 8, 8)), Generator((1, 64), sample_rate=8000)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def pictures(*shape):
    return torch.rand(*shape, dtype=torch.float64) * 2 - 1


@pytest.mark.parametrize("change", [
    lambda x: shift(x, 0.0), lambda x: cutout(x, 0.0), lambda x: colour(x, 0.0),
], ids=["shift", "cutout", "colour"])  # fmt: skip
def test_a_change_of_images_of_no_strength_is_the_identity(change):
    x = pictures(5, 3, 8, 12)
    assert torch.allclose(change(x), x, rtol=0, atol=1e-15)


@pytest.mark.parametrize("change", [
    lambda x: shift(x, 0.0), lambda x: cutout(x, 0.0), lambda x: gain(x, 0.0), lambda x: tilt(x, 0.0),
], ids=["shift", "cutout", "gain", "tilt"])  # fmt: skip
def test_a_change_of_sound_of_no_strength_is_the_identity(change):
    x = pictures(5, 1, 64)
    assert torch.equal(change(x), x)


@pytest.mark.parametrize("shape", [(1, 16), (2, 8, 16)], ids=["sound", "images"])
def test_a_shift_moves_an_example_whole_and_fills_with_nothing(shape):
    x = pictures(400, *shape) + 2  # no value is 0
    found, moves = shift(x, 1 / 8), set()
    for before, after in zip(x, found, strict=True):
        kept = (after != 0).nonzero()
        first, last = kept.amin(0), kept.amax(0)
        assert (after[tuple(slice(a, b + 1) for a, b in zip(first, last, strict=True))] != 0).all()
        size = torch.tensor(after.shape)
        move = tuple((first - (size - 1 - last))[1:].tolist())
        assert torch.equal(after, torch.roll(before, move, tuple(range(1, after.ndim))) * (after != 0))
        moves.add(move)
    assert moves == set(itertools.product(*(range(-(size // 8), size // 8 + 1) for size in shape[1:])))


def test_a_cutout_is_one_box_of_the_size_asked_for_in_all_channels():
    found = cutout(torch.ones(300, 3, 8, 12), 0.5)
    assert set(found.unique().tolist()) == {0.0, 1.0}
    for example in found:
        assert torch.equal(example[0], example[1])
        rows, columns = (example[0] == 0).any(1).sum(), (example[0] == 0).any(0).sum()
        assert (example == 0).sum() == 3 * rows * columns
        assert 2 <= rows <= 4
        assert 3 <= columns <= 6
    places = (found == 0).any(1).float().mean(0)
    assert places.min() > 0.05  # everything is cut out at times
    assert (found[:, 0] == 0).flatten(1).any(1).all()


@pytest.mark.parametrize("share", [3 / 8, 4 / 8])
def test_cutouts_are_as_often_at_one_end_as_at_the_other(share):
    masks = cutout(torch.ones(500, 1, 8), share)
    assert torch.equal(masks.unique(dim=0), masks.flip(-1).unique(dim=0))


def test_levels_of_images_change_by_the_amounts_of_the_paper():
    """Of a picture of two colours: its mean moves, its colours and its contrast are stretched about it."""
    x = pictures(2000, 3, 4, 4)
    found = colour(x, 1.0)
    moved = (found - x).mean((1, 2, 3))
    assert -0.5 <= moved.min() < -0.49
    assert 0.49 < moved.max() <= 0.5
    assert abs(moved.mean()) < 0.03
    grey, grey_found = x.mean(1), found.mean(1)
    contrast = (grey_found - grey_found.mean((1, 2), keepdim=True)) / (grey - grey.mean((1, 2), keepdim=True))
    assert torch.allclose(contrast, contrast[:, :1, :1].expand_as(contrast))
    assert 0.5 <= contrast.min() < 0.51
    assert 1.49 < contrast.max() <= 1.5
    saturation = (found - grey_found[:, None])[:, 0, 0, 0] / (x - grey[:, None])[:, 0, 0, 0] / contrast[:, 0, 0]
    assert 0 <= saturation.min() < 0.02
    assert 1.98 < saturation.max() <= 2


def test_gain_is_of_so_many_decibels():
    x = pictures(2000, 1, 4)
    decibels = 20 * torch.log10(gain(x, 6.0) / x)
    assert torch.allclose(decibels, decibels[:, :, :1].expand_as(decibels))
    assert -6 <= decibels.min() < -5.9
    assert 5.9 < decibels.max() <= 6
    assert abs(decibels.mean()) < 0.3


def test_a_filter_is_what_its_formula_says_and_delays_nothing():
    impulse = torch.zeros(500, 1, 9, dtype=torch.float64)
    impulse[..., 4] = 1
    found = tilt(impulse, 0.5)
    a = 2 * found[:, 0, 3]
    assert torch.equal(found[:, 0, 3], found[:, 0, 5])
    assert (found[:, 0, 4] == 1).all()
    assert (found[:, 0, :3] == 0).all()
    assert -0.5 <= a.min() < -0.48
    assert 0.48 < a.max() <= 0.5
    response = torch.fft.rfft(found[:, 0].roll(-4, -1)).real
    angles = 2 * torch.pi * torch.arange(5) / 9
    assert torch.allclose(response, 1 + a[:, None] * torch.cos(angles.double()))


@pytest.mark.parametrize(("network", "known"), [(PICTURE, IMAGES), (WAVE, SOUND)], ids=["images", "sound"])
def test_gradients_go_through_every_change_and_no_example_sees_another(network, known):
    augment, shape = Augmentation(network, tuple(known)), (network.shape[0], *[8] * (len(network.shape) - 1))
    x = pictures(2, *shape).requires_grad_()

    def again(x):
        torch.manual_seed(1)
        return augment(x)

    assert gradcheck(again, x)
    again(x)[0].sum().backward()
    assert x.grad[0].abs().sum() > 0
    assert (x.grad[1] == 0).all()


@pytest.mark.parametrize(("network", "known"), [(PICTURE, IMAGES), (WAVE, SOUND)], ids=["images", "sound"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_every_example_has_a_draw_of_its_own_in_every_type(network, known, dtype):
    x = (torch.rand(1, *network.shape) + 0.5).to(dtype).expand(64, *network.shape)
    for name in known:
        found = Augmentation(network, [name])(x)
        assert found.dtype == dtype
        assert found.shape == x.shape
        assert len(found.flatten(1).unique(dim=0)) > 5, name


def test_no_changes_are_the_identity():
    x = pictures(2, 3, 8, 8)
    assert Augmentation(PICTURE, [])(x) is x


# When it is chosen.


class Counted:
    """Pictures of two classes, as many as are asked for."""

    shape, levels = (1, 8, 8), 17

    def __init__(self, *counts):
        self.counts, self.names = counts, {"side": ["left", "right", "none"]}

    def load(self, split):
        ids = torch.repeat_interleave(torch.arange(len(self.counts)), torch.tensor(self.counts))
        return Labelled(torch.zeros(len(ids), *self.shape).byte(), {"side": ids})


def counted(*counts):
    data = Images(Counted(*counts))
    data.setup()
    return data


def model(**conditions):
    return ConditionalGenerator(
        Generator((1, 8, 8), levels=17, channels=4), conditions, "film" if conditions else "none"
    )


SIDES = {"side": ClassEmbedding(4, num_classes=3)}


def test_the_class_with_the_fewest_examples_decides_and_empty_ones_do_not_count():
    assert fewest(model(**SIDES), counted(30, 20, 0)) == ("side right", 20)
    assert fewest(model(), counted(30, 20, 0)) == ("the data set", 50)


def test_the_usual_changes_are_chosen_where_a_class_has_few_examples(caplog):
    with caplog.at_level("INFO"):
        assert choose(model(**SIDES), counted(FEW, FEW - 1, 0)).changes == ("level", "shift", "cutout")
        assert f"side right has {FEW - 1:,} training examples, fewer than {FEW:,}" in caplog.text
        caplog.clear()
        assert choose(model(**SIDES), counted(FEW, FEW, 0)).changes == ()
        assert choose(model(**SIDES), None).changes == ()
    assert caplog.text == ""


def test_nothing_is_chosen_beside_a_condition_that_a_change_may_contradict():
    assert choose(model(**SIDES, loudness=FeatureVector(1)), counted(9, 9, 9)).changes == ()


def test_sound_is_shifted_levelled_and_filtered():
    data = Images(Digits())
    data.setup()
    sound = ConditionalGenerator(
        Generator((1, 64), sample_rate=8000, channels=4), {"digit": ClassEmbedding(4, num_classes=10)}
    )
    assert choose(sound, data).changes == ("level", "filter", "shift")
