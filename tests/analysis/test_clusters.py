"""Sub-clusters: planted ones come back, with the condition that made them."""

import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score

from condgen.analysis import clusters, feature_maps
from condgen.conditioning import FiLMParameters, GammaBeta


def maps_of(gamma, beta, labels):
    parts = [None if part is None else torch.from_numpy(part) for part in (gamma, beta)]
    return feature_maps(FiLMParameters({"layer": GammaBeta(*parts)}, labels))


def test_planted_clusters_come_back_and_their_condition_explains_them():
    rng, rows = np.random.default_rng(0), 300
    shape, colour = rng.integers(3, size=rows), rng.integers(2, size=rows)
    centres = np.array([[0, 0], [5, 1], [-2, 6]])
    split = centres[shape] + 0.5 * rng.normal(size=(rows, 2))
    single = rng.normal(size=(rows, 2))
    maps = maps_of(
        np.stack([split[:, 0], single[:, 0]], 1), np.stack([split[:, 1], single[:, 1]], 1),
        {"shape": [["cube", "sphere", "torus"][i] for i in shape], "colour": [["red", "blue"][i] for i in colour]},
    )  # fmt: skip
    three, one = clusters(maps)
    assert (three.layer, three.map, three.count, one.count) == ("layer", 0, 3, 1)
    assert adjusted_rand_score(shape, three.members) > 0.98
    assert three.silhouette > 0.7
    assert (one.silhouette, one.explained) == (None, {})
    assert three.explained["shape"].information > 0.95
    assert abs(three.explained["shape"].shuffled) < 0.05 > abs(three.explained["colour"].information)


def test_the_value_that_lies_apart_is_named():
    rng = np.random.default_rng(1)
    words = ["front"] * 40 + ["behind"] * 40 + ["left"] * 40
    beta = np.where(np.array(words) == "behind", 6.0, 0.0)[:, None] + rng.normal(size=(120, 1))
    (found,) = clusters(maps_of(None, beta, {"word": words}))
    explained = found.explained["word"]
    assert (found.count, explained.value) == (2, "behind")
    assert explained.within > 0.97
    assert explained.elsewhere < 0.03


def test_equal_points_are_one_cluster_and_few_rows_are_refused():
    labels = {"word": list("ab") * 10}
    assert clusters(maps_of(None, np.ones((20, 1)), labels))[0].count == 1
    with pytest.raises(ValueError, match="19 rows are too few for clusters: 20 are needed"):
        clusters(maps_of(None, np.ones((19, 1)), {}))
