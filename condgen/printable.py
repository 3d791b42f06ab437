"""Text for a terminal: what a stranger's file says, such as the names in a checkpoint, must not steer it."""

from __future__ import annotations

import re

CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")  # all but tabulators and line ends


def printable(text: str) -> str:
    """Write whatever could steer a terminal as an escape sequence."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
