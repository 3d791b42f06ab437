"""The cloze test of the recipe on reading, and the ways in which its readers let the question act."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "recipes" / "article"))  # recipes import by name

import reading as recipe


def asked(count=500):
    return recipe.questions(count, torch.Generator().manual_seed(0))


def test_the_answer_is_the_nearest_place_on_the_side_asked_for():
    for document, (relation, person), answer in zip(*map(torch.Tensor.tolist, asked()), strict=True):
        at = document.index(person)
        places = [i for i, word in enumerate(document) if recipe.PEOPLE <= word < recipe.PEOPLE + recipe.PLACES]
        if relation == recipe.WORDS - 1:
            assert answer == min(i for i in places if i > at)
        else:
            assert answer == max(i for i in places if i < at)


def test_a_document_says_nothing_twice_and_the_place_alone_does_not_tell_the_answer():
    document, _, answer = asked(3000)
    assert all(len(set(row)) == len(row) == sum(recipe.SHOWN) for row in document.tolist())
    places = document.gather(1, answer[:, None]).squeeze(1) - recipe.PEOPLE
    shares = torch.bincount(places, minlength=recipe.PLACES) / len(places)
    assert shares.max() < 1.3 / recipe.PLACES


@pytest.mark.parametrize(("gating", "channels"), [("multiply", 48), ("add", 48), ("concatenate", 96), ("none", 48)])
def test_the_question_acts_on_each_token_by_what_the_token_attends_to(gating, channels):
    reader, states, question = recipe.Reader(gating, 2).double(), torch.randn(2, 48, 5).double(), torch.randn(2, 48, 3)
    question = question.double()
    read = torch.einsum("bij,bcj->bci", torch.einsum("bci,bcj->bij", states, question).softmax(2), question)
    expected = {"multiply": states * read, "add": states + read, "concatenate": torch.cat([states, read], 1),
                "none": states}  # fmt: skip
    found = reader.gated(states, question)
    assert found.shape == (2, channels, 5)
    torch.testing.assert_close(found, expected[gating], atol=1e-12, rtol=0)


def test_multiplying_adding_and_not_gating_cost_the_same_parameters():
    sizes = {gating: sum(p.numel() for p in recipe.Reader(gating, 2).parameters())
             for gating in ("multiply", "add", "none", "concatenate")}  # fmt: skip
    assert sizes["multiply"] == sizes["add"] == sizes["none"] < sizes["concatenate"]


def test_only_places_are_answers():
    document, question, _ = asked(20)
    with torch.no_grad():
        found = recipe.Reader("multiply", 2)(document, question).softmax(1)
    assert not found[document < recipe.PEOPLE].any()
