"""Class ids in a model's order mean what they meant in the source's, and what cannot be is one line."""

import pytest
import torch

from condgen.data import Digits, Images
from condgen.data.class_order import known_otherwise, ordered, renumbered


def test_ids_mean_the_same_names_before_and_after():
    names, wanted = {"voice": ["a", "b", "c"]}, {"voice": ["c", "new", "a", "b"]}
    ids = torch.tensor([[0, 2], [1, 0]])
    found = renumbered({"voice": ids}, names, wanted)["voice"]
    assert [[wanted["voice"][i] for i in row] for row in found.tolist()] == [["a", "c"], ["b", "a"]]
    assert ordered(names, wanted) == wanted


def test_images_have_the_ids_of_the_names_that_are_wanted():
    plain, moved = Images(Digits()), Images(Digits(), class_names={"digit": [*"98765", "x", *"43210"]})
    plain.setup("test"), moved.setup("test")
    for data in (plain, moved):
        assert data.conditions["digit"].names == data.names["digit"]
    said = [[data.names["digit"][i] for i in data.class_ids("test")["digit"]] for data in (plain, moved)]
    assert said[0] == said[1]
    batch = moved.dataset("test").__getitems__([0, 5])
    assert [moved.names["digit"][i] for i in batch.conditions["digit"]] == [said[0][0], said[0][5]]


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"speaker": ["a"]}, "of which the source has no classes; it has classes of voice"),
        ({"voice": ["a"]}, "without b, which the source has"),
        ({"voice": ["a", "b", "a"]}, "with a name twice"),
    ],
)
def test_names_that_do_not_fit_are_one_line(wanted, words):
    with pytest.raises(ValueError, match=words) as raised:
        ordered({"voice": ["a", "b"]}, wanted)
    assert "\n" not in str(raised.value)


def test_only_what_a_model_knows_entirely_and_otherwise_is_reordered():
    data = {"voice": ["a", "b"], "digit": ["0"], "style": ["x", "y"]}
    known = {"voice": ["b", "a", "c"], "digit": ["0"], "style": ["x", "z"], "none": ["q"]}
    assert known_otherwise(known, data) == {"voice": ["b", "a", "c"]}
