"""A folder with one folder per class: what is listed, in which order, and what is passed over."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from types import MappingProxyType

from condgen.conditioning.names import spelled
from condgen.data.batch import SPLIT_NAMES, Split
from condgen.data.order import natural
from condgen.data.splits import split_class
from condgen.paths import identity, require_folder

# What systems and archivers add to folders: previews, waste bins, attributes.
OF_SYSTEMS = ("__MACOSX", "@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found")
NO_REMEDIES: Mapping[str, str] = MappingProxyType({})


def list_classes(
    root: Path, suffixes: Collection[str], kind: str, condition: str, remedies: Mapping[str, str] = NO_REMEDIES
) -> dict[str, list[Path]]:
    """List the files of each class, those in sub-folders too; classes and files are in the order of `ordered`.

    Hidden files and folders and those of systems are passed over, and so is what is not of the kind by its suffix, or
    stands in a folder that is only linked into one of a class; one line says how many of these there are. Names of
    classes are spelled as `condgen.conditioning.names.spelled` has it: folders whose names differ in nothing else are
    one class.

    Args:
        root: folder of the classes' folders.
        suffixes: suffixes of the kind, in lower case.
        kind: kind of files, in words.
        condition: name of the condition, in words.
        remedies: advice by the suffix of files that are left out.

    Raises:
        ValueError: the folder or a class has no such files or cannot be read, folders name splits and not classes, or
            one file is listed twice.
    """
    places = [path for path in _listed(require_folder(root, f"the folder of the {kind}")) if _is_visible(path)]
    folders = sorted((path for path in places if path.is_dir()), key=lambda path: natural(spelled(path.name)))
    _require_classes(root, folders, kind)
    inside: dict[str, list[Path]] = {}
    for folder in folders:
        inside.setdefault(spelled(folder.name), []).extend(files_below(folder))
    files = {name: [path for path in found if path.suffix.lower() in suffixes and not path.is_dir()]
             for name, found in inside.items()}  # fmt: skip
    empty = [name + _beside(inside[name], remedies) for name, found in files.items() if not found]
    if empty:
        raise ValueError(f"{root}: no {kind} of {condition} {', '.join(empty)}; add some or remove the folder")
    _refuse_twins(files)
    _say_one_class(root, files)
    listed = {path for found in files.values() for path in found}
    _say_left_out(root, [path for found in (places, *inside.values()) for path in found
                         if path not in listed and path not in folders], remedies)  # fmt: skip
    return files


def _require_classes(root: Path, folders: list[Path], kind: str) -> None:
    """Refuse what is no folder of classes: one without folders, or with a folder for each split."""
    if not folders:
        raise ValueError(f"{root} has no folders: put the {kind} of each class into a folder named after it")
    splits = [folder.name for folder in folders if folder.name.lower() in SPLIT_NAMES]
    if 1 < len(splits) == len(folders):
        raise ValueError(f"{root} has a folder for each split ({', '.join(splits)}), not for each class: give one of "
                         f"them, such as {folders[-1]}, of whose {kind} some will be held out")  # fmt: skip


def split_files(root: Path, files: Mapping[str, list[Path]]) -> dict[Path, Split]:
    """Split the files of each class by the hash of their paths within the root; see `condgen.data.splits`."""
    result: dict[Path, Split] = {}
    for found in files.values():
        names = {file.relative_to(root).as_posix(): file for file in found}
        result |= {names[name]: split for name, split in split_class(list(names)).items()}
    return result


def _is_visible(path: Path) -> bool:
    return not path.name.startswith(".") and path.name not in OF_SYSTEMS


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError as error:
        raise _unreadable(error) from None


def _unreadable(error: OSError) -> ValueError:
    return ValueError(f"the folder {error.filename} cannot be read: {error.strerror}; allow reading it, or move it out")


def files_below(folder: Path) -> list[Path]:
    """List all files below a folder, and links to folders, which are not followed since they may lead in circles."""
    found = []

    def refuse(error: OSError) -> None:
        raise _unreadable(error)

    for place, folders, files in os.walk(folder, onerror=refuse):
        links = [name for name in folders if Path(place, name).is_symlink()]
        folders[:] = [name for name in folders if _is_visible(Path(name)) and name not in links]
        found += [path for name in (*files, *links) if _is_visible(path := Path(place, name))]
    return sorted(found, key=lambda path: [natural(part) for part in path.relative_to(folder).parts])


def _beside(files: list[Path], remedies: Mapping[str, str]) -> str:
    return f" (but {_counts(files, remedies)})" if files else ""


def _counts(paths: list[Path], remedies: Mapping[str, str]) -> str:
    """Count paths by suffix, in words, and say what can be done about each."""
    kinds = Counter("links to folders" if path.is_dir() else path.suffix.lower() or "without suffix" for path in paths)
    advised: dict[str, list[str]] = {}
    for kind in sorted(kinds.keys() & remedies.keys()):
        advised.setdefault(remedies[kind], []).append(kind)
    counts = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    return "; ".join([counts, *(f"to use {', '.join(own)}, {advice}" for advice, own in advised.items())])


def _say_one_class(root: Path, files: Mapping[str, list[Path]]) -> None:
    """Warn of a lone class that holds folders alone: they may be the classes, and the root lie one too high."""
    parts = [file.relative_to(root).parts for found in files.values() for file in found]
    folders = sorted({own[1] for own in parts if len(own) > 2})
    if len(files) == 1 and len(folders) > 1 and all(len(own) > 2 for own in parts):
        shown = ", ".join(folders[:3]) + (", …" if len(folders) > 3 else "")
        warnings.warn(f"{root} has one class alone, which holds nothing but folders ({shown}): if these are the "
                      f"classes, give {root / parts[0][0]}", stacklevel=4)  # fmt: skip


def _refuse_twins(files: Mapping[str, list[Path]]) -> None:
    """Refuse links to a file that is listed, too: it would stand in training and in the test set."""
    seen: dict[object, Path] = {}
    for file in (file for found in files.values() for file in found):
        first = seen.setdefault(identity(file), file)
        if first is not file:
            raise ValueError(f"{file} and {first} are one and the same file; keep one of them")


def _say_left_out(root: Path, left_out: list[Path], remedies: Mapping[str, str]) -> None:
    """Say what was passed over, but for what hides or systems made, which nobody put there on purpose."""
    visible = [path for path in left_out if _is_visible(path)]
    if visible:
        warnings.warn(f"{root}: {len(visible)} files left out, since their suffixes are of another kind: "
                      f"{_counts(visible, remedies)}", stacklevel=4)  # fmt: skip
