"""What an object was built from, as plain data of the form in which a configuration names classes and arguments."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

Kind = TypeVar("Kind")


def described(kind: type[Kind]) -> type[Kind]:
    """Let a class that has an `__init__`, and all that inherit from it, remember what their objects were built with.

    A decorator. Networks, encoders, sources and features of condgen have it; a class of one's own that has it, or
    inherits from one of these, can be built in Python, trained, and opened again from its checkpoint.
    """

    def inherited(cls: type, **options: Any) -> None:
        super(kind, cls).__init_subclass__(**options)  # type: ignore[misc]
        _remember(cls)

    kind.__init_subclass__ = classmethod(inherited)  # type: ignore[assignment]
    _remember(kind)
    return kind


def _remember(kind: type) -> None:
    """Let the `__init__` of a class, if it has one of its own, keep its arguments."""
    original = vars(kind).get("__init__")
    if original is None:
        return

    @wraps(original)
    def init(self: Any, *args: Any, **options: Any) -> None:
        if type(self).__init__ is init:  # and not one that calls this one
            with suppress(TypeError):  # `__init__` itself says what is wrong
                bound = inspect.signature(original).bind(self, *args, **options)
                bound.apply_defaults()
                object.__setattr__(self, "_given", _by_name(bound))
        original(self, *args, **options)

    kind.__init__ = init  # type: ignore[misc]


def _by_name(bound: inspect.BoundArguments) -> dict[str, Any]:
    """Return arguments by name, those that a signature takes as `**options` too."""
    _, *given = bound.signature.parameters.values()
    named = {p.name: bound.arguments[p.name] for p in given if p.kind is not p.VAR_KEYWORD}
    return named | {k: v for p in given if p.kind is p.VAR_KEYWORD for k, v in bound.arguments[p.name].items()}


def describe(value: Any) -> Any:
    """Return plain data that describe a value: an object by `class_path` and `init_args`, all else as it is.

    Raises:
        ValueError: a part of it cannot be described; the message names it and says what to do.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {key: describe(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [describe(part) for part in value]
    name, given = type(value).__name__, arguments(value)
    if given is None:
        raise ValueError(f"what {name} was built with is not known: decorate it with condgen.described.described")
    return {"class_path": class_path(type(value)), "init_args": describe(given)}


def arguments(built: object) -> dict[str, Any] | None:
    """Return the arguments, by name, that an object was built with; `None` where its class does not remember them."""
    return getattr(built, "__dict__", {}).get("_given")


def class_path(kind: type) -> str:
    """Return the path by which a class is imported.

    Raises:
        ValueError: it cannot be, since it stands in a script, in a function or in another class.
    """
    if kind.__module__ == "__main__" or "." in kind.__qualname__:
        raise ValueError(f"{kind.__name__} cannot be imported from where it stands: move it to the top of a module")
    return f"{kind.__module__}.{kind.__qualname__}"
