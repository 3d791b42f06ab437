"""Text for a terminal: what a stranger's file says, such as the names in a checkpoint, must not steer it."""

from __future__ import annotations


def printable(text: str) -> str:
    """Write whatever could steer a terminal as an escape sequence."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
