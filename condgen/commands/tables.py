"""Tables of figures in Markdown."""

from __future__ import annotations

from collections.abc import Sequence


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Write a table, a line per row."""
    return [f"| {' | '.join(cells)} |" for cells in (heads, ["---"] * len(heads), *rows)]


def figure(value: float | None, form: str = ".3f") -> str:
    """Write a figure; a dash where there is none."""
    return "–" if value is None or value != value else format(value, form)
