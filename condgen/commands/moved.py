"""Data that lie elsewhere than they did: which option says where."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from condgen.data.hyperparameters import innermost

# How an error says that there is nothing at a path, or not what should be.
MISSING = (
    r"(?<!\S){0}(/\S*)? (is not there|does not exist|has no )|not complete in {0}[ ,/]|"
    r"No such file or directory: '{0}"
)


@contextmanager
def saying_where(source: Mapping[str, Any] | None) -> Iterator[None]:
    """Add to an error about a path of the source that is not there which option of the command line says another.

    Args:
        source: class path and arguments of the source of the data, as plain data; `None` if there is none.
    """
    try:
        yield
    except (ValueError, OSError) as error:
        arguments, message = (source or {}).get("init_args") or {}, innermost(str(error))
        for name, value in dict(arguments).items():
            if isinstance(value, str) and value and not os.path.exists(value):
                path = rf"(?:\./)?{re.escape(os.path.normpath(value))}"
                if re.search(MISSING.format(path), message):
                    raise ValueError(f"{message}; say where the data are with --data.source.{name} NEW") from error
        raise
