"""Which class a word means: the one rule by which words become class ids, wherever words are taken.

A name comes first; then the name that is the same number (`7` means `07`, and `2` means `2.0`). A position, counted
from 0, is taken only where no name is a number: otherwise it would silently be another class.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)


def find_name(names: Sequence[str], word: str) -> int | None:
    """Return the id of the name that a word is, or equals as a number; `None` if there is none.

    Raises:
        ValueError: several names are the same number; the message continues "condition 'NAME' ".
    """
    if word in names:
        return names.index(word)
    number = number_of(word)
    equal = [] if number is None else [i for i, name in enumerate(names) if number_of(name) == number]
    if len(equal) > 1:
        several = " and ".join(f"'{names[i]}'" for i in equal)
        raise ValueError(f"has several names that equal '{word}': {several}; write the one meant as it stands")
    return equal[0] if equal else None


def find_position(names: Sequence[str], word: str) -> int | None:
    """Return the id that a word is by position; `None` where a name is a number, or there is no such position."""
    if not re.fullmatch(r"[0-9]{1,18}", word) or any(number_of(name) is not None for name in names):
        return None
    return int(word) if int(word) < len(names) else None


def find_class(names: Sequence[str], word: str) -> int:
    """Return the id of the class that a word means, by name, by number, or by position.

    Raises:
        ValueError: there is none, or it is not clear which; the message continues "condition 'NAME' ".
    """
    found = find_name(names, word)
    found = find_position(names, word) if found is None else found
    if found is None:
        numbered = any(number_of(name) is not None for name in names)
        positions = "" if numbered else f" (or positions 0 to {len(names) - 1})"
        raise ValueError(f"has no class '{word}'; its classes: {', '.join(names)}{positions}")
    return found


def taken_by_position(names: Sequence[str], text: str) -> dict[str, str]:
    """List the words of a text `a,b,c` that are taken by position, each with the name that stands there."""
    words = [] if text in (*names, "all") else [word.strip() for word in text.split(",")]
    places = {word: find_position(names, word) for word in words if word not in names}
    return {word: names[place] for word, place in places.items() if place is not None}


def number_of(text: str) -> Decimal | None:
    """Return the number that a text is, in decimal digits; `None` if it is none."""
    return Decimal(text) if NUMBER.fullmatch(text) else None
