"""The order of names: the one that people expect, in every source of data."""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from condgen.conditioning.names import number_of


def ordered(names: Iterable[str]) -> list[str]:
    """Sort names: numbers by value, then words, in which digits count by value too: 2, 10, a2, a10, b."""
    return sorted(names, key=natural)


def natural(name: str) -> Any:
    """Return what a name is sorted by; see `ordered`."""
    number = number_of(name)
    # Lengths before digits: a name of thousands of digits is more than Python turns into an integer.
    parts = [(len(part.lstrip("0")), part.lstrip("0")) if i % 2 else (0, part)
             for i, part in enumerate(re.split(r"([0-9]+)", name))]  # fmt: skip
    return (number is None, Decimal(0) if number is None else number, parts, name)
