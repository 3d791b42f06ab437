"""Paths that people give: what is wrong with one is said in one line, a folder for a file and the reverse included."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from condgen.printable import printable

# What files begin with, by which their content is told from what their names say.
BEGINNINGS = {
    rb"\x93NUMPY": "an .npy array", rb"PK\x03\x04": "a zip archive, as .npz files and checkpoints are",
    rb"\x89PNG": "a PNG picture", rb"\xff\xd8\xff": "a JPEG picture", rb"GIF8": "a GIF picture",
    rb"RIFF....WEBP": "a WebP picture", rb"RIFF....WAVE": "a WAV recording", rb"fLaC": "a FLAC recording",
    rb"OggS": "an Ogg recording", rb"\s*[{\[]": "JSON or other text", rb"\Z": "empty",
}  # fmt: skip


def require_file(path: str | os.PathLike[str], wanted: str = "a file", name: str = "") -> Path:
    """Return the path of a file.

    Args:
        path: path to check.
        wanted: kind of file, which the message asks for.
        name: words for the path in the message, such as its place in a list; the path itself if left out.

    Raises:
        ValueError: it is a folder, or does not exist.
    """
    # Unlike the methods of Path, these answer for names too long or not valid, too.
    if os.path.isfile(path):
        return Path(path)
    fault = "is a folder" if os.path.isdir(path) else "does not exist" if not os.path.exists(path) else "is no file"
    raise ValueError(f"{name or os.fspath(path) or 'the path'} {fault}; give {wanted}")


def require_folder(path: str | os.PathLike[str], wanted: str = "a folder", name: str = "") -> Path:
    """Return the path of a folder.

    Args:
        path: path to check.
        wanted: kind of folder, which the message asks for.
        name: words for the path in the message; the path itself if left out.

    Raises:
        ValueError: it is a file, or does not exist.
    """
    if os.path.isdir(path):
        return Path(path)
    fault = "is a file, not a folder" if os.path.exists(path) else "is not there"
    raise ValueError(f"{name or f'the folder {os.fspath(path)}'} {fault}; give {wanted}")


def identity(path: str | os.PathLike[str]) -> tuple[int, int] | str:
    """Return what tells a file from all others, however its path is written: links, `./` and another case included."""
    found = os.stat(path)
    return (found.st_dev, found.st_ino) if found.st_ino else os.path.realpath(path)


@contextmanager
def broken_as(fault: str) -> Iterator[None]:
    """Let whatever a reader raises of a broken file, which can be anything, be one line of condgen's own.

    Args:
        fault: words for what is wrong, which begin with the name of the file; the reader's own follow them.

    Raises:
        ValueError: the reader raised something; the message is one line.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, OSError) and error.filename is not None:
            raise  # which names the file
        cause = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{fault} ({printable(cause)})") from None


def content_of(path: str | os.PathLike[str]) -> str | None:
    """Say what a file holds, by its first bytes; `None` if that is not known."""
    with open(path, "rb") as file:
        head = file.read(64)
    return next((words for start, words in BEGINNINGS.items() if re.match(start, head, re.DOTALL)), None)
