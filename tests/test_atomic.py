"""Files and folders appear whole or not at all, and an error names the one that was wanted."""

import errno
import os

import pytest

from condgen.atomic import whole_file, whole_folder


class Stop(Exception):
    """What goes wrong in the middle."""


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_when_the_block_ends_and_leaves_nothing_beside_it(tmp_path):
    with whole_file(tmp_path / "a.png") as temporary:
        assert temporary.suffix == ".png"
        temporary.write_text("new")
        assert not (tmp_path / "a.png").exists()
    assert names(tmp_path) == ["a.png"]
    assert (tmp_path / "a.png").read_text() == "new"


def test_a_file_stays_as_it_was_where_the_block_fails(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    for failure in (Stop, KeyboardInterrupt):
        with pytest.raises(failure), whole_file(tmp_path / "a.txt") as temporary:  # noqa: PT012
            temporary.write_text("half")
            raise failure
    assert names(tmp_path) == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "old"


def test_two_writers_of_one_file_do_not_meet(tmp_path):
    with whole_file(tmp_path / "a") as one, whole_file(tmp_path / "a") as other:
        one.write_text("one")
        other.write_text("other")
    assert (tmp_path / "a").read_text() == "one"  # which ends last


def test_a_folder_appears_whole_with_those_above_it(tmp_path):
    with whole_folder(tmp_path / "up" / "out") as folder:
        (folder / "x").touch()
        assert not (tmp_path / "up" / "out").exists()
    assert names(tmp_path / "up") == ["out"]
    assert names(tmp_path / "up" / "out") == ["x"]
    assert (tmp_path / "up" / "out").stat().st_mode == (tmp_path / "up").stat().st_mode


def test_nothing_is_left_of_a_folder_that_fails(tmp_path):
    with pytest.raises(Stop), whole_folder(tmp_path / "out") as folder:  # noqa: PT012
        (folder / "x").touch()
        raise Stop
    assert names(tmp_path) == []


def test_a_folder_is_replaced_only_where_that_is_asked_for(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").touch()
    with pytest.raises(OSError, match="out"), whole_folder(tmp_path / "out") as folder:
        (folder / "new").touch()
    assert names(tmp_path / "out") == ["old"]
    with whole_folder(tmp_path / "out", replace=True) as folder:
        (folder / "new").touch()
        assert names(tmp_path / "out") == ["old"]
    assert names(tmp_path) == ["out"]
    assert names(tmp_path / "out") == ["new"]


def test_a_folder_that_cannot_be_renamed_brings_the_old_one_back(tmp_path, monkeypatch):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").touch()
    rename, calls = os.replace, []

    def failing(source, target):
        calls.append(source)
        if len(calls) == 2:
            raise OSError(errno.EIO, "the disk fails", str(source))
        rename(source, target)

    monkeypatch.setattr(os, "replace", failing)
    with (
        pytest.raises(OSError, match=r"cannot write .*out: the disk fails"),
        whole_folder(tmp_path / "out", replace=True),
    ):
        pass
    assert names(tmp_path) == ["out"]
    assert names(tmp_path / "out") == ["old"]


@pytest.mark.parametrize("whole", [whole_file, whole_folder])
def test_an_error_of_writing_names_what_was_wanted(whole, tmp_path):
    wanted = tmp_path / "wanted.txt"
    with pytest.raises(OSError, match=r"cannot write .*/wanted\.txt: No space left"), whole(wanted):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(OSError, match=r"cannot write .*/wanted\.txt: Permission denied"), whole(wanted) as path:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"), whole(tmp_path / "file" / "wanted") as path:
        path.touch()


def test_an_error_of_another_file_passes(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"other\.txt"), whole_file(tmp_path / "wanted.txt"):
        (tmp_path / "other.txt").read_text()
