"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)  # of a disk; such errors name no file


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a path beside `path` to write to, and rename it to `path` when the block ends well.

    Args:
        path: file wanted; one that stands there is replaced. The temporary path has the same suffix.

    Raises:
        OSError: the file cannot be written; the message names it.
    """
    final = Path(path)
    temporary = _beside(final)
    with _naming(temporary, final):
        try:
            yield temporary
            os.replace(temporary, final)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: str | os.PathLike[str], replace: bool = False) -> Iterator[Path]:
    """Give a new folder beside `path` to write into, and rename it to `path` when the block ends well.

    Args:
        path: folder wanted. One that stands there must be empty at the end of the block, or be replaced.
        replace: exchange a folder that stands there; what it holds stays until the new one is whole.

    Raises:
        OSError: the folder cannot be written; the message names it.
    """
    final = Path(path)
    temporary, replaced = _beside(final), _beside(final)
    with _naming(temporary, final):
        final.parent.mkdir(parents=True, exist_ok=True)
        temporary.mkdir()
        try:
            yield temporary
            if replace and final.exists():
                os.replace(final, replaced)
            os.replace(temporary, final)
        finally:
            if replaced.exists() and not final.exists():
                os.replace(replaced, final)
            shutil.rmtree(temporary, ignore_errors=True)
            shutil.rmtree(replaced, ignore_errors=True)


def _beside(final: Path) -> Path:
    """Make up a hidden name in the same folder, so that renaming stays within one file system."""
    return final.with_name(f".{final.stem}.{token_hex(4)}{final.suffix}")


@contextmanager
def _naming(temporary: Path, final: Path) -> Iterator[None]:
    """Let errors of writing name the file wanted, of which alone people know; all others pass."""
    try:
        yield
    except OSError as error:
        own = temporary in (place := Path(str(error.filename)), *place.parents)
        if own or (error.filename is None and error.errno in FULL):
            raise OSError(f"cannot write {final}: {error.strerror}") from error
        raise
