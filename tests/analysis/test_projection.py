"""Maps of whole representations, and what neighbours say."""

import numpy as np
import pytest
import torch

from condgen.analysis import neighbours, project, whole, without
from condgen.conditioning import FiLMParameters, GammaBeta


@pytest.fixture(scope="module")
def planted():
    """Points of three classes, far apart, in 20 dimensions; and a second condition that they know nothing of."""
    rng = np.random.default_rng(0)
    classes = np.repeat(np.arange(3), 30)
    points = 8 * rng.normal(size=(3, 20))[classes] + rng.normal(size=(90, 20))
    return points, [f"class {i}" for i in classes], [f"other {i}" for i in rng.integers(3, size=90)]


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_planted_classes_are_neighbours_in_the_space_and_on_the_map(planted, method):
    points, words, others = planted
    drawn = project(points, method)
    assert drawn.shape == (90, 2)
    for place in (points, drawn):
        found = neighbours(place, words)
        assert (found.accuracy, found.k, found.majority) == (1, 10, pytest.approx(1 / 3))
        assert found.shuffled < 0.5 > neighbours(place, others).accuracy


def test_k_is_less_than_the_rarest_class_and_single_rows_are_left_out(planted):
    points, *_ = planted
    assert neighbours(points[:9], list("aaaabbbbc")).k == 3
    assert neighbours(points[:4], list("abcd")) is None
    assert neighbours(points[:4], list("aabc")) is None


def test_a_map_of_a_line_is_flat_and_needs_three_points():
    assert (project(np.arange(6.0)[:, None], "pca")[:, 1] == 0).all()
    with pytest.raises(ValueError, match="2 rows are too few for a map"):
        project(np.zeros((2, 5)))


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_equal_points_lie_on_one_place(method):
    assert (project(np.full((30, 5), 0.1), method) == 0).all()
    assert neighbours(np.ones((30, 5)), list("ab") * 15).accuracy == pytest.approx(0.5)


def test_a_whole_representation_holds_every_number_with_frames_averaged():
    gamma, beta = torch.randn(2, 3), torch.randn(2, 3, 4)
    film = FiLMParameters({"a": GammaBeta(gamma, beta)})
    assert whole(film) == pytest.approx(torch.cat([gamma, beta.mean(2)], 1).numpy(), abs=1e-6)


def test_without_one_condition_the_other_is_seen():
    """Far apart by one condition, and by another one nearby."""
    rng = np.random.default_rng(3)
    pairs = [(one, other) for one in range(6) for other in range(8)]
    grid = 50 * rng.normal(size=(6, 1, 30)) + rng.normal(size=(1, 8, 30)) + 0.01 * rng.normal(size=(6, 8, 30))
    points, ones, others = grid.reshape(48, 30), [str(one) for one, _ in pairs], [str(other) for _, other in pairs]
    assert neighbours(points, ones).accuracy == 1
    assert neighbours(points, others).accuracy < 0.1
    assert neighbours(without(points, ones), others).accuracy == 1
