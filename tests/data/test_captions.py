"""Images with captions."""

import json
import re

import numpy as np
import pytest
import torch
from PIL import Image

from condgen.data import CaptionedDigits, CaptionedFolder, Images
from condgen.data.batch import NoExamples


def said(source, labelled):
    words = source.words["caption"]
    return [" ".join(words[i - 1] for i in row if i) for row in labelled.captions["caption"].tolist()]


@pytest.fixture(scope="module")
def digits():
    source = CaptionedDigits(copies=1, without=["small seven left", "top nine"])
    return source, source.load("train"), source.load("test")


def test_a_caption_says_the_size_the_digit_and_the_place_of_its_picture(digits):
    source, train, test = digits
    for part in (train, test):
        for i, caption in enumerate(said(source, part)):
            names = {name: source.names[name][int(ids[i])] for name, ids in part.conditions.items()}
            assert set(names.values()) <= set(caption.split())
    assert {len(caption.split()) for caption in said(source, train)} == {6, 8}
    assert any(caption.startswith("on the ") for caption in said(source, train))


def test_the_ink_is_where_and_as_large_as_the_caption_says(digits):
    source, _, test = digits
    ink = (test.x[:, 0] > 0).float()
    rows, columns = (ink.amax(axis) for axis in (2, 1))
    place, size = (test.conditions[name] for name in ("place", "size"))
    left, right, top, bottom = (place == i for i in range(4))
    assert not columns[left, 13:].any()
    assert not columns[right, :3].any()
    assert not rows[top, 13:].any()
    assert not rows[bottom, :3].any()
    assert rows.sum(1)[size == 0].max() <= 7 < rows.sum(1)[size == 1].min() <= rows.sum(1).max() <= 11
    assert int(test.x.max()) == source.levels - 1


def test_combinations_that_are_left_out_are_in_no_training_picture_and_are_tested(digits):
    source, train, test = digits
    for words in ({"small", "seven", "left"}, {"top", "nine"}):
        assert not [caption for caption in said(source, train) if words <= set(caption.split())]
        assert [caption for caption in said(source, test) if words <= set(caption.split())]


def test_pictures_are_the_same_every_time_and_others_for_another_seed(digits):
    _, train, _ = digits
    again = CaptionedDigits(copies=1, without=["small seven left", "top nine"]).load("train")
    assert torch.equal(again.x, train.x)
    assert torch.equal(again.captions["caption"], train.captions["caption"])
    other = CaptionedDigits(copies=1, seed=1).load("val")
    assert not torch.equal(other.captions["caption"], CaptionedDigits(copies=1).load("val").captions["caption"])
    assert len(CaptionedDigits(copies=2).load("val").x) == 2 * len(other.x)


@pytest.mark.parametrize(("options", "message"), [
    ({"size": 11}, "size 11 must be at least 12"), ({"levels": 1}, "levels 1 between 2 and 256"),
    ({"copies": 0}, "copies 0 at least 1"), ({"without": ["a small seven"]}, "'a small seven' is no combination"),
    ({"without": [""]}, "without: '' is no combination such as 'small seven left'; known words: small, large, zero"),
])  # fmt: skip
def test_what_makes_no_sense_is_refused(options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        CaptionedDigits(**options)


def test_a_batch_has_the_caption_of_each_picture_and_few_of_each_class_keep_theirs(digits):
    source, _, _ = digits
    data = Images(source, examples_per_class=1)
    data.setup("fit")
    assert data.conditions["caption"].kind == "words"
    assert data.conditions["caption"].names == source.words["caption"]
    few, every = data.splits["train"], source.load("train")
    batch = data.dataset("train").__getitems__([3, 5])
    place = next(i for i in range(len(every.x)) if torch.equal(every.x[i], batch.x[1]))
    assert torch.equal(batch.conditions["caption"][1], every.captions["caption"][place])
    assert len(few.x) == len(few.captions["caption"]) < len(every.x)
    assert set(data.class_ids("train")) == {"size", "digit", "place"}


def draw(path, seed=0, size=(9, 9)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size, 3)).astype(np.uint8)).save(path)


def test_captions_stand_in_a_text_file_beside_each_picture(tmp_path):
    for i in range(30):
        draw(tmp_path / "in" / f"{i}.png", i)
        (tmp_path / "in" / f"{i}.txt").write_text(f"A {'red' if i % 2 else 'blue'} thing, number{i}.\n")
    source = CaptionedFolder(str(tmp_path))
    assert source.shape == (3, 9, 9)
    assert source.names == {}
    assert {"a", "red", "blue", "thing", "number7"} <= set(source.words["caption"])
    parts = {split: source.load(split) for split in ("train", "val", "test")}
    assert sum(len(part.x) for part in parts.values()) == 30
    assert min(len(part.x) for part in parts.values()) > 0
    captions = [caption for part in parts.values() for caption in said(source, part)]
    assert sorted(captions) == sorted(f"a {'red' if i % 2 else 'blue'} thing number{i}" for i in range(30))


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_captions_stand_in_a_table(kind, tmp_path):
    rows = [("a.png", "a red cat", "train"), ("b/c.png", "blue dog", "val"), ("d.png", "a dog", "test")]
    for i, (name, _, _) in enumerate(rows):
        draw(tmp_path / name, i)
    lines = ["file_name,text,split", *(",".join(row) for row in rows)] if kind == "csv" else [
        json.dumps(dict(zip(("path", "caption", "split"), row, strict=True))) for row in rows]  # fmt: skip
    (tmp_path / f"metadata.{kind}").write_text("\n".join(lines))
    source = CaptionedFolder(str(tmp_path), channels=1)
    assert source.words["caption"] == ["a", "blue", "cat", "dog", "red"]
    assert said(source, source.load("val")) == ["blue dog"]
    assert source.load("val").captions["caption"].tolist() == [[2, 4]]


@pytest.mark.parametrize(("files", "message"), [
    ({}, "holds neither a .csv or .jsonl table nor pictures"),
    ({"a.png": None}, "the caption of "),
    ({"a.png": None, "a.txt": " ,."}, "a.txt has a caption without words"),
    ({"a.png": "words", "a.txt": "a dog"}, "a.png is not a readable image"),
    ({"a.csv": "file_name,caption\nx.png,a dog"}, "row 2: x.png"),
    ({"a.png": None, "a.csv": "file_name,caption\na.png,"}, "row 2 has a caption without words"),
    ({"a.png": None, "a.csv": "file_name,caption\na.png,dog\n./a.png,cat"}, "row 3 lists ./a.png again"),
    ({"a.png": None, "a.csv": "file_name,caption,split\na.png,dog,tests"}, "row 2: unknown split 'tests'; known"),
    ({"a.png": None, "a.csv": "file_name,words\na.png,dog"}, "has no column 'caption' or 'text'; it has file_name"),
    ({"a.csv": "x", "b.csv": "x"}, "holds several tables, a.csv, b.csv: keep one"),
])  # fmt: skip
def test_a_folder_that_is_not_as_described_is_refused_in_one_line(files, message, tmp_path):
    for name, text in files.items():
        draw(tmp_path / name) if text is None else (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=re.escape(message)) as found:
        CaptionedFolder(str(tmp_path))
    assert "\n" not in str(found.value)


def test_a_split_without_pictures_says_so(tmp_path):
    draw(tmp_path / "a.png")
    (tmp_path / "a.txt").write_text("a dog")
    with pytest.raises(NoExamples, match="has no pictures in the test split"):
        CaptionedFolder(str(tmp_path)).load("test")
