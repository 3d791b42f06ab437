"""The scenes and questions of recipes/article/visual_reasoning.py, and what its systems hold."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

sys.path.append(str(Path(__file__).parents[1] / "recipes" / "article"))
shapes = pytest.importorskip("shapes")
told = pytest.importorskip("visual_reasoning")


@pytest.fixture
def scenes():
    return shapes.scenes(64, torch.Generator().manual_seed(0))


def test_the_picture_shows_each_shape_where_it_lies_in_its_colour(scenes) -> None:
    inks = [sum(map(int, bits)) for bits in shapes.SHAPES.values()]
    for picture, kinds, places in zip(scenes.pictures, scenes.shapes, scenes.places, strict=True):
        for colour, kind, (row, column) in zip(shapes.COLOURS.values(), kinds, places, strict=True):
            patch = picture[:, row : row + 3, column : column + 3]
            assert int((patch == torch.tensor(colour)[:, None, None]).all(0).sum()) == inks[kind]
        assert int((picture.sum(0) > 0).sum()) == sum(inks[kind] for kind in kinds)  # none hides another


def test_answers_agree_with_the_scene(scenes) -> None:
    for kind in range(6):
        got = shapes.answers(scenes, torch.full((64,), kind), torch.full((64,), 2))
        for n in range(64):
            (row, column), mine = scenes.places[n, 2].tolist(), scenes.shapes[n]
            apart = (scenes.places[n] - scenes.places[n, 2]).square().sum(1) + torch.arange(6) / 100
            others = [c for c in range(6) if c != 2]
            wanted = [
                list(shapes.SHAPES)[mine[2]], "right" if column >= 8 else "left", "low" if row >= 8 else "high",
                list(shapes.SHAPES)[mine[min(others, key=lambda c: apart[c])]],
                list(shapes.SHAPES)[mine[max(others, key=lambda c: apart[c])]], str(int((mine == mine[2]).sum())),
            ]  # fmt: skip
            assert shapes.ANSWERS[got[n]] == wanted[kind]


def test_a_dialogue_holds_its_question_in_the_round_that_it_names() -> None:
    types, colours = torch.randint(3, (50,)), torch.randint(6, (50,))
    ids = shapes.dialogues(types, colours, 6, 3, torch.Generator().manual_seed(1))
    assert ids.shape == (50, 20)
    for row, kind, colour in zip(ids.tolist(), types.tolist(), colours.tolist(), strict=True):
        said = [shapes.WORDS[i - 1] for i in row]
        place = said.index(said[-1])
        assert said[place + 1 : place + 3] == [list(shapes.COLOURS)[colour], shapes.TYPES[kind]]


def test_conditional_batch_norm_starts_as_the_trunk_and_leaves_it_alone(scenes) -> None:
    torch.manual_seed(0)
    trunk = told.Reasoner()
    own = told.FiLMGenerator({}, told.film_layers(trunk), "none")
    torch.nn.init.normal_(own.own_delta)
    system = told.Modern(trunk, own, conditional=True).train()
    questions = shapes.IDS[:64]
    film = system.generator({"question": questions})
    assert torch.equal(system.trunk.look(scenes.pictures, film), trunk.eval().look(scenes.pictures, own({})))
    before = {name: value.clone() for name, value in trunk.state_dict().items()}
    told.learn(system, system.generator, told.partial(told.ask, 0, 6), 2, 0)
    assert all(torch.equal(before[name], value) for name, value in trunk.state_dict().items())


def test_without_film_the_question_changes_nothing(scenes) -> None:
    system = told.System("none").eval()
    ids = shapes.IDS[:64]
    assert torch.equal(system(scenes.pictures, ids), system(scenes.pictures, ids.flip(0)))
