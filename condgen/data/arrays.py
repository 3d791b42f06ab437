"""NumPy's files, read without running any code in them, and without memory for what they only claim to hold."""

from __future__ import annotations

import os
from math import prod
from pathlib import Path
from typing import IO
from zipfile import ZipFile

import numpy as np

from condgen.paths import broken_as

LARGEST = 1 << 28  # bytes of an array in an archive, which is compressed: it is read into memory as a whole


def read_npy(path: Path) -> np.ndarray:
    """Read the array of an .npy file.

    Raises:
        ValueError: the file is broken, holds Python objects, or fewer bytes than its header claims.
    """
    with broken_as(f"{path} is not a readable .npy file"), open(path, "rb") as file:
        _check_claim(file, os.fstat(file.fileno()).st_size)
        return np.lib.format.read_array(file, allow_pickle=False)


def read_npz(path: Path, key: str) -> np.ndarray:
    """Read one array of an .npz file.

    Raises:
        ValueError: the file is broken, has no such array, or one that is larger than `LARGEST`.
    """
    with broken_as(f"{path} is not a readable .npz file; it may be truncated"), ZipFile(path) as archive:
        known = {entry.filename.removesuffix(".npy"): entry for entry in archive.infolist()}
        if key in known:
            with archive.open(known[key]) as file:
                _check_claim(file, min(known[key].file_size, LARGEST))
                return np.lib.format.read_array(file, allow_pickle=False)
    raise ValueError(f"{path} has no array '{key}'; it has {', '.join(known)}")


def _check_claim(file: IO[bytes], held: int) -> None:
    """Read the header of an array, and go back to its beginning.

    Raises:
        ValueError: the array that it describes does not fit the bytes that are held.
    """
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    if dtype.hasobject:
        raise ValueError("it holds Python objects")
    if not dtype.itemsize or prod(shape) * dtype.itemsize > held:
        raise ValueError(f"its header claims {prod(shape):,} numbers, and there are {held:,} bytes at the most")
    file.seek(0)
