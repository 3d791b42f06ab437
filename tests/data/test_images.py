"""The data module of images: a run that goes on, goes on in the same order."""

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
