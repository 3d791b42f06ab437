"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
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
    with naming(temporary, final):
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
    temporary = _beside(final)
    with naming(temporary, final):
        final.parent.mkdir(parents=True, exist_ok=True)
        temporary.mkdir()
        try:
            yield temporary
            put_in_place(temporary, final, replace)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def put_in_place(folder: Path, final: Path, replace: bool) -> None:
    """Rename a folder to what it is to be called.

    Args:
        folder: folder, on the same file system.
        final: name wanted. A folder that stands there must be empty, or be replaced.
        replace: exchange a folder that stands there.
    """
    replaced = _beside(final)
    try:
        if replace and final.exists():
            os.replace(final, replaced)
        os.replace(folder, final)
    finally:
        if replaced.exists() and not final.exists():
            os.replace(replaced, final)
        shutil.rmtree(replaced, ignore_errors=True)


def discard(folder: Path) -> None:
    """Remove a folder so that none of its name is ever seen without some of what it held."""
    if folder.exists():
        removed = _beside(folder)
        os.replace(folder, removed)
        shutil.rmtree(removed, ignore_errors=True)


@contextmanager
def held(folder: Path) -> Iterator[bool]:
    """Hold a folder while the block runs, so that no other process does; the system lets go of what a killed one held.

    Yields:
        False where another process holds it. Where folders cannot be held, as on Windows, nobody knows, and it is true.
    """
    try:
        import fcntl

        descriptor = os.open(folder, os.O_RDONLY)
    except (ImportError, OSError):
        yield True
        return
    try:
        yield _locked(fcntl.flock, descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(descriptor)


def _locked(lock: Callable[[int, int], None], descriptor: int, how: int) -> bool:
    try:
        lock(descriptor, how)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def _beside(final: Path) -> Path:
    """Make up a hidden name in the same folder, so that renaming stays within one file system."""
    return final.with_name(f".{final.stem}.{token_hex(4)}{final.suffix}")


@contextmanager
def naming(temporary: Path, final: Path) -> Iterator[None]:
    """Let errors of writing name the file wanted, of which alone people know; all others pass."""
    try:
        yield
    except OSError as error:
        own = temporary in (place := Path(str(error.filename)), *place.parents)
        if own or (error.filename is None and error.errno in FULL):
            raise OSError(f"cannot write {final}: {error.strerror}") from error
        raise
