"""Conditions as people write them: names, numbers, lists and arrays become what the encoder takes, by one rule."""

import re

import numpy as np
import pytest
import torch

from condgen.conditioning import ClassEmbedding, FeatureMap, FeatureVector, FrameSequence, LinguisticSequence
from condgen.conditioning.values import as_tensors, labels_of

DIGITS = {"digit": ClassEmbedding(2, names=list("0123456789"))}
ONE_TO_NINE = {"digit": ClassEmbedding(2, names=list("123456789"))}  # names and positions differ


class Columns:
    """What a table's column gives, as pandas's do: an object that NumPy can read."""

    def __init__(self, values):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.values, dtype)


@pytest.mark.parametrize(("value", "ids"), [
    ("7", [6]), (7, [6]), (7.0, [6]), (["7"], [6]), ([7], [6]), (["7", 3], [6, 2]), ((3, 7), [2, 6]), ("3,7", [2, 6]),
    ("all", list(range(9))), (range(1, 4), [0, 1, 2]), (np.array(["7", "3"]), [6, 2]),
    (np.array(["7", "3"], object), [6, 2]), (np.str_("7"), [6]), ([np.str_("7")], [6]), (Columns(["7", "3"]), [6, 2]),
])  # fmt: skip
def test_words_and_numbers_of_python_are_names(value, ids):
    assert as_tensors(ONE_TO_NINE, {"digit": value})["digit"].tolist() == ids


@pytest.mark.parametrize("value", [
    torch.tensor([7, 3]), np.array([7, 3]), np.array([7, 3], np.uint16), [np.int64(7), np.int64(3)], Columns([7, 3]),
    [torch.tensor(7), torch.tensor(3)],
], ids=range(6))  # fmt: skip
def test_arrays_and_tensors_are_ids(value):
    assert as_tensors(ONE_TO_NINE, {"digit": value})["digit"].tolist() == [7, 3]


@pytest.mark.parametrize("value", [torch.tensor(7), np.array(7), np.int64(7)], ids=range(3))
def test_one_id_is_one_row(value):
    assert as_tensors(ONE_TO_NINE, {"digit": value})["digit"].tolist() == [7]


def test_a_number_of_python_is_a_position_only_where_no_name_is_a_number():
    speakers = {"speaker": ClassEmbedding(2, names=["ann", "bob"])}
    assert as_tensors(speakers, {"speaker": 1})["speaker"].tolist() == [1]


@pytest.mark.parametrize(("value", "message"), [
    ("ten", "condition 'digit' has no class 'ten'; its classes: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9"),
    (["7", "ten"], "condition 'digit' has no class 'ten'"),
    (10, "condition 'digit' has no class '10'"), (True, "condition 'digit' has no class 'True'"),
    (None, "condition 'digit' takes an array of numbers, rows first, and not None"),
    ([], "condition 'digit' takes an array of numbers, rows first, and not nothing"),
    ({"a": 1}, "condition 'digit' takes an array of numbers, rows first, and not {'a': 1}"),
    ([[1], [1, 2]], "condition 'digit' takes an array of numbers; these are none"),
])  # fmt: skip
def test_what_is_no_condition_is_told_in_one_line(value, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}") as found:
        as_tensors(DIGITS, {"digit": value})
    assert "\n" not in str(found.value)


def test_frames_maps_and_vectors_are_arrays_and_tags_are_words():
    encoders = {"mel": FrameSequence(2), "map": FeatureMap(1), "vector": FeatureVector(3),
                "tags": FeatureVector(names=["old", "new"])}  # fmt: skip
    frames, maps = np.random.rand(2, 2, 5), [[[[1, 2], [3, 4]]]]
    found = as_tensors(encoders, {"mel": frames, "map": maps, "vector": [[0.5, 1, 2]], "tags": ["old+new", "new"]})
    assert torch.equal(found["mel"], torch.from_numpy(frames))
    assert found["map"].shape == (1, 1, 2, 2)
    assert found["vector"].tolist() == [[0.5, 1, 2]]
    assert found["tags"].tolist() == [[1, 1], [0, 1]]
    assert as_tensors({"tags": encoders["tags"]}, {"tags": [[1.0, 0.0]]})["tags"].tolist() == [[1, 0]]
    for name, value in (("mel", "a.wav"), ("phonemes", "seven")):
        encoder = FrameSequence(2) if name == "mel" else LinguisticSequence(names=["a"])
        with pytest.raises(ValueError, match=f"condition '{name}' takes an array"):
            as_tensors({name: encoder}, {name: value})


def test_rows_go_together_and_one_row_serves_all():
    both = {**DIGITS, "speaker": ClassEmbedding(2, names=["ann", "bob"])}
    for speaker in ("bob", ["bob"], torch.tensor([1])):
        found = as_tensors(both, {"digit": ["3", "7"], "speaker": speaker})
        assert labels_of(both, found) == {"digit": ["3", "7"], "speaker": ["bob", "bob"]}
    with pytest.raises(ValueError, match=r"different batch sizes: .*'digit': 3, 'speaker': 2"):
        as_tensors(both, {"digit": [1, 2, 3], "speaker": ["ann", "bob"]})
    with pytest.raises(ValueError, match="condition 'speaker' is missing; this model's conditions: digit, speaker"):
        as_tensors(both, {"digit": 1})
    with pytest.raises(ValueError, match="condition 'digitt' is unknown"):
        as_tensors(DIGITS, {"digitt": 1})
