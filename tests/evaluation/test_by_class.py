"""A class that has collapsed is seen by itself, and told; its neighbours are not."""

import pytest
import torch

from condgen.evaluation.by_class import OfClass, alarms, by_class

NAMES = ["a", "b", "c"]


class Reader:
    """Features are the first two pixels; the class is the third."""

    def classify(self, x):
        flat = x.flatten(1)
        return flat[:, :2], flat[:, 2].long()


def pictures(count, seed, label):
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(count, 1, 1, 3, generator=generator)
    x[..., 2] = label
    return x


def test_half_a_class_that_is_white_halves_its_diversity_and_its_reading_and_no_others():
    """By hand: of 20 samples of `b`, 10 are one picture, which is read as `c`."""
    ids = torch.tensor([0, 1]).repeat_interleave(20)
    real = torch.cat([pictures(20, 0, 0), pictures(20, 1, 1)])
    x = torch.cat([pictures(20, 2, 0), pictures(20, 3, 1)])
    x[20:30] = torch.tensor([1.0, 1.0, 2.0])
    found = by_class(Reader(), x, ids, real, ids, NAMES)
    assert set(found) == {"a", "b"}
    assert found["a"].read == found["a"].real_read == found["b"].real_read == 1
    assert found["a"].diversity >= 0.9
    assert (found["b"].count, found["b"].read) == (20, 0.5)
    assert 0.4 <= found["b"].diversity <= 0.5
    assert list(alarms("kind", found)) == ["b"]


def test_one_sample_is_no_copy_and_a_class_without_real_examples_is_read_all_the_same():
    found = by_class(Reader(), pictures(1, 0, 1), torch.tensor([1]), pictures(3, 1, 0), torch.zeros(3), NAMES)
    assert found == {"b": OfClass(1, 1.0, 0.0, 1.0)}


SAID = "kind 'a' has collapsed or is ignored: of its samples, "


@pytest.mark.parametrize(("figures", "words"), [
    (OfClass(20, 0.9, 1.0, 0.8), None),
    (OfClass(20, 0.9, 1.0, 0.5), "50% are all but copies of others"),
    (OfClass(20, 0.4, 1.0, 1.0), "40% are read as it, of real ones 100%"),
    (OfClass(9, 0.0, 1.0, 0.0), None),
])  # fmt: skip
def test_an_alarm_is_one_line_that_names_the_class(figures, words):
    assert alarms("kind", {"a": figures}) == ({} if words is None else {"a": SAID + words})
