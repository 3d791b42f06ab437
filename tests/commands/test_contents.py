"""What data hold: exact counts and durations, and a line for whatever will harm training."""

import re

import numpy as np
import pytest
import torch
from PIL import Image

from condgen.commands.contents import cautions, contents, listed, markdown, read_all
from condgen.data import Folder, Images, Labelled
from condgen.data.batch import NoExamples
from condgen.data.faults import Faults


class Source:
    """Images of one pixel with the classes that are told for each split; a split without any is empty."""

    def __init__(self, names, **splits):
        self.shape, self.levels, self.names, self.splits = (1, 1, 1), 4, {"class": names}, splits

    def load(self, split):
        if split not in self.splits:
            raise NoExamples(f"no {split}")
        ids = torch.tensor(self.splits[split])
        return Labelled(torch.zeros(len(ids), 1, 1, 1, dtype=torch.uint8), {"class": ids})


def report(source):
    data = Images(source)
    found = contents(data, read_all(data))
    return {**found, "notes": [], "cautions": cautions(found)}


def test_examples_are_counted_by_class_and_split():
    found = report(Source(["a", "b", "c"], train=[0, 0, 2], val=[2], test=[0, 2, 2]))
    assert found["examples"] == {"train": 3, "val": 1, "test": 3}
    assert found["counts"] == {"class": {"a": {"train": 2, "val": 0, "test": 1}, "b": {"train": 0, "val": 0, "test": 0},
                                         "c": {"train": 1, "val": 1, "test": 2}}}  # fmt: skip
    assert (found["shape"], found["levels"], found["sample_rate"]) == ((1, 1, 1), 4, None)
    lines = markdown(found).splitlines()
    assert "| class | train | val | test | all |" in lines
    assert "| c | 1 | 1 | 2 | 4 |" in lines
    assert "| all 3 | 3 | 1 | 3 | 7 |" in lines


def test_of_many_classes_forty_are_shown_and_the_others_counted():
    names = [f"c{i}" for i in range(45)]
    lines = markdown(report(Source(names, train=list(range(45)) * 2, val=[0, 44], test=[1]))).splitlines()
    rows = [line for line in lines if line.startswith("| c") and "train" not in line]
    assert len(rows) == 40
    assert rows[-1] == "| c39 | 2 | 0 | 0 | 2 |"
    assert "| 5 others | 10 | 1 | 0 | 11 |" in lines
    assert "| all 45 | 90 | 2 | 1 | 93 |" in lines


def test_a_line_in_a_name_does_not_end_a_cell():
    assert "| a\\|b | 1 | 1 |" in markdown(report(Source(["a|b"], train=[0])))


BAD = {
    "no validation": (["a", "b"], [0] * 60 + [1] * 60, None, "there are no validation examples, without which"),
    "one class": (["a"], [0] * 60, [0], "'class': 'a' is the only class"),
    "few": (["a", "b"], [0] * 60 + [1] * 49, [0, 1], "fewer than 50 training examples, of which little is learnt: 'b'"),
    "fewer": (["a", "b"], [0] * 60 + [1] * 9, [0], "fewer than 10 examples, of which none need validate.*: 'b'"),
    "none": (["a", "b"], [0] * 60, [0, 1], "no training examples, so that they stay unknown: 'b'"),
    "unequal": (["a", "b"], [0] * 601 + [1] * 60, [0, 1], "'a' has 601 training examples and 'b' 60: most of what"),
}  # fmt: skip


@pytest.mark.parametrize(("names", "train", "val", "said"), BAD.values(), ids=BAD)
def test_what_will_harm_training_is_said(names, train, val, said):
    found = report(Source(names, train=train, **({} if val is None else {"val": val})))["cautions"]
    assert sum(bool(re.search(said, line)) for line in found) == 1


def test_nothing_is_said_of_enough_examples():
    assert report(Source(["a", "b"], train=[0] * 600 + [1] * 60, val=[0, 1]))["cautions"] == []


def test_of_many_names_the_first_are_listed():
    assert listed([str(i) for i in range(12)]) == ", ".join(f"'{i}'" for i in range(10)) + " and 2 more"
    assert listed(["a, b"]) == "'a, b'"


def test_splits_may_be_empty_but_for_training():
    data = Images(Source(["a"], train=[0]))
    assert read_all(data) == ["train"]
    with pytest.raises(NoExamples, match="no train"):
        read_all(Images(Source(["a"], val=[0])))


def test_bad_examples_of_all_splits_are_named_together():
    class Bad(Source):
        def load(self, split):
            raise Faults([f"{split} is bad"], "images")

    with pytest.raises(Faults, match=r"^3 images cannot be used: train is bad; val is bad; test is bad$"):
        read_all(Images(Bad(["a"])))


def test_a_folder_says_what_it_was_given(tmp_path):
    (tmp_path / "cat").mkdir()
    for i in range(12):
        Image.fromarray(np.full((4, 4), i, np.uint8)).save(tmp_path / "cat" / f"{i}.png")
    found = report(Folder(str(tmp_path), size=2, condition="animal"))
    assert found["source"] == "Folder"
    assert {"root": str(tmp_path), "size": 2, "condition": "animal"}.items() <= found["given"].items()
    assert sum(found["counts"]["animal"]["cat"].values()) == 12
