"""The recipe of five-way episodes."""

import importlib.util
import sys
from pathlib import Path

import pytest
import torch

FILE = Path(__file__).resolve().parent.parent / "recipes" / "article" / "few_shot.py"


@pytest.fixture
def recipe(monkeypatch):
    monkeypatch.syspath_prepend(str(FILE.parent))
    spec = importlib.util.spec_from_file_location("article_few_shot", FILE)  # another recipe has the same name
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "article_few_shot", module)
    spec.loader.exec_module(module)
    return module


def numbered(letters=7, pictures=9):
    """An alphabet whose pictures say letter and number."""
    grid = torch.arange(letters)[:, None] * 100 + torch.arange(pictures)
    return grid[:, :, None, None, None].expand(-1, -1, 1, 2, 2).float()


def test_no_letter_of_the_new_alphabets_is_known(recipe):
    known, new = ("".join(alphabets) for alphabets in (recipe.KNOWN, recipe.NEW))
    assert not set(known) & set(new)
    assert len(set(known + new)) == len(known + new)


def test_every_font_has_every_letter(recipe):
    missing = recipe.varied("\U0010ffff", recipe.FONTS[0], 16, recipe.np.random.default_rng(0), turn=0)
    for letter in "".join([*recipe.KNOWN, *recipe.NEW]):
        for font in recipe.FONTS:
            drawn = recipe.varied(letter, font, 16, recipe.np.random.default_rng(0), turn=0)
            assert drawn.sum() > 3
            assert font != recipe.FONTS[0] or not torch.equal(drawn, missing)


def test_queries_are_other_pictures_of_the_letters_that_are_shown(recipe):
    support, queries, classes = recipe.episode([numbered()], torch.Generator().manual_seed(0))
    shown, asked = support[:, 0, 0, 0].long(), queries[:, 0, 0, 0].long()
    assert len(set((shown // 100).tolist())) == recipe.WAYS
    assert torch.equal(shown[classes] // 100, asked // 100)
    assert len(set(shown.tolist()) | set(asked.tolist())) == recipe.WAYS * (1 + recipe.QUERIES)


def test_with_multipliers_at_zero_the_task_does_not_matter(recipe):
    torch.manual_seed(0)
    network = recipe.Network(recipe.VARIANTS["both"], 3).eval()
    x, task = torch.rand(4, 1, 16, 16), torch.randn(1, 128)
    assert torch.equal(network.embed(x, network.generator({"task": task})), network.embed(x))
    assert torch.equal(network.multipliers(), torch.zeros(2, 3))


def test_the_task_matters_once_the_multipliers_moved(recipe):
    torch.manual_seed(0)
    network = recipe.Network(recipe.VARIANTS["both"], 3).eval()
    for weight in network.generator.post.parameters():
        torch.nn.init.ones_(weight)
    x, tasks = torch.rand(4, 1, 16, 16), torch.randn(2, 1, 128)
    first, second = (network.embed(x, network.generator({"task": task})) for task in tasks)
    assert not torch.allclose(first, second)


def test_a_query_that_is_an_example_itself_is_read_right(recipe):
    torch.manual_seed(0)
    for variant in recipe.VARIANTS.values():
        network, shown = recipe.Network(variant, 3).eval(), torch.rand(5, 1, 16, 16)
        assert network(shown, shown[[3, 0]]).argmax(1).tolist() == [3, 0]
