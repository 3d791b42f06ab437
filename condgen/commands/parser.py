"""A command-line parser whose errors are one line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from jsonargparse import ArgumentParser

TRUST = "modules of your own, besides condgen, whose classes a checkpoint may name"


class OneLineErrors:
    """Lets a parser raise what argparse would print with its usage, so that `condgen` can say it in one line."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise instead of printing usage and leaving."""
        if "are required" in message and "model" in message:
            message += "; give a configuration with -c FILE.yaml"
        raise ValueError(message) from ex


class OneLineParser(OneLineErrors, ArgumentParser):
    """Parser of a command that is a function."""


FRAMES = ("Parser key", "Does not validate", "Subtypes", "Errors", "Given value", "Expected a <class 'NoneType'>")


def innermost(message: str) -> str:
    """Pick the cause out of jsonargparse's tree of types that a value could have had."""
    if "Parser key" not in message and "Does not validate" not in message:
        return message
    lines = [(len(line) - len(line.lstrip(" -")), line.lstrip(" -")) for line in message.splitlines()]
    keys = [text.split('"')[1] for _, text in lines if text.startswith("Parser key")]
    causes = [(depth, text) for depth, text in lines if text and not text.startswith(FRAMES)]
    if not causes:
        return message
    deepest = max(depth for depth, _ in causes)
    cause = next(text for depth, text in causes if depth == deepest)
    return ": ".join(filter(None, [".".join(keys), cause]))


def parse(command: Callable[..., None], argv: list[str]) -> dict[str, Any]:
    """Parse the options of a command, `argv[0]`, into the arguments of its function, whose docstring is the help."""
    parser = OneLineParser(prog=f"condgen {argv[0]}", description=str(command.__doc__).splitlines()[0])
    parser.add_function_arguments(command, skip={"overwrite", "trust"})
    parser.add_argument("--trust", nargs="+", default=[], help=TRUST)
    parser.add_argument("--overwrite", action="store_true", help="replace an existing folder")
    _refuse_repeats(argv[1:])
    try:
        return parser.parse_args(argv[1:]).as_dict()
    except ValueError as error:
        raise ValueError(innermost(str(error))) from error


def _refuse_repeats(argv: list[str]) -> None:
    """Refuse an option that is given twice: the first one would be lost."""
    options = [argument.split("=")[0] for argument in argv if argument.startswith("--")]
    for option in options:
        if options.count(option) > 1:
            raise ValueError(f"{option} is given twice; give several values as a list, such as {option} 3,7")
