"""What a loader may give: a `Batch`, or a tuple or list of the same parts; everything else is refused in one line."""

import pytest
import torch

from condgen.data.batch import Batch, as_batch

X, IDS, MASK = torch.zeros(2, 1, 3), {"digit": torch.tensor([0, 1])}, torch.ones(2, 3, dtype=torch.bool)


@pytest.mark.parametrize(
    "found", [Batch(X, IDS), (X, IDS), [X, IDS], (X, IDS, None), (X, IDS, MASK), Batch(X, IDS, MASK)]
)
def test_parts_of_a_batch_in_their_order_are_one(found):
    batch = as_batch(found)
    assert type(batch) is Batch
    assert batch.x is X
    assert batch.conditions == IDS
    assert batch.scored is (found[2] if len(found) == 3 else None)


@pytest.mark.parametrize(("found", "kinds"), [
    (X, "Tensor"), ((X,), "Tensor"), ((X, IDS["digit"]), "Tensor, Tensor"), ((X, {"digit": [0, 1]}), "Tensor, dict"),
    ((X, IDS, MASK, MASK), "Tensor, dict, Tensor, Tensor"), ({"x": X}, "dict"), ((X, IDS, [1]), "Tensor, dict, list"),
])  # fmt: skip
def test_anything_else_is_refused(found, kinds):
    with pytest.raises(ValueError, match=rf"a batch is \(levels, {{condition: values}}\).* this one is \({kinds}\)"):
        as_batch(found)


def test_fewer_labels_than_examples_are_told():
    with pytest.raises(ValueError, match="a batch of 2 examples has 1 values of 'digit': one per example"):
        as_batch((X, {"digit": torch.tensor([0])}))
