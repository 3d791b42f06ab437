"""A command-line parser whose errors are one line."""

from __future__ import annotations

import re
from collections.abc import Callable
from inspect import signature
from typing import Any, NoReturn

from jsonargparse import SUPPRESS, ArgumentParser

from condgen.data.hyperparameters import innermost
from condgen.pretrained import names

TRUST = "modules of your own, besides condgen, whose classes a checkpoint may name"
MODEL = ("trained model: name of one that comes with condgen (`condgen pretrained` lists them), folder that `condgen "
         "export` wrote, or checkpoint that `condgen fit` wrote; --ckpt_path says the same")  # fmt: skip
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


def parse(command: Callable[..., None], argv: list[str], files: str | None = None) -> dict[str, Any]:
    """Parse the options of a command, `argv[0]`, into the arguments of its function, whose docstring is the help.

    Its `ckpt_path` may also stand by itself: `condgen sample digits --out DIR`.

    Args:
        command: function of the command.
        argv: command and its options.
        files: help of the option `examples`, several paths as a shell expands them, where the function has it.
    """
    parser = OneLineParser(prog=f"condgen {argv[0]}", description=str(command.__doc__).splitlines()[0])
    takes_model = "ckpt_path" in signature(command).parameters
    if takes_model:
        parser.add_argument("model", nargs="?", metavar="MODEL", help=MODEL)
        parser.add_argument("--ckpt_path", type=str | None, default=None, help=SUPPRESS)
    own: set[str | int] = {"ckpt_path", "overwrite", "trust", "command", *(["examples"] if files is not None else [])}
    parser.add_function_arguments(command, skip=own)
    if files is not None:
        parser.add_argument("--examples", nargs="+", required=True, metavar="PATH", help=files)
    parser.add_argument("--trust", nargs="+", default=[], help=TRUST)
    if "overwrite" in signature(command).parameters:
        parser.add_argument("--overwrite", action="store_true", help="replace an existing folder")
    _refuse_repeats(argv[1:])
    try:
        given = parser.parse_args(argv[1:]).as_dict()
    except ValueError as error:
        raise ValueError(in_words(innermost(str(error)))) from error
    return _with_one_model(given) if takes_model else given


def _with_one_model(given: dict[str, Any]) -> dict[str, Any]:
    """Return options in which the model is `ckpt_path`, in whichever of both ways it is given."""
    model, path = given.pop("model"), given.pop("ckpt_path")
    if model and path:
        raise ValueError(f"two models are given, {model} and --ckpt_path {path}: leave one out")
    if not (model or path):
        raise ValueError(f"no model is given: give its name ({', '.join(names())}), the folder of an exported one, or "
                         "a checkpoint")  # fmt: skip
    return {"ckpt_path": model or path, **given}


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
