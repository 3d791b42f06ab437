"""The picture of a layer shows where the present stands, whatever is fixed."""

import numpy as np
import pytest
import torch
from PIL import Image

from condgen.analysis import feature_maps
from condgen.analysis.layer_picture import save_layer
from condgen.conditioning import FiLMParameters, GammaBeta


@pytest.mark.parametrize("number", [3, None])
@pytest.mark.parametrize("parts", ["gamma", "beta", "gamma beta"])
@pytest.mark.parametrize("classes", [1, 3, 30])
def test_the_present_is_drawn_where_it_is(tmp_path, parts, number, classes):
    torch.manual_seed(0)
    layer = GammaBeta(**{part: torch.randn(classes, 6) for part in parts.split()})
    film = FiLMParameters({"a": layer}, {"word": [f"$x{i}$" for i in range(classes)]} if classes > 1 else {})
    pictures = []
    for place in (0.5, -0.5):
        present = FiLMParameters({"a": layer.rows([0]).map(lambda part, place=place: part * 0 + place)})
        save_layer(tmp_path / "a.png", feature_maps(film), feature_maps(present), number, note="made so")
        pictures.append(np.asarray(Image.open(tmp_path / "a.png").convert("L")))
    assert Image.open(tmp_path / "a.png").info["condgen"] == "made so"
    # The present, black, is further right the greater it is.
    black = [np.nonzero(picture[40:-55, 80:] < 10)[1] for picture in pictures]
    assert np.median(black[0]) > np.median(black[1])
