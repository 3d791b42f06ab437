"""What a Lightning module was built from, as plain data: stored in its checkpoints, and built again."""

from __future__ import annotations

import copy
import inspect
import re
import warnings
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from pydoc import locate
from typing import Any

from jsonargparse import ArgumentError, ArgumentParser

from condgen.described import describe

INSTANTIATOR = "pytorch_lightning.cli.instantiate_module"  # what Lightning's own command line writes
FORMAT = 1  # of checkpoints; to be raised when what is in them changes
# What jsonargparse writes around the cause of an error.
FRAMES = ("Parser key", "Does not validate", "Subtypes", "Errors", "Given value", "Expected a <class 'NoneType'>",
          "Expected a path but", "Problem with given class_path")  # fmt: skip
UNMET = re.compile(r"Import path (\S+) does not implement protocol (\w+)")


def store_hyperparameters(module: Any) -> None:
    """Store what a module is built from. Call it in `__init__`, right after `super().__init__()`.

    It is plain data, from which a checkpoint rebuilds the module: those of the command line or, where the module is
    built by hand, what its parts were built with. Where a part does not know that, nothing is stored; see
    `condgen.training.compatibility.warn_undescribed`.
    """
    frame = inspect.currentframe()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*is an instance of `nn.Module`.*")
        module.save_hyperparameters(logger=False, frame=frame and frame.f_back)
    if "_class_path" not in module.hparams:
        module.hparams.clear()
        with suppress(ValueError):
            module.hparams.update(_described(module))


def _described(module: Any) -> dict[str, Any]:
    described = describe(module)
    # Lightning builds with the last, as after a run of its command line.
    return {**described["init_args"], "_class_path": described["class_path"], "_instantiator": INSTANTIATOR}


def write_format(checkpoint: dict[str, Any]) -> None:
    """Make a checkpoint one of condgen's. Call it in a task's `on_save_checkpoint`.

    It gets the number of the format, and every class its public path: files may move within a package, these stay.
    What is no plain data is left out, since a checkpoint must load without running code.
    """
    checkpoint["format"] = FORMAT
    for part in ("hyper_parameters", "datamodule_hyper_parameters"):
        stored = checkpoint.pop(part, {})
        if "_class_path" in stored:
            checkpoint[part] = _published(describe(stored))


def _published(tree: Any) -> Any:
    """Return plain data with the shortest path of every class in them."""
    if isinstance(tree, Mapping):
        return {key: _shortest(value) if key in ("class_path", "_class_path") else _published(value)
                for key, value in tree.items()}  # fmt: skip
    return [_published(value) for value in tree] if isinstance(tree, list | tuple) else tree


def _shortest(class_path: str) -> str:
    module, _, name = class_path.rpartition(".")
    parts, found = module.split("."), getattr(import_module(module), name)
    for package in (".".join(parts[:length]) for length in range(1, len(parts))):
        if getattr(import_module(package), name, None) is found:
            return f"{package}.{name}"
    return class_path


def build(kind: Any, settings: Any) -> Any:
    """Build what plain data describe. Whoever calls it has made sure that the classes in them may be imported.

    Args:
        kind: type wanted, such as `nn.Module`, a Protocol, or a dictionary of them.
        settings: class paths with their arguments, as in a configuration.

    Raises:
        ValueError: they do not describe such a thing.
    """
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--built", type=kind)
    try:
        # The parser puts objects of its own into what it is given.
        return parser.instantiate(parser.parse_object({"built": copy.deepcopy(settings)})).built
    except (ArgumentError, ValueError) as error:
        raise ValueError(re.sub(r"^built\b[.:]? *", "", innermost(str(error)))) from None


def innermost(message: str) -> str:
    """Pick the cause out of jsonargparse's tree of types that a value could have had."""
    if "Parser key" not in message and "Does not validate" not in message:
        return message
    alone = re.fullmatch(r'Parser key "([^"]+)": *(\S.*)', message)
    if alone:
        return f"{alone[1]}: {alone[2]}"
    causes = _causes(message)
    if not causes:
        return message
    deepest = max(depth for depth, _ in causes)
    cause = next(text for depth, text in causes if depth == deepest)
    keys = re.findall(r'^[ -]*Parser key "([^"]+)"', message, re.MULTILINE)
    value = re.search(r"Given value: (.*)", message[message.index(cause.splitlines()[0]) :])
    if value and cause.startswith("Expected a") and "value" not in cause:
        cause += f". Got value: {value[1]}"
    return ": ".join(filter(None, [".".join(keys), _with_protocol(" ".join(cause.split()))]))


def _causes(message: str) -> list[tuple[int, str]]:
    """List the lines of jsonargparse's tree that are causes, each with its depth, and with lines that continue it."""
    causes: list[tuple[int, str]] = []
    begins = continues = False
    for line in message.splitlines():
        text = line.lstrip(" -")
        if text.startswith(FRAMES):
            begins, continues = not text.startswith("Given value"), False
        elif text and (begins or line.lstrip().startswith("- ")):
            causes.append((len(line) - len(text), text))
            begins, continues = False, True
        elif text and continues:
            causes[-1] = (causes[-1][0], f"{causes[-1][1]}\n{text}")
    return causes


def _with_protocol(cause: str) -> str:
    """Say of a class that does not fulfil a Protocol of condgen's data what it lacks."""
    from condgen import data

    found = UNMET.search(cause)
    if found is None or found[2] not in data.__all__:
        return cause
    kind, contract = locate(found[1]), getattr(data, found[2])
    for name, member in inspect.getmembers(contract, inspect.isroutine):
        if name.startswith("_"):
            continue
        wanted, own = inspect.signature(member), getattr(kind, name, None)
        if own is None:
            return f"{cause}: it has no method {name}{_plain(wanted)}"
        if _plain(inspect.signature(own)) != _plain(wanted):
            return (
                f"{cause}: its {name}{_plain(inspect.signature(own))} must be {name}{_plain(wanted)}, with these types"
            )
    return cause


def _plain(signature: inspect.Signature) -> str:
    """Write a signature without the quotes of types that are read as text, and without modules."""
    return re.sub(r"[\w.]+\.(?=\w)", "", str(signature).replace("'", ""))
