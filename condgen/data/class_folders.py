"""A folder with one folder per class: what is listed, in which order, and what is passed over."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path

from condgen.data.batch import Split
from condgen.data.order import natural
from condgen.data.splits import split_class
from condgen.paths import identity, require_folder


def list_classes(root: Path, suffixes: Collection[str], kind: str, condition: str) -> dict[str, list[Path]]:
    """List the files of each class, classes and files in the order of `ordered`.

    Hidden files, and those that are not of the kind by their suffix, are passed over; one line says how many.

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
    inside = {folder.name: sorted(folder.iterdir(), key=lambda path: natural(path.name)) for folder in folders}
    files = {name: [path for path in found if _is_listed(path, suffixes)] for name, found in inside.items()}
    empty = [name for name, found in files.items() if not found]
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


def _is_listed(path: Path, suffixes: Collection[str]) -> bool:
    return _is_visible(path) and path.suffix.lower() in suffixes and not path.is_dir()


def _refuse_twins(files: Mapping[str, list[Path]]) -> None:
    """Refuse links to a file that is listed, too: it would stand in training and in the test set."""
    seen: dict[object, Path] = {}
    for file in (file for found in files.values() for file in found):
        first = seen.setdefault(identity(file), file)
        if first is not file:
            raise ValueError(f"{file} and {first} are one and the same file; keep one of them")


def _say_left_out(root: Path, left_out: list[Path]) -> None:
    """Say what was passed over, but for hidden files, which nobody put there on purpose."""
    kinds = Counter("folders" if path.is_dir() else path.suffix.lower() or "without suffix"
                    for path in left_out if _is_visible(path))  # fmt: skip
    if kinds:
        counts = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
        warnings.warn(f"{root}: {sum(kinds.values())} files left out, since their suffixes are of another kind: "
                      f"{counts}", stacklevel=4)  # fmt: skip
