"""What a checkpoint may name. A checkpoint is data: the classes and paths in it are looked at before anything is done
with them. Nothing is imported that is neither condgen's nor trusted, and nothing is written where it says."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from importlib import import_module
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import PurePath
from typing import Any, NamedTuple

import yaml

from condgen.data.hyperparameters import INSTANTIATOR
from condgen.printable import CONTROL

TASKS = ("condgen.training.LikelihoodTask", "condgen.training.AdversarialTask")
DATA_MODULES = ("condgen.data.Images", "condgen.data.Speech")
# The classes that may stand in the arguments of tasks and data modules, by the argument. None of them takes other
# classes, so that their own arguments are numbers, words and lists of these.
NETWORKS = ("condgen.models.PixelCNN", "condgen.models.WaveNet", "condgen.models.Generator",
            "condgen.models.Discriminator")  # fmt: skip
PARTS = {
    "network": NETWORKS,
    "discriminator": NETWORKS,
    "conditions": tuple(
        f"condgen.conditioning.{name}"
        for name in ("AudioReference", "ClassEmbedding", "ClassMap", "FeatureVector", "FeatureMap", "FrameSequence",
                     "ImageEncoder", "LinguisticSequence", "TokenSequence")
    ),
    "source": tuple(
        f"condgen.data.{name}"
        for name in ("CIFAR10", "MNIST", "CaptionedDigits", "CaptionedFolder", "Digits", "FashionMNIST", "Folder",
                     "VCTK", "AudioFolder", "Espeak", "FreeSpokenDigits", "LJSpeech", "Manifest", "SpeechCommands")
    ),
    "features": tuple(
        f"condgen.data.{name}" for name in ("Linguistic", "MelSpectrogram", "Position", "ReferenceSpectrogram")
    ),
}  # fmt: skip
SEVERAL = ("conditions", "features")  # mappings from names to classes
# Arguments that make a class write, and what takes the place of a file's: the class's own places, and no download.
WRITING: dict[str, dict[str, str | bool]] = {
    "condgen.data.Speech": {"cache": "data/prepared"},
    "condgen.data.Espeak": {"root": "data/espeak"},
    **{f"condgen.data.{name}": {"download": False} for name in ("CIFAR10", "MNIST", "FashionMNIST", "SpeechCommands")},
}
DEEPEST = 20  # levels of nesting
MOST_PARTS = 500_000  # of plain data: a list nested by reference has more than a file has bytes
TOO_MANY = f"holds more than {MOST_PARTS:,} parts of data: nothing of condgen writes that"
CLASSES = {*TASKS, *DATA_MODULES, *(path for paths in PARTS.values() for path in paths)}


class Named(NamedTuple):
    """A class that a checkpoint names.

    Attributes:
        path: class path.
        argument: argument that the class stands in.
        allowed: classes of condgen that may stand there.
    """

    path: str
    argument: str
    allowed: tuple[str, ...]

    @property
    def module(self) -> str:
        """Module of the class."""
        return self.path.rpartition(".")[0] or self.path

    def is_trusted(self, trust: Iterable[str]) -> bool:
        """Tell whether the class is of a trusted module, or of one inside it."""
        return any(self.module == module or self.module.startswith(f"{module}.") for module in trust)


def check(settings: Mapping[str, Any], classes: tuple[str, ...], trust: Iterable[str] = ()) -> list[Named]:
    """Check the arguments of a task or a data module as plain data.

    Args:
        settings: arguments by name; `_class_path` names the class itself.
        classes: classes of condgen that `_class_path` may name.
        trust: modules, any class of which may be named.

    Returns:
        The classes that are of trusted modules.

    Raises:
        ValueError: another class is named, or something stands where a class should; the message says what to do.
    """
    check_plain(settings)
    if settings.get("_instantiator", INSTANTIATOR) != INSTANTIATOR:
        raise ValueError(
            f"names {settings['_instantiator']!r} as what builds its classes: nothing of condgen writes that"
        )
    named = [*_named({"class_path": settings.get("_class_path")}, "_class_path", classes)]
    own = settings.get("_class_path") not in classes  # a class of one's own may call its arguments as it likes
    for argument, value in settings.items():
        if argument in PARTS and value is not None and not own:
            for part in _parts(argument, value):
                if not isinstance(part, Mapping) or "class_path" not in part:
                    raise ValueError(f"names no class in {argument}, but {part!r}: nothing of condgen writes that")
        named += _named(value, argument, PARTS.get(argument, ()))
    foreign = [found for found in named if found.path not in found.allowed]
    for found in foreign:
        if not _is_path(found.path):
            raise ValueError(f"names {found.path!r} as a class in {found.argument}: nothing of condgen writes that")
        if not found.is_trusted(trust):
            raise ValueError(
                f"names the class {found.path} in {found.argument}, which is not one of condgen's for that: if you "
                f'know this class and trust it, add --trust {found.module} (in Python trust=["{found.module}"])'
            )
    for argument in dict.fromkeys(found.argument for found in foreign):
        _check_words(settings if argument == "_class_path" else settings[argument], argument, trust)
    return foreign


def _check_words(tree: Any, argument: str, trust: Iterable[str]) -> None:
    """Check what is handed to a class of one's own, which may take functions and classes where condgen's take none: in
    words too, by their names or written as YAML."""
    for word in _words(tree):
        if _is_structure(word):
            raise ValueError(f"names {word!r} in {argument}, data written as a word: nothing of condgen writes that")
        known = word in (*CLASSES, INSTANTIATOR) or Named(word, argument, ()).is_trusted(trust)
        if _importable(word) and not known:
            raise ValueError(f"names {word} in {argument}, for a class of your own: add --trust "
                             f"{word.rpartition('.')[0]} if you know and trust it too")  # fmt: skip


def imported(named: Named, trust: Iterable[str]) -> type:
    """Import a class of a trusted module.

    Raises:
        ImportError: its module is not found.
        ValueError: it is no class, or one that its module has from elsewhere.
    """
    found = getattr(import_module(named.module), named.path.rpartition(".")[2], None)
    if not isinstance(found, type):
        raise ValueError(f"names {named.path} in {named.argument}, which is no class")
    owner = Named(f"{found.__module__}.{found.__name__}", named.argument, named.allowed)
    if not owner.is_trusted(trust):
        raise ValueError(f"names {named.path} in {named.argument}, which is {owner.path}: add --trust {owner.module} "
                         "if you know and trust it too")  # fmt: skip
    return found


def check_plain(tree: Any) -> None:
    """Check that data are plain: mappings by words, lists, words, numbers and nothing, and not without an end.

    Raises:
        ValueError: they are not.
    """
    for count, _ in enumerate(_plain_parts(tree, 0)):
        if count > MOST_PARTS:
            raise ValueError(TOO_MANY)


def _plain_parts(tree: Any, depth: int) -> Iterator[Any]:
    """Walk plain data, every part of which is checked when it is reached."""
    if depth > DEEPEST:
        raise ValueError(f"holds data that are nested more than {DEEPEST} times: nothing of condgen writes that")
    if isinstance(tree, Mapping):
        odd = [key for key in tree if not isinstance(key, str)]
        if odd:
            raise ValueError(f"holds {odd[0]!r} where a name belongs: nothing of condgen writes that")
    if not isinstance(tree, Mapping | list | tuple | str | int | float | None):
        raise ValueError(f"holds a {type(tree).__name__} where plain data belong: nothing of condgen writes that")
    word = next((word for word in (tree if isinstance(tree, Mapping) else [tree])
                 if isinstance(word, str) and CONTROL.search(word)), None)  # fmt: skip
    if word is not None:
        raise ValueError(f"holds {word!r}, which would command a terminal: nothing of condgen writes that")
    yield tree
    parts = tree.values() if isinstance(tree, Mapping) else tree if isinstance(tree, list | tuple) else ()
    for part in parts:
        yield from _plain_parts(part, depth + 1)


def check_paths(tree: Any) -> None:
    """Check that no path climbs out of a folder: in its own folder, Lightning removes what a checkpoint lists as old.

    Raises:
        ValueError: one does.
    """
    try:
        for count, part in enumerate(all_parts(tree)):
            if count > MOST_PARTS:
                raise ValueError(TOO_MANY)
            if isinstance(part, str) and ".." in PurePath(part).parts:
                raise ValueError(f"names the path {part!r}: nothing of condgen writes that")
    except RecursionError:
        raise ValueError("holds data without an end: nothing of condgen writes that") from None


def read_only(class_path: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a data module, or of a source, without what would make it write where a file says."""
    kept = {**arguments, **WRITING.get(class_path, {})}
    source = arguments.get("source")
    if isinstance(source, Mapping) and "class_path" in source:
        kept["source"] = {**source, "init_args": read_only(source["class_path"], source.get("init_args") or {})}
    return kept


def withheld(class_path: str, arguments: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """List the places that `read_only` replaces, (place, its own), by the argument's name: `cache`, `source.root`."""
    found = {name: (arguments[name], own) for name, own in WRITING.get(class_path, {}).items()
             if isinstance(own, str) and arguments.get(name, own) != own}  # fmt: skip
    source = arguments.get("source")
    if isinstance(source, Mapping) and "class_path" in source:
        inner = withheld(source["class_path"], source.get("init_args") or {})
        found |= {f"source.{name}": pair for name, pair in inner.items()}
    return found


def _is_path(word: str) -> bool:
    """Tell whether a word may be the path of something to import."""
    return re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)+", word) is not None


def _importable(word: str) -> bool:
    """Tell whether a word would be found as something to import, in the current folder too, without importing it."""
    if not _is_path(word):
        return False
    top = word.partition(".")[0]
    try:
        return find_spec(top) is not None or PathFinder.find_spec(top, [os.getcwd()]) is not None
    except ValueError:  # a module that has none, such as `__main__`
        return True


def _is_structure(word: str) -> bool:
    """Tell whether jsonargparse would read a word as a mapping or a list."""
    try:
        return not isinstance(yaml.safe_load(word), str | int | float | date | None)
    except (yaml.YAMLError, ValueError, RecursionError):
        return word.lstrip()[:1] in ("{", "[")


def all_parts(tree: Any) -> Iterator[Any]:
    """Walk data of any kind: the mappings and lists too, names, words and all others."""
    yield tree
    if isinstance(tree, Mapping):
        for pair in tree.items():
            yield from all_parts(pair)
    elif isinstance(tree, list | tuple | set):
        for value in tree:
            yield from all_parts(value)


def _words(tree: Any) -> Iterator[str]:
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from _words(key)
            yield from _words(value)
    elif isinstance(tree, list | tuple | set):
        for value in tree:
            yield from _words(value)
    elif isinstance(tree, str):
        yield tree


def _parts(argument: str, value: Any) -> list[Any]:
    return list(value.values()) if argument in SEVERAL and isinstance(value, Mapping) else [value]


def _named(tree: Any, argument: str, allowed: tuple[str, ...]) -> Iterator[Named]:
    """Find the classes that plain data name, at every depth; also in words that would be read as such data."""
    if isinstance(tree, Mapping):
        if "class_path" in tree:
            yield Named(str(tree["class_path"]), argument, allowed)
        for value in tree.values():
            yield from _named(value, argument, allowed)
    elif isinstance(tree, list | tuple):
        for value in tree:
            yield from _named(value, argument, allowed)
    elif isinstance(tree, str) and "class_path" in tree:
        yield Named(tree, argument, ())
