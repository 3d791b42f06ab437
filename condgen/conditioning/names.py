"""Which class a word means: the one rule by which words become class ids, wherever words are taken.

A name comes first; then the name that is the same number (`7` means `07`, and `2` means `2.0`). A position, counted
from 0, is taken only where no name is a number: otherwise it would silently be another class.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from decimal import Decimal

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)


def spelled(name: str) -> str:
    """Return the one spelling of a name: letters with marks composed (NFC), as keyboards type them and as file systems
    may not have them; and no blanks around it."""
    return unicodedata.normalize("NFC", name).strip()


def find_name(names: Sequence[str], word: str) -> int | None:
    """Return the id of the name that a word is, or equals as a number; `None` if there is none.

    Raises:
        ValueError: several names are the same number; the message continues "condition 'NAME' ".
    """
    for known, asked in ((names, word), ([spelled(name) for name in names], spelled(word))):
        if asked in known:
            return known.index(asked)
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


def split_words(names: Sequence[str], text: str) -> list[str]:
    """Split a text `a,b,c` into words; commas within a name, or within a part that is spelled as one, do not split."""
    parts, known, words = text.split(","), {spelled(name) for name in names}, []
    longest = 1 + max((name.count(",") for name in known), default=0)
    while parts:
        joined = (",".join(parts[:count]) for count in range(min(longest, len(parts)), 0, -1))
        found = next((word for word in joined if spelled(word) in known), parts[0])
        words.append(found.strip())
        parts = parts[found.count(",") + 1 :]
    return words


def taken_by_position(names: Sequence[str], text: str) -> dict[str, str]:
    """List the words of a text `a,b,c` that are taken by position, each with the name that stands there."""
    words = [] if text in (*names, "all") else split_words(names, text)
    places = {word: find_position(names, word) for word in words if word not in names}
    return {word: names[place] for word, place in places.items() if place is not None}


def number_of(text: str) -> Decimal | None:
    """Return the number that a text is, in decimal digits; `None` if it is none."""
    return Decimal(text) if NUMBER.fullmatch(text) else None
