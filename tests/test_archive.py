"""Of a checkpoint's archive every entry is what was written, and none is larger than the file."""

import random
import zipfile

import pytest
import torch

from condgen.archive import Damaged, check_archive


@pytest.fixture
def whole(tmp_path):
    torch.save({"a": torch.arange(100.0), "b": "c"}, tmp_path / "whole.ckpt")
    return tmp_path / "whole.ckpt"


def test_a_whole_one_is_taken_and_what_is_none_is_left_to_others(whole, tmp_path):
    check_archive(whole)
    (tmp_path / "b").write_text("no archive")
    check_archive(tmp_path / "b")


def test_no_entry_is_altered(whole):
    """Each bit of the numbers and words is told by the checksum."""
    content, rng = whole.read_bytes(), random.Random(0)
    with zipfile.ZipFile(whole) as archive:
        numbers = next(entry for entry in archive.infolist() if entry.file_size == 400)
    begin = content.index(torch.arange(100.0).numpy().tobytes())
    for _ in range(20):
        at = begin + rng.randrange(numbers.file_size)
        whole.write_bytes(content[:at] + bytes([content[at] ^ 1 << rng.randrange(8)]) + content[at + 1 :])
        with pytest.raises(Damaged, match="altered or damaged since it was written"):
            check_archive(whole)


def test_compressed_entries_are_refused(whole, tmp_path):
    with zipfile.ZipFile(whole) as archive, zipfile.ZipFile(tmp_path / "a.ckpt", "w", zipfile.ZIP_DEFLATED) as small:
        for entry in archive.infolist():
            small.writestr(entry.filename, archive.read(entry))
    with pytest.raises(Damaged, match="holds compressed entries"):
        check_archive(tmp_path / "a.ckpt")
