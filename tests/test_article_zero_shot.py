"""The recipe of letters in styles never seen together."""

import importlib
from pathlib import Path

import pytest
import torch

FOLDER = Path(__file__).resolve().parent.parent / "recipes" / "article"


@pytest.fixture
def recipe(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("zero_shot")


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_each_letter_and_each_style_is_known_from_other_pairs(recipe, seed):
    pairs = recipe.held_out(seed)
    assert pairs.sum(0).tolist() == [2] * 8
    assert pairs.sum(1).tolist() == [2] * 8


def test_seeds_hold_out_different_pairs(recipe):
    assert not torch.equal(recipe.held_out(0), recipe.held_out(1))


def test_no_held_out_pair_is_trained_on(recipe):
    pairs, data = recipe.held_out(0), recipe.drawn(2, 0)
    left = recipe.without(data, pairs)
    found = set(zip(*(left.conditions[name].tolist() for name in ("letter", "style")), strict=True))
    assert found == {(i, j) for i in range(8) for j in range(8) if not pairs[i, j]}
    assert len(left.x) == 2 * 48


def test_attributes_say_what_the_fonts_are(recipe):
    for font, (serif, bold, slanted) in zip(recipe.FONTS, recipe.STYLES.tolist(), strict=True):
        assert [serif, bold, slanted] == ["Serif" in font, "Bold" in font, "Oblique" in font or "Italic" in font]


def test_pictures_agree_with_their_labels(recipe):
    data = recipe.drawn(2, 0)
    ink = torch.stack([data.x[data.conditions["style"] == j].float().mean() for j in range(8)])
    bold = recipe.STYLES[:, recipe.ATTRIBUTES.index("bold")] == 1
    assert ink[bold].min() > ink[~bold].max()
    assert data.x.max() < recipe.LEVELS


def test_the_lookup_learns_nothing_of_pairs_that_it_never_saw(recipe):
    torch.manual_seed(0)
    model, pairs = recipe.model_of("joint"), recipe.held_out(0).flatten()
    table = model.encoders["pair"].embedding.weight
    before = table.detach().clone()
    recipe.train(model, "joint", recipe.without(recipe.drawn(2, 0), recipe.held_out(0)), 3)
    moved = (table != before).any(1)
    assert not moved[pairs].any()
    assert moved[~pairs].any()


def test_letter_and_style_add_up_in_every_layer(recipe):
    torch.manual_seed(0)
    model = recipe.model_of("additive")
    for weight in model.film_generator.parameters():
        torch.nn.init.normal_(weight)

    def film(letter, style):
        found = model.film(recipe.conditions("additive", torch.tensor([letter]), torch.tensor([style])))
        return found.flatten().double()

    torch.testing.assert_close(film(0, 1) - film(0, 6), film(3, 1) - film(3, 6), rtol=1e-4, atol=1e-4)
