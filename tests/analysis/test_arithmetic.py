"""Arithmetic of conditions: additive structure gives error 0, and the controls do not."""

import itertools

import numpy as np
import pytest
import torch

from condgen.analysis import arithmetic
from condgen.conditioning import FiLMParameters, GammaBeta


@pytest.fixture(scope="module")
def pairs():
    """FiLM parameters of 4 speakers and 5 words; `together` is how much a pair has of its own."""
    rng = np.random.default_rng(0)
    speakers, words = rng.normal(size=(4, 1, 60)), 2 * rng.normal(size=(1, 5, 60))
    own = rng.normal(size=(4, 5, 60))

    def make(together=0.0):
        grid = torch.from_numpy(speakers + words + together * own).reshape(20, 60)
        places = list(itertools.product("abcd", "vwxyz"))
        labels = {"speaker": [one for one, _ in places], "word": [other for _, other in places]}
        return FiLMParameters({"layer": GammaBeta(grid[:, :30], grid[:, 30:])}, labels)

    return make


def test_additive_conditions_have_no_error(pairs):
    found = arithmetic(pairs(), "speaker", "word")
    assert found.analogies == 4 * 3 * 5 * 4
    assert found.error < 1e-12
    assert found.shuffled > 0.8
    assert found.directions == pytest.approx({"speaker": 1, "word": 1})
    assert all(abs(cosine) < 0.3 for cosine in found.unrelated.values())
    assert found.variance["together"] < 1e-24
    assert sum(found.variance.values()) == pytest.approx(1)
    assert found.variance["word"] == pytest.approx(0.8, abs=0.07)


def test_what_only_a_pair_has_is_the_error(pairs):
    found = arithmetic(pairs(1), "speaker", "word")
    # Four terms of variance 1 against a spread of 1 + 4 + 1.
    assert found.error == pytest.approx((4 / 6) ** 0.5, rel=0.15)
    assert found.directions["word"] > found.directions["speaker"] > 0.3
    assert found.variance["together"] == pytest.approx(1 / 6, abs=0.07)


def test_of_many_analogies_some_are_measured(pairs):
    assert arithmetic(pairs(), "speaker", "word", most=50).analogies == 50


def test_what_does_not_add_up_is_named(pairs):
    film = pairs()
    with pytest.raises(ValueError, match="no labels of 'tone'; there are labels of: speaker, word"):
        arithmetic(film, "speaker", "tone")
    with pytest.raises(ValueError, match="condition 'speaker' has a single class, 'a'"):
        arithmetic(film.select(speaker="a"), "speaker", "word")
    with pytest.raises(ValueError, match="no row has speaker 'd' and word 'z'"):
        arithmetic(film.select(list(range(19))), "speaker", "word")
