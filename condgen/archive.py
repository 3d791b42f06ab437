"""The zip archive that a checkpoint is: its entries have checksums, which PyTorch does not look at."""

from __future__ import annotations

import zipfile
from pathlib import Path

BLOCK = 1 << 20  # bytes read at a time


class Damaged(ValueError):
    """An archive is not as it was written; the message follows the name of the file."""


def check_archive(path: Path) -> None:
    """Compare each entry of an archive with its checksum, block by block; of what is no archive, nothing is said.

    Raises:
        Damaged: an entry is another than was written, or compressed; or the entries have more bytes than the file.
    """
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            is_stored = all(entry.compress_type == zipfile.ZIP_STORED for entry in entries)
            if not is_stored or sum(entry.file_size for entry in entries) > path.stat().st_size:
                raise Damaged("holds compressed entries: nothing of condgen writes that")
            for entry in entries:
                with archive.open(entry) as file:
                    while file.read(BLOCK):
                        pass  # at its end, the checksum is compared
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError) as error:
        if isinstance(error, Damaged):
            raise
        raise Damaged("was altered or damaged since it was written, as a checksum in it tells: take another copy, or "
                      "train it again") from None  # fmt: skip
