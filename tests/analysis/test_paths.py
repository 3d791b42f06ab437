"""Paths between conditions, and numbers for how smooth they are."""

import numpy as np
import pytest
import torch

from condgen.analysis import groups_of, path, smoothness, turning_points
from condgen.conditioning import FiLMParameters, GammaBeta


@pytest.fixture
def ends():
    def at(value):
        first, second = GammaBeta(torch.full((2, 1), value), None), GammaBeta(None, torch.full((2, 3), value))
        return FiLMParameters({"a": first, "b": second, "c": GammaBeta()})

    return at(1.0), at(5.0)


def test_a_path_goes_straight_from_one_end_to_the_other(ends):
    found = path(*ends, [0, 0.25, 1])
    assert found.batch_size == 6
    assert found["a"].gamma.flatten().tolist() == [1, 1, 2, 2, 5, 5]
    assert found["b"].beta[:, 2].tolist() == [1, 1, 2, 2, 5, 5]


def test_only_the_layers_named_move(ends):
    found = path(*ends, [0, 1], ["b"])
    assert found["a"].gamma.flatten().tolist() == [1, 1, 1, 1]
    assert found["b"].beta[:, 0].tolist() == [1, 1, 5, 5]
    with pytest.raises(ValueError, match="no FiLM layer is called 'd'"):
        path(*ends, [0, 1], ["d"])


def test_neighbouring_layers_form_groups_and_fixed_ones_none(ends):
    assert groups_of(ends[0]) == {"a": ["a"], "b": ["b"]}
    many = FiLMParameters({str(i): GammaBeta(beta=torch.zeros(1, 1)) for i in range(7)})
    assert list(groups_of(many, 3).values()) == [["0", "1", "2"], ["3", "4", "5"], ["6"]]
    assert list(groups_of(many, 3)) == ["0 – 2", "3 – 5", "6"]


@pytest.mark.parametrize(("points", "straightness", "evenness"), [
    ([0, 1, 2, 3, 4], 1, 1), ([0, 0, 4, 4, 4], 1, 0.25), ([0, 2, 4, 2, 4], 0.5, 1), ([1, 1, 1], 1, 1),
])  # fmt: skip
def test_smoothness_tells_straight_and_even_ways_from_others(points, straightness, evenness):
    found = smoothness(np.array(points, float)[:, None])
    assert (found.straightness, found.evenness) == pytest.approx((straightness, evenness))


def test_a_straight_way_is_straight_no_more_when_it_is_shuffled():
    assert smoothness(np.linspace(0, 1, 50)[:, None]).shuffled < 0.1


def test_turning_points_are_where_the_answer_changes():
    assert turning_points([0, 0.5, 0.6, 1], ["0", "0", "2", "3"]) == [(0, "0"), (0.6, "2"), (1, "3")]
