"""A command-line parser whose errors are one line."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NoReturn

from jsonargparse import ArgumentParser

from condgen.data.hyperparameters import innermost

TRUST = "modules of your own, besides condgen, whose classes a checkpoint may name"
KINDS = {"float": "a finite number", "int": "a whole number", "bool": "true or false"}


class OneLineErrors:
    """Lets a parser raise what argparse would print with its usage, so that `condgen` can say it in one line."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise instead of printing usage and leaving."""
        if "are required" in message and ("model" in message or "data" in message):
            message += "; give a configuration with -c FILE.yaml"
        raise ValueError(message) from ex


class OneLineParser(OneLineErrors, ArgumentParser):
    """Parser of a command that is a function."""


def parse(command: Callable[..., None], argv: list[str]) -> dict[str, Any]:
    """Parse the options of a command, `argv[0]`, into the arguments of its function, whose docstring is the help."""
    parser = OneLineParser(prog=f"condgen {argv[0]}", description=str(command.__doc__).splitlines()[0])
    parser.add_function_arguments(command, skip={"overwrite", "trust", "command"})
    parser.add_argument("--trust", nargs="+", default=[], help=TRUST)
    parser.add_argument("--overwrite", action="store_true", help="replace an existing folder")
    _refuse_repeats(argv[1:])
    try:
        return parser.parse_args(argv[1:]).as_dict()
    except ValueError as error:
        raise ValueError(in_words(innermost(str(error)))) from error


def in_words(message: str) -> str:
    """Say which kind of value an option takes in words, and not as a class of Python's."""
    told = re.search(r"Expected an? <class '(\w+)'>\. Got value: (.*)", message)
    if told is None or told[1] not in KINDS:
        return message
    return message.replace(told[0], f"'{told[2]}' is not {KINDS[told[1]]}")


def _refuse_repeats(argv: list[str]) -> None:
    """Refuse an option that is given twice: the first one would be lost."""
    options = [argument.split("=")[0] for argument in argv if argument.startswith("--")]
    for option in options:
        if options.count(option) > 1:
            raise ValueError(f"{option} is given twice; give several values as a list, such as {option} 3,7")
