"""Output folders that appear whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def output_folder(path: str | os.PathLike[str], overwrite: bool = False) -> Iterator[Path]:
    """Give a temporary folder beside `path`, and rename it to `path` when the block ends well.

    Args:
        path: the folder wanted. It may exist if it is empty.
        overwrite: replace a folder with something in it; what it held stays until the new one is complete.

    Raises:
        ValueError: `path` is a file, or a folder with something in it and `overwrite` is not set.
    """
    final = Path(path)
    if final.exists() and not final.is_dir():
        raise ValueError(f"{final} is a file; give the name of a folder")
    if final.is_dir() and any(final.iterdir()) and not overwrite:
        raise ValueError(f"{final} is not empty; give another folder, or --overwrite to replace it")
    final.absolute().parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{final.name}.", dir=final.absolute().parent))
    temporary.chmod(0o755)
    try:
        yield temporary
        replaced = temporary.with_name(temporary.name + ".replaced")
        if final.exists():
            os.replace(final, replaced)
        os.replace(temporary, final)
        shutil.rmtree(replaced, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
