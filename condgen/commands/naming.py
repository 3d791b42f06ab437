"""Names of samples' files: what was asked for, and the index. They are safe on every file system, whatever classes are
called; the index alone tells them apart."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import PurePath

MANY = 1000  # files of a folder; of more, nobody finds one
LONGEST_LABEL, LONGEST_NAME = 40, 120  # characters, and bytes: file systems allow 255 of these


def file_names(
    labels: Sequence[Mapping[str, str]], indices: Sequence[int], suffix: str, last: int | None = None
) -> list[str]:
    """Name the files of samples, relative to their folder; where there are more than 1,000, a folder for each 1,000.

    Args:
        labels: words that each sample was asked for with, by condition.
        indices: index of each sample.
        suffix: suffix of the files, such as `.png`.
        last: index of the last sample of the whole request; left out, the largest of these.
    """
    last = max(indices, default=0) if last is None else last
    digits = max(4, len(str(last)))
    names = [f"{_stem(row)}_{i:0{digits}d}{suffix}" for row, i in zip(labels, indices, strict=True)]
    if last < MANY:
        return names
    starts = [i // MANY * MANY for i in indices]
    return [f"{s:0{digits}d}-{s + MANY - 1:0{digits}d}/{name}" for s, name in zip(starts, names, strict=True)]


def title(labels: Mapping[str, str]) -> str:
    """Say in a few words what was asked for."""
    return ", ".join(map(_short, labels.values())) or "samples"


def _short(label: str) -> str:
    """Return a label as it is; of a path of a sound or an array, its last part."""
    return (
        PurePath(label).name if re.search(r"\.(wav|flac|ogg|opus|mp3|npy(\[\d+\])?)$", label, re.IGNORECASE) else label
    )


def _stem(labels: Mapping[str, str]) -> str:
    """Join names and values of conditions, `speaker=jackson_digit=7`, as far as there is room."""
    # Windows reserves NUL and its like as whole names and before a dot.
    names = [_safe(name).replace(".", "-").strip("-") or "condition" for name in labels]
    words = [f"{name}={_safe(_short(label))}" for name, label in zip(names, labels.values(), strict=True)]
    text = "_".join(words) or "sample"
    return text.encode()[:LONGEST_NAME].decode(errors="ignore")


def _safe(text: str) -> str:
    """Replace whatever is neither letter nor digit nor one of `+-._`, and cut what is long."""
    letters = unicodedata.normalize("NFC", text)[:LONGEST_LABEL]
    return "".join(c if c.isalnum() or c in "+-._" else "-" for c in letters)
