"""Pictures: what stands in a row is what its label says."""

from types import SimpleNamespace

import torch

from condgen.conditioning import ClassEmbedding, FeatureVector
from condgen.evaluation.pictures import conditions_grid, tile


def test_every_row_of_a_grid_has_the_conditions_of_its_label():
    """Three classes, and a vector that the two examples at hand fill in."""
    model = SimpleNamespace(encoders={"fruit": ClassEmbedding(2, names=["a", "b", "c"]), "size": FeatureVector(1, 2)})
    conditions, labels = conditions_grid(model, {"size": torch.tensor([[10.0], [20.0]])}, per_row=2)
    assert labels == ["a", "b", "c"]
    assert conditions["fruit"].tolist() == [0, 0, 1, 1, 2, 2]
    assert conditions["size"].flatten().tolist() == [10, 10, 20, 20, 10, 10]


def test_images_are_laid_out_in_rows_between_white_lines():
    canvas = tile(torch.tensor([0, 1, 2]).view(3, 1, 1, 1), levels=5, columns=2)
    white = 255
    assert canvas[..., 0].tolist() == [
        [white] * 5, [white, 0, white, 64, white], [white] * 5, [white, 128, white, white, white], [white] * 5,
    ]  # fmt: skip
