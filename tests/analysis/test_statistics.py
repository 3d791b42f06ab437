"""Shares of variance, axes and signs: planted ones come back."""

import numpy as np
import pytest
import torch

from condgen.analysis import feature_maps, main_axis, statistics, variance_between
from condgen.conditioning import FiLMParameters, GammaBeta


def maps_of(gamma, beta):
    parts = [None if part is None else torch.from_numpy(part) for part in (gamma, beta)]
    return feature_maps(FiLMParameters({"layer": GammaBeta(*parts)}))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_planted_share_between_maps_comes_back_to_two_digits(share):
    rng = np.random.default_rng(0)
    means, within = rng.normal(size=400), rng.normal(size=(500, 400))
    means = (means - means.mean()) / means.std() * np.sqrt(share)
    values = means + within * np.sqrt(1 - share)
    assert variance_between(values) == pytest.approx(share, abs=0.005)
    found = statistics(maps_of(values, 3 * values[::-1]))
    assert found.between == pytest.approx({"gamma": share, "beta": share, "both": share}, abs=0.005)
    assert all(control < 0.005 for control in found.shuffled.values())


def test_the_share_of_both_weighs_each_part_by_its_variance():
    gamma, beta = np.array([[0.0, 2.0], [0.0, 2.0]]), np.array([[-3.0, -3.0], [3.0, 3.0]])
    # Between maps: 4 · 1 of γ; within: 4 · 9 of β.
    found = statistics(maps_of(gamma, beta))
    assert found.between == pytest.approx({"gamma": 1, "beta": 0, "both": 0.1})
    assert found.negative == {"gamma": 0, "beta": 0.5}


@pytest.mark.parametrize("angle", [-89, -45, 0, 30, 90])
def test_a_planted_axis_comes_back_to_a_degree(angle):
    rng, turn = np.random.default_rng(1), np.radians(angle)
    along, across = rng.normal(size=(2, 20_000))
    points = np.outer(along, [np.cos(turn), np.sin(turn)]) + 0.5 * np.outer(across, [-np.sin(turn), np.cos(turn)])
    found, anisotropy = main_axis(points)
    assert abs((found - angle + 90) % 180 - 90) < 1
    assert anisotropy == pytest.approx(0.75, abs=0.02)


def test_an_axis_is_of_its_map_and_goes_when_offsets_are_dealt_out_anew():
    rng = np.random.default_rng(2)
    gamma = rng.normal(size=(2000, 2))
    one, other = statistics(maps_of(gamma, gamma * [2, -1] + 0.1 * rng.normal(size=gamma.shape))).axes
    assert (one.map, other.map) == (0, 1)
    assert (one.angle, other.angle) == pytest.approx((np.degrees(np.arctan(2)), -45), abs=1)
    assert min(one.anisotropy, other.anisotropy) > 0.98
    assert other.shuffled < 0.2


def test_a_fixed_part_has_no_figures_and_there_is_no_axis():
    found = statistics(maps_of(None, np.random.default_rng(3).normal(size=(5, 7))))
    assert found.between.keys() == found.negative.keys() == {"beta"}
    assert (found.axes, found.rows, found.maps) == ([], 5, 7)


def test_numbers_that_do_not_vary_have_no_share():
    assert np.isnan(variance_between(np.ones((3, 4))))
    assert main_axis(np.ones((3, 2)))[1] == 0
