"""A folder with one folder per class: what is listed, in which order, and what is passed over."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path

from condgen.data.batch import Split
from condgen.data.order import natural
from condgen.data.splits import split_class
from condgen.paths import identity, require_folder


def list_classes(root: Path, suffixes: Collection[str], kind: str, condition: str) -> dict[str, list[Path]]:
    """List the files of each class, those in sub-folders too; classes and files are in the order of `ordered`.

    Hidden files and folders are passed over, and so is what is not of the kind by its suffix, or stands in a folder
    that is only linked into one of a class; one line says how many of these there are.

    Args:
        root: folder of the classes' folders.
        suffixes: suffixes of the kind, in lower case.
        kind: kind of files, in words.
        condition: name of the condition, in words.

    Raises:
        ValueError: the folder or a class has no such files, or one file is listed twice.
    """
    places = [path for path in require_folder(root, f"the folder of the {kind}").iterdir() if _is_visible(path)]
    folders = sorted((path for path in places if path.is_dir()), key=lambda path: natural(path.name))
    if not folders:
        raise ValueError(f"{root} has no folders: put the {kind} of each class into a folder named after it")
    inside = {folder.name: _files_below(folder) for folder in folders}
    files = {name: [path for path in found if path.suffix.lower() in suffixes and not path.is_dir()]
             for name, found in inside.items()}  # fmt: skip
    empty = [name + _beside(inside[name]) for name, found in files.items() if not found]
    if empty:
        raise ValueError(f"{root}: no {kind} of {condition} {', '.join(empty)}; add some or remove the folder")
    _refuse_twins(files)
    listed = {path for found in files.values() for path in found}
    _say_left_out(root, [path for found in (places, *inside.values()) for path in found
                         if path not in listed and path not in folders])  # fmt: skip
    return files


def split_files(root: Path, files: Mapping[str, list[Path]]) -> dict[Path, Split]:
    """Split the files of each class by the hash of their paths within the root; see `condgen.data.splits`."""
    result: dict[Path, Split] = {}
    for found in files.values():
        names = {file.relative_to(root).as_posix(): file for file in found}
        result |= {names[name]: split for name, split in split_class(list(names)).items()}
    return result


def _is_visible(path: Path) -> bool:
    return not path.name.startswith(".")


def _files_below(folder: Path) -> list[Path]:
    """List all files below a folder, and links to folders, which are not followed since they may lead in circles."""
    found = []
    for place, folders, files in os.walk(folder):
        links = [name for name in folders if Path(place, name).is_symlink()]
        folders[:] = [name for name in folders if not name.startswith(".") and name not in links]
        found += [path for name in (*files, *links) if _is_visible(path := Path(place, name))]
    return sorted(found, key=lambda path: [natural(part) for part in path.relative_to(folder).parts])


def _beside(files: list[Path]) -> str:
    return f" (but {_counts(files)})" if files else ""


def _counts(paths: list[Path]) -> str:
    """Count paths by suffix, in words."""
    kinds = Counter("links to folders" if path.is_dir() else path.suffix.lower() or "without suffix" for path in paths)
    return ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))


def _refuse_twins(files: Mapping[str, list[Path]]) -> None:
    """Refuse links to a file that is listed, too: it would stand in training and in the test set."""
    seen: dict[object, Path] = {}
    for file in (file for found in files.values() for file in found):
        first = seen.setdefault(identity(file), file)
        if first is not file:
            raise ValueError(f"{file} and {first} are one and the same file; keep one of them")


def _say_left_out(root: Path, left_out: list[Path]) -> None:
    """Say what was passed over, but for hidden files, which nobody put there on purpose."""
    visible = [path for path in left_out if _is_visible(path)]
    if visible:
        warnings.warn(f"{root}: {len(visible)} files left out, since their suffixes are of another kind: "
                      f"{_counts(visible)}", stacklevel=4)  # fmt: skip
