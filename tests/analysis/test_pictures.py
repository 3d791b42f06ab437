"""Pictures of task representations are drawn for every mechanism."""

import numpy as np
import pytest
import torch
from PIL import Image

from condgen.analysis import (
    clusters,
    feature_maps,
    neighbours,
    project,
    save_maps,
    save_scatter,
    statistics,
    whole,
)
from condgen.conditioning import FiLMParameters, GammaBeta


@pytest.mark.parametrize("parts", ["gamma", "beta", "gamma beta"])
def test_a_scatter_is_drawn_whatever_is_fixed(tmp_path, parts):
    layer = GammaBeta(**{part: torch.randn(30, 20) for part in parts.split()})
    maps = feature_maps(FiLMParameters({"a": layer}, {"word": ["$x$", "y", "z"] * 10}))
    save_scatter(tmp_path / "one.png", maps, note="made so")
    save_scatter(tmp_path / "two.png", maps, colour="word", unit=" · std")
    one, two = (Image.open(tmp_path / name) for name in ("one.png", "two.png"))
    assert one.info["condgen"] == "made so"
    assert two.width > one.width
    assert np.asarray(two.convert("L")).min() < 100


def test_a_network_of_ones_own_is_analysed_in_five_lines(tmp_path):
    words = ["how many", "what colour"] * 20
    gamma, beta = torch.randn(40, 8), torch.randn(40, 8)
    beta[::2, 3] += 12

    film = FiLMParameters({"block1": GammaBeta(gamma, beta)}, {"question": words})
    maps, points = feature_maps(film), whole(film)
    figures, split, told = statistics(maps), clusters(maps), neighbours(points, words)
    save_scatter(tmp_path / "scatter.png", maps, colour="question")
    save_maps(tmp_path / "maps.png", {"t-SNE": project(points)}, film.labels)

    assert figures.between.keys() == {"gamma", "beta", "both"}
    assert split[3].explained["question"].information > 0.95
    assert told.accuracy > 0.95 > 0.8 > told.shuffled
    assert Image.open(tmp_path / "maps.png").width > 100
