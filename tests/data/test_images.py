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
