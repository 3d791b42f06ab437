"""How a sample was made, written into its own file: a record in JSON, which `condgen show` reads again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

ROOM = 2000  # bytes of a comment in a WAV file: of one with more, libsndfile reads nothing


def note(record: Mapping[str, Any]) -> str:
    """Write a record as JSON, in ASCII."""
    return json.dumps(record)


def comment(record: Mapping[str, Any]) -> str:
    """Write a record as JSON with its long words cut, as far as a WAV file's comment has no room for them."""
    texts = (note(_cut(record, longest) if longest else record) for longest in (None, 400, 100, 30))
    plain = {key: value for key, value in _cut(record, 64).items() if not isinstance(value, Mapping)}
    return next((text for text in texts if len(text) <= ROOM), note(plain))


def _cut(tree: Any, longest: int) -> Any:
    """Cut long words at every depth, but no hash."""
    if isinstance(tree, Mapping):
        return {_cut(key, longest): _cut(value, longest) for key, value in tree.items()}
    return f"{tree[: longest - 1]}…" if isinstance(tree, str) and len(tree) > max(longest, 64) else tree
