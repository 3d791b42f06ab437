"""Lengths of batches: few, never too short, and those with the least padding that so few allow."""

from itertools import combinations

import numpy as np
import pytest

from condgen.data.padding import padded, padded_lengths, padding_told


def cost(lengths, padded_to):
    return sum(padded(int(length), padded_to) for length in lengths)


@pytest.mark.parametrize("most", [1, 2, 3, 4])
@pytest.mark.parametrize("seed", range(5))
def test_they_are_the_best_of_all_choices(most, seed):
    lengths = np.random.default_rng(seed).integers(1, 40, 10) ** 2
    own = np.unique(lengths)
    best = min(cost(lengths, np.array(c)) for c in combinations(own, min(most, len(own))) if c[-1] == own[-1])
    found = padded_lengths(lengths, most)
    assert cost(lengths, found) == best
    assert len(found) <= most
    assert found[-1] == lengths.max()


@pytest.mark.parametrize("count", [1, 2, 3, 8, 9, 100, 5000])
@pytest.mark.parametrize("spread", [1, 3, 1000])
def test_they_are_few_lengths_of_clips_that_hold_every_clip(count, spread):
    lengths = 80 * np.random.default_rng(0).integers(1, spread + 1, count)
    found = padded_lengths(lengths)
    assert 1 <= len(found) <= 8
    assert np.array_equal(found, np.unique(found))
    assert set(found) <= set(lengths)
    assert all(padded(n, found) >= n for n in lengths)
    assert len(np.unique(lengths)) > 8 or cost(lengths, found) == lengths.sum()


def test_by_hand():
    """1, 1, 1, 1, 10 and 100: two lengths pad least by four to 1 or by five to 10; three not at all."""
    lengths = np.array([1, 1, 1, 1, 10, 100])
    assert padded_lengths(lengths, 2).tolist() == [10, 100]  # 36 more; with 1 and 100, 90 more
    assert padded_lengths(lengths, 3).tolist() == [1, 10, 100]
    assert [padded(n, np.array([10, 100])) for n in (1, 10, 11, 100, 101)] == [10, 10, 100, 100, 101]
    assert (
        padding_told(lengths, np.array([10, 100]))
        == "batches have 2 lengths, 10, 100 samples: 32% more than the clips'"
    )
    assert padding_told(np.array([7]), np.array([7])) == "batches have one length, 7 samples: 0% more than the clips'"
