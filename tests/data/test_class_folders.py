"""A folder of classes: the same files, order and splits for sounds and for pictures."""

import os

import pytest
from PIL import Image

from condgen.data import AudioFolder, Folder
from condgen.data.class_folders import list_classes, split_files

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
    kinds = sorted([f"9 .{other}", "4 .db", "3 .ini", "6 .txt", "3 folders", "3 without suffix"], key=lambda k: k[2:])
    assert str(said[0].message).endswith(": 28 files left out, since their suffixes are of another kind: "
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
