"""Faults: all items are tried, and all that are bad are told in one line."""

import pickle

import pytest

from condgen.data.faults import Faults, for_each


def odd(number):
    if number % 2 == 0:
        raise ValueError(f"{number} is even")
    return -number


def test_without_faults_the_results_are_returned_in_order():
    assert for_each(odd, [3, 1, 5], "numbers") == [-3, -1, -5]


@pytest.mark.parametrize(
    ("numbers", "message"),
    [([1, 2, 3], "2 is even"), ([4, 4], "4 is even"),
     ([2, 3, 4], "2 numbers cannot be used: 2 is even; 4 is even"),
     (range(44), f"22 numbers cannot be used: {'; '.join(f'{2 * i} is even' for i in range(20))}; and 2 more")],
)  # fmt: skip
def test_all_faults_are_told_once_and_the_first_twenty_of_many(numbers, message):
    with pytest.raises(Faults) as found:
        for_each(odd, numbers, "numbers")
    assert str(found.value) == str(pickle.loads(pickle.dumps(found.value))) == message
