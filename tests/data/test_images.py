"""The data module of images: a run that goes on, goes on in the same order."""

import copy
import pickle

import pytest
import torch

from condgen.data import Digits, Images, Labelled


def order(data, seed):
    torch.manual_seed(seed)
    return torch.cat([batch.x for batch in data.train_dataloader()])


def make_images():
    data = Images(Digits(), batch_size=256)
    data.setup("fit")
    return data


def test_a_resumed_module_goes_on_in_the_order_that_was_saved():
    first, resumed, other = make_images(), make_images(), make_images()
    expected = order(first, seed=1)
    resumed.load_state_dict(first.state_dict())
    assert torch.equal(order(resumed, seed=2), expected)
    assert not torch.equal(order(other, seed=2), expected)


def test_a_source_without_training_images_is_refused():
    class Empty(Digits):
        def load(self, split):
            found = super().load(split)
            return Labelled(found.x[:0], {name: ids[:0] for name, ids in found.conditions.items()})

    with pytest.raises(ValueError, match="the train split of Empty has no images"):
        Images(Empty()).setup("fit")


class Own:
    """A source of one's own, which gives whatever it is told to."""

    shape, levels = (1, 2, 2), 3

    def __init__(self, found):
        self.found, self.names = found, {"digit": ["a", "b"]}

    def load(self, split):
        return self.found


X, IDS = torch.zeros(4, 1, 2, 2, dtype=torch.uint8), torch.tensor([0, 1, 0, 1], dtype=torch.uint8)


@pytest.mark.parametrize("found", [(X, {"digit": IDS}), [X, {"digit": IDS}], (X, {"digit": IDS}, False)])
def test_a_source_may_give_plain_tuples(found):
    data = Images(Own(found), batch_size=4)
    data.setup()
    (batch,) = data.val_dataloader()
    assert torch.equal(batch.x, X)
    assert torch.equal(batch.conditions["digit"], IDS.long())


@pytest.mark.parametrize(("found", "message"), [
    (X, r"the train split of Own is to be levels, \(images, channels, height, width\)"),
    ((X, IDS), r"this one is \(\(4, 1, 2, 2\), \(4,\)\)"),
    ((X.numpy(), {"digit": IDS}), r"this one is \(ndarray, dict\)"),
    ((X, {"digit": [0, 1, 0, 1]}), r"this one is \(\(4, 1, 2, 2\), dict\)"), ((X[:, 0], {"digit": IDS}), "is to be"),
    ((X, {"digit": IDS[:3]}), "the train split of Own has 4 images and 3 class ids of 'digit': one per image"),
    (None, "this one is \\(NoneType\\)"),
])  # fmt: skip
def test_what_a_source_may_not_give_is_told_in_one_line(found, message):
    with pytest.raises(ValueError, match=message) as told:
        Images(Own(found)).setup("fit")
    assert "\n" not in str(told.value)


def test_a_source_that_lacks_something_is_told_all_of_it():
    class Bare:
        shape, levels = (1, 2, 2), 3

    with pytest.raises(ValueError, match="Bare has no load, names, which the contract ImageSource requires"):
        Images(Bare())


# Few examples of each class, to see what a model makes of them.


def kept(count, **conditions):
    """The rows of a source that training keeps, by the level of their first pixel."""
    rows = len(next(iter(conditions.values())))
    x = torch.arange(rows, dtype=torch.uint8)[:, None, None, None].expand(rows, 1, 2, 2).clone()
    data = Images(Own((x, conditions)), examples_per_class=count)
    data.setup()
    assert len(data.splits["val"].x) == len(data.splits["test"].x) == rows
    found = data.splits["train"]
    return set(found.x[:, 0, 0, 0].tolist()), found.conditions


def test_as_many_training_examples_are_kept_of_each_class_as_are_asked_for():
    digit = torch.arange(90) % 3
    digit[digit == 2] = torch.arange(30) % 10 // 9 * 2  # three examples alone
    few, conditions = kept(5, digit=digit)
    assert conditions["digit"].bincount().tolist() == [5, 5, 3]
    assert torch.equal(conditions["digit"], digit[sorted(few)])
    more, conditions = kept(20, digit=digit)
    assert conditions["digit"].bincount().tolist() == [20, 20, 3]
    assert few < more
    everything, _ = kept(1000, digit=digit)
    assert len(everything) == 90


def test_of_several_conditions_each_combination_keeps_as_many():
    _, conditions = kept(2, digit=torch.arange(40) % 2, side=torch.arange(40) // 20)
    assert (2 * conditions["digit"] + conditions["side"]).bincount().tolist() == [2, 2, 2, 2]


def test_no_examples_of_a_class_are_refused():
    with pytest.raises(ValueError, match="examples_per_class 0 is not at least 1"):
        Images(Digits(), examples_per_class=0)


def test_what_a_source_gives_goes_to_other_processes():
    own = Labelled(torch.zeros(2, 1, 4, 4, dtype=torch.uint8), {"digit": torch.tensor([0, 1])})
    for copied in (pickle.loads(pickle.dumps(own)), copy.deepcopy(own)):
        assert copied.captions == {}
        assert torch.equal(copied.conditions["digit"], own.conditions["digit"])
