"""Text files: read as UTF-8, whatever marks a spreadsheet or an editor put at the beginning."""

from __future__ import annotations

import json
import reprlib
from pathlib import Path
from typing import Any

SHOWN = 80  # characters of a value that a message shows


def read_text(file: Path) -> str:
    """Read a text file, its line ends as they are.

    Raises:
        ValueError: it is not UTF-8; the message names the file.
    """
    try:
        # utf-8-sig: a byte order mark would become part of the first word.
        with open(file, encoding="utf-8-sig", newline="") as lines:
            return lines.read()
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is not UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8") from None


def read_json(text: str, origin: str) -> Any:
    """Read JSON.

    Args:
        text: JSON.
        origin: place of the text, for messages.

    Raises:
        ValueError: it is malformed, holds a number that is none, names something twice, or is too deep or too long.
    """
    try:
        return json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        raise ValueError(f"{origin} is malformed JSON: {error.msg} at character {error.pos + 1}") from None
    except RecursionError:
        raise ValueError(f"{origin} is malformed JSON: brackets are nested too deep") from None
    except ValueError as error:  # also whole numbers of more digits than Python converts
        reason = "a number has too many digits" if "digits" in str(error) else str(error)
        raise ValueError(f"{origin} is malformed JSON: {reason}") from None


def shown(value: object) -> str:
    """Write a value for a message: as JSON, or shortened if that is long."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (RecursionError, TypeError, ValueError):
        return reprlib.repr(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


def _refuse_constant(word: str) -> None:
    raise ValueError(f"{word} is not a number; leave out what is missing, or write null")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"'{next(key for key in keys if keys.count(key) > 1)}' is named twice; keep one of them")
    return found
