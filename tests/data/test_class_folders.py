"""A folder of classes: the same files, order and splits for sounds and for pictures."""

import os
import sys
from types import SimpleNamespace

import pytest
from PIL import Image

from condgen.data import AudioFolder, Folder
from condgen.data.class_folders import list_classes, split_files
from condgen.data.splits import split_class

CLUTTER = ("Thumbs.db", ".DS_Store", "desktop.ini", "labels.txt", "notes.TXT", "README", "._a.wav")


@pytest.fixture
def classes(tmp_path):
    """Classes 1, 2 and 10 of recordings and pictures, with what systems leave beside them."""
    for name in ("1", "10", "2"):
        (tmp_path / name / "more").mkdir(parents=True)
        for i in (1, 10, 2):
            (tmp_path / name / f"{i}.wav").write_bytes(b"")
            Image.new("L", (4, 4)).save(tmp_path / name / f"{i}.PNG")
        for file in CLUTTER:
            (tmp_path / name / file).write_bytes(b"x")
    (tmp_path / ".git").mkdir()
    (tmp_path / "Thumbs.db").write_bytes(b"x")
    return tmp_path


@pytest.mark.parametrize(("source", "other"), [(AudioFolder, "png"), (Folder, "wav")])
def test_both_pass_over_the_same_files_and_say_so_in_one_line(classes, source, other):
    with pytest.warns(UserWarning, match="left out") as said:
        found = source(str(classes))
    assert list(found.names.values()) == [["1", "2", "10"]]
    assert len(said) == 1
    kinds = sorted([f"9 .{other}", "4 .db", "3 .ini", "6 .txt", "3 without suffix"], key=lambda k: k[2:])
    assert str(said[0].message).endswith(": 25 files left out, since their suffixes are of another kind: "
                                         + ", ".join(kinds))  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*left out")
def test_files_of_a_class_are_in_the_order_of_their_numbers(classes):
    files = list_classes(classes, {".wav"}, "recordings", "speaker")
    assert {name: [file.name for file in found] for name, found in files.items()} == {
        name: ["1.wav", "2.wav", "10.wav"] for name in ("1", "2", "10")
    }


@pytest.mark.filterwarnings("ignore:.*left out")
@pytest.mark.parametrize("link", [os.link, os.symlink])
def test_a_link_to_a_file_that_is_listed_too_is_refused(classes, link):
    link(classes / "1" / "1.wav", classes / "2" / "3.wav")
    with pytest.raises(ValueError, match=r"3\.wav and .*1\.wav are one and the same file"):
        AudioFolder(str(classes))


def test_a_split_is_of_the_path_within_the_root_and_of_the_class_alone(tmp_path):
    def splits(root, classes):
        files = {name: [root / name / f"{i}.wav" for i in range(count)] for name, count in classes.items()}
        return {file.relative_to(root): split for file, split in split_files(root, files).items()}

    small, large = splits(tmp_path / "a", {"ann": 20}), splits(tmp_path / "b", {"ann": 20, "bob": 30})
    assert small.items() <= large.items()
    assert len(large) == 50


@pytest.mark.parametrize(("source", "suffix"), [(AudioFolder, ".wav"), (Folder, ".png")])
def test_sub_folders_are_read_and_hidden_ones_passed_over(tmp_path, source, suffix):
    for name in ("ann/b2/x", "ann/b10/y", "ann/b10/deep/er/y", "ann/a", "ann/.git/z", "bob/c/.hidden/z", "bob/c/x"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4)).save(tmp_path / f"{name}{suffix}", "PNG")
    source(str(tmp_path))
    files = list_classes(tmp_path, {suffix}, "files", "class")
    found = [file.relative_to(tmp_path).with_suffix("").as_posix() for own in files.values() for file in own]
    assert found == ["ann/a", "ann/b2/x", "ann/b10/deep/er/y", "ann/b10/y", "bob/c/x"]


def test_files_of_one_name_in_two_sub_folders_have_splits_of_their_own(tmp_path):
    names = [f"ann/{session}/{i}.wav" for session in range(10) for i in range(10)]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    source = AudioFolder(str(tmp_path))
    found = {clip.path.relative_to(tmp_path).as_posix(): split for split in ("train", "val", "test")
             for clip in source.clips(split)}  # fmt: skip
    assert found == split_class(names)
    assert len({found[name] for name in names if name.endswith("/1.wav")}) > 1


def test_a_folder_linked_into_a_class_is_not_followed_and_this_is_said(tmp_path):
    (tmp_path / "ann").mkdir()
    (tmp_path / "ann" / "1.wav").write_bytes(b"")
    (tmp_path / "ann" / "again").symlink_to(tmp_path / "ann")
    with pytest.warns(UserWarning, match="1 files left out.*: 1 links to folders"):
        assert len(list_classes(tmp_path, {".wav"}, "recordings", "speaker")["ann"]) == 1


def test_a_class_folder_may_itself_be_a_link(tmp_path):
    (tmp_path / "elsewhere" / "s").mkdir(parents=True)
    (tmp_path / "elsewhere" / "s" / "1.wav").write_bytes(b"")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "ann").symlink_to(tmp_path / "elsewhere")
    assert len(list_classes(tmp_path / "root", {".wav"}, "recordings", "speaker")["ann"]) == 1


def test_sound_that_cannot_be_read_is_named_where_it_is_left_out(tmp_path):
    for name in ("ann/1.wav", "ann/2.m4a", "ann/s/3.M4A", "ann/4.wma"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    with pytest.warns(UserWarning, match=r"3 files left out.*: 2 \.m4a, 1 \.wma"):
        AudioFolder(str(tmp_path))
    (tmp_path / "ann" / "1.wav").unlink()
    with pytest.raises(
        ValueError,
        match=r"no recordings of speaker ann \(but 2 \.m4a, 1 \.wma; to use \.m4a, \.wma, convert them, .*\); add some",
    ):
        AudioFolder(str(tmp_path))


def image(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (4, 4)).save(path)


@pytest.mark.parametrize("folder", ["__MACOSX", "$RECYCLE.BIN", "@eaDir", ".hidden"])
def test_folders_that_systems_make_are_no_classes(tmp_path, folder):
    for name in ("cat/1.png", f"{folder}/2.png", f"cat/{folder}/3.png"):
        image(tmp_path / name)
    assert list_classes(tmp_path, {".png"}, "images", "class") == {"cat": [tmp_path / "cat" / "1.png"]}


def test_folders_whose_names_differ_in_spelling_alone_are_one_class(tmp_path):
    image(tmp_path / "cafe\u0301" / "1.png")
    image(tmp_path / "caf\u00e9" / "2.png")
    files = list_classes(tmp_path, {".png"}, "images", "class")
    assert list(files) == ["caf\u00e9"]
    assert sorted(file.name for file in files["caf\u00e9"]) == ["1.png", "2.png"]
    assert all(file.is_file() for file in files["caf\u00e9"])


def test_folders_of_splits_are_no_classes(tmp_path):
    for name in ("train/cat/1.png", "val/cat/2.png"):
        image(tmp_path / name)
    with pytest.raises(ValueError, match=r"has a folder for each split \(train, val\), not for each class: give one"):
        Folder(str(tmp_path))
    image(tmp_path / "car" / "3.png")
    assert Folder(str(tmp_path)).names == {"class": ["car", "train", "val"]}


def test_a_lone_class_of_folders_is_said_to_lie_too_high(tmp_path):
    for name in ("photos/cat/1.png", "photos/dog/2.png"):
        image(tmp_path / name)
    with pytest.warns(UserWarning, match=rf"\(cat, dog\): if these are the classes, give {tmp_path / 'photos'}"):
        Folder(str(tmp_path))
    assert Folder(str(tmp_path / "photos")).names == {"class": ["cat", "dog"]}


@pytest.mark.parametrize("place", ["", "cat", "cat/more"])
def test_a_folder_that_cannot_be_read_is_named(tmp_path, monkeypatch, place):
    image(tmp_path / "cat" / "more" / "1.png")
    locked = {**vars(os)}

    def refusing(name):
        def call(path="."):
            if os.fspath(path) == str(tmp_path / place):
                raise PermissionError(13, "Permission denied", os.fspath(path))
            return locked[name](path)

        return call

    for name in ("scandir", "listdir"):
        monkeypatch.setattr(os, name, refusing(name))
    with pytest.raises(ValueError, match=f"the folder {tmp_path / place} cannot be read: Permission denied; allow"):
        Folder(str(tmp_path))


def test_photographs_of_telephones_need_a_package(tmp_path, monkeypatch):
    image(tmp_path / "cat" / "1.png")
    (tmp_path / "cat" / "2.HEIC").write_bytes(b"x")
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.warns(UserWarning, match=r": 1 \.heic; to use \.heic, pip install pillow-heif$"):
        assert len(Folder(str(tmp_path)).files["cat"]) == 1
    # Stands in for the package: with it, Pillow reads them as any other picture.
    monkeypatch.setitem(sys.modules, "pillow_heif", SimpleNamespace(register_heif_opener=lambda: None))
    (tmp_path / "cat" / "2.HEIC").write_bytes((tmp_path / "cat" / "1.png").read_bytes())
    assert len(Folder(str(tmp_path)).files["cat"]) == 2
