"""The configurations that come with condgen, and how a command line names them: `-c pixelcnn_digits`.

They stand in `configs/` beside the package in a clone, and inside it in an installed wheel.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from itertools import pairwise, takewhile
from pathlib import Path

import condgen.data

PACKAGE = Path(__file__).resolve().parent.parent
SUFFIXES = (".yaml", ".yml", ".json")


def shipped() -> dict[str, Path]:
    """Return the files of the configurations that come with condgen by their names."""
    folder = next((place for place in (PACKAGE / "configs", PACKAGE.parent / "configs") if place.is_dir()), PACKAGE)
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def purpose(path: Path) -> str:
    """Return what a configuration is for: its first sentence."""
    lines = path.read_text(encoding="utf-8").splitlines()
    comment = " ".join(line.lstrip("# ") for line in takewhile(lambda line: line.strip(" #"), lines))
    return comment.split(": ")[0].split(". ")[0].rstrip(".:")


def configurations(argv: Sequence[str]) -> list[str]:
    """List the configurations on a command line, as it names them."""
    words = [word for option in argv for word in option.split("=", 1)]
    return [value for name, value in pairwise(words) if name in ("-c", "--config")]


def in_full(argv: Sequence[str]) -> list[str]:
    """Return a command line with the path of every configuration, and of every class of data, that it calls by name.

    Raises:
        ValueError: there is no such configuration, or it is a folder.
    """
    result: list[str] = []
    for word in argv:
        option, equals, value = word.partition("=")
        if result and result[-1].startswith("-") and "=" not in result[-1] and not equals:
            result.append(_in_full(result[-1], word))
        else:
            result.append(f"{option}={_in_full(option, value)}" if equals and option.startswith("-") else word)
    return result


def _in_full(option: str, value: str) -> str:
    """Return the value of an option with what it names in full."""
    if option in ("-c", "--config"):
        return str(_found(value))
    # The parser finds by their names alone only classes that inherit from what is asked for, and sources do not.
    is_part = option in ("--data.source", "--data.source.help") or option.startswith("--data.features.")
    return f"condgen.data.{value}" if is_part and value in condgen.data.__all__ else value


def _found(value: str) -> Path:
    path, known = Path(value), shipped()
    if path.is_dir():
        raise ValueError(f"{value} is a folder; give a configuration, such as {value}/FILE.yaml")
    if path.exists():
        return path
    name = path.stem if path.suffix in SUFFIXES else value
    if name in known and str(path.parent) in (".", "configs"):
        return known[name]
    near = get_close_matches(name, known, 1)
    meant = f"did you mean {near[0]}? " if near else ""
    raise ValueError(f"there is no configuration {value}: {meant}`condgen configs` lists those that come with condgen")


def run(argv: list[str]) -> None:
    """Run `condgen configs`."""
    if {"-h", "--help"} & {*argv[1:]}:
        print("usage: condgen configs\n\nList the configurations that come with condgen, for `condgen fit -c NAME`.")
        return
    if argv[1:]:
        raise ValueError(f"condgen configs takes no {argv[1]}; it lists the configurations that come with condgen")
    for name, path in shipped().items():
        print(f"{name:22} {purpose(path)}")
