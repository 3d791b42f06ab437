"""Output folders that appear whole or not at all."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from condgen.atomic import whole_folder
from condgen.pretrained import CARD, CONFIG, WEIGHTS

# What condgen writes into such a folder besides what its manifest names, and nothing else: by suffix alone, a folder of
# recordings would look the same.
WRITTEN = re.compile(
    r"samples\.npz|(examples|grid|waveforms|samples|real|reals|read_.*)\.png|manifest\.jsonl|report\.(json|md)|"
    r"\d{4,}\.wav|(sample|real)_\d+\.wav|(scatter_.*|maps|clusters|ablation|(path|layers)_.*)\.png|path_.*\.wav"
)


@contextmanager
def output_folder(path: str | os.PathLike[str], overwrite: bool = False) -> Iterator[Path]:
    """Give a temporary folder beside `path`, and rename it to `path` when the block ends well.

    Args:
        path: folder wanted. It may exist if it is empty.
        overwrite: permission to replace a folder with results in it; what it held stays until the new one is complete.

    Raises:
        ValueError: `path` is a file, or a folder with something in it that may not be replaced.
    """
    final = Path(path).resolve()
    refuse(final, overwrite)
    with whole_folder(final, replace=True) as temporary:
        yield temporary
        refuse(final, overwrite)  # once more: another run may have finished meanwhile


def refuse(final: Path, overwrite: bool) -> None:
    """Refuse what must not be replaced: files, and folders that hold anything but results."""
    if any(parent.is_file() for parent in (final, *final.parents)):
        raise ValueError(f"{final} is a file or lies in one; give the name of a folder")
    found = sorted(final.iterdir()) if final.is_dir() else []
    if found and not overwrite:
        raise ValueError(f"{final} is not empty; give another folder, or --overwrite to replace it")
    lists = [name for name in ("manifest.jsonl", "report.json", CONFIG) if _is_of_condgen(final / name)]
    own = _listed(final / "manifest.jsonl") if "manifest.jsonl" in lists else set()
    own |= {CONFIG, WEIGHTS, CARD} if CONFIG in lists else set()
    foreign = [name for name in map(str, sorted(_contents(final))) if name not in own and not WRITTEN.fullmatch(name)]
    if found and (foreign or not lists):
        raise ValueError(
            f"{final} holds more than results ({(foreign or [found[0].name])[0]}), so it is not overwritten; give "
            "another folder"
        )


def _contents(folder: Path) -> Iterator[PurePosixPath]:
    """List the files of a folder, those of its folders included, and empty folders."""
    for place, folders, files in os.walk(folder):
        inner = PurePosixPath(Path(place).relative_to(folder).as_posix())
        links = [name for name in folders if os.path.islink(os.path.join(place, name))]
        yield from (inner / name for name in (*files, *links))
        if not files and not folders and place != str(folder):
            yield inner


def _listed(manifest: Path) -> set[str]:
    """Return the names of the files of samples that a manifest of condgen's lists."""
    with open(manifest, encoding="utf-8", errors="replace") as lines:
        try:
            rows = [json.loads(line) for line in lines]
        except ValueError:
            return set()
    return {str(row.get("file")) for row in rows if isinstance(row, dict)}


def _is_of_condgen(file: Path) -> bool:
    """Tell condgen's own lists, of a checkpoint or of data, from others of the same name, such as a manifest."""
    if not file.is_file():
        return False
    with open(file, encoding="utf-8", errors="replace") as lines:
        beginning = lines.read(100_000)
    return '"checkpoint": ' in beginning or '"command": "condgen data"' in beginning
