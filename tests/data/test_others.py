"""Another example of the same class."""

from collections import Counter

import pytest
import torch

from condgen.data.others import Others

IDS = torch.tensor([2, 0, 2, 0, 2, 3, 3])
NAMES = ["ann", "bob", "cid", "dan"]


def test_it_is_of_the_same_class_and_never_the_example_itself_and_every_other_comes():
    torch.manual_seed(0)
    choose = Others(IDS, NAMES, varies=True, whose="the train split")
    for row, label in enumerate(IDS.tolist()):
        found = Counter(choose([row] * 60))
        assert set(found) == {i for i, other in enumerate(IDS.tolist()) if other == label and i != row}


def test_what_does_not_vary_is_the_same_in_every_batch_and_leaves_other_random_numbers_alone():
    choose = Others(IDS, NAMES, varies=False, whose="the test split")
    torch.manual_seed(0)
    expected = torch.rand(())
    torch.manual_seed(0)
    together = choose(range(7))
    assert torch.rand(()) == expected
    assert [choose([row])[0] for row in range(7)] == together


def test_a_class_of_one_example_is_refused_by_name():
    with pytest.raises(
        ValueError, match=r"^the train split, by speaker, has one example alone of ann, cid, and another"
    ):
        Others(torch.tensor([0, 1, 1, 2]), NAMES, varies=True, whose="the train split, by speaker,")
