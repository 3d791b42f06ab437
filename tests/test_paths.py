"""Paths that people give."""

import os

import pytest

from condgen.paths import identity, require_file, require_folder


def test_a_folder_is_no_file_and_a_file_no_folder(tmp_path):
    (tmp_path / "a.wav").touch()
    assert require_file(tmp_path / "a.wav") == tmp_path / "a.wav"
    assert require_folder(tmp_path) == tmp_path
    for path, fault in (
        (tmp_path, "is a folder; give a sound"),
        (tmp_path / "b", "b does not exist; give a sound"),
        ("", "the path does not exist"),
        ("x" * 5000, "does not exist"),
        ("a\0b", "does not exist"),
    ):
        with pytest.raises(ValueError, match=fault):
            require_file(path, "a sound")
    for path, fault in (
        (tmp_path / "a.wav", "is a file, not a folder; give the data"),
        (tmp_path / "b", "the folder .*b is not there"),
    ):
        with pytest.raises(ValueError, match=fault):
            require_folder(path, "the data")


def test_a_file_is_one_however_its_path_is_written(tmp_path):
    (tmp_path / "a").touch()
    (tmp_path / "b").touch()
    os.symlink(tmp_path / "a", tmp_path / "link")
    os.link(tmp_path / "a", tmp_path / "hard")
    same = [tmp_path / "a", f"{tmp_path}/./a", f"{tmp_path}/../{tmp_path.name}/a", tmp_path / "link", tmp_path / "hard"]
    assert len({identity(path) for path in same}) == 1
    assert identity(tmp_path / "b") != identity(tmp_path / "a")
