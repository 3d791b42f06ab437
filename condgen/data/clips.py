"""Clips of speech: where they are stored and what is known about each. Sources list them; `Speech` reads them."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, Protocol

from condgen.data.batch import Split


class Phoneme(NamedTuple):
    """A phoneme and when it is spoken, in seconds from the start of the clip."""

    symbol: str
    start: float
    end: float


class Clip(NamedTuple):
    """One recording.

    Attributes:
        path: audio file.
        labels: class name per condition, such as `{"speaker": "jackson", "digit": "7"}`.
        text: words that are spoken; `None` if unknown.
        phonemes: phonemes in order and without overlap; `None` if no alignment is known.
        origin: place where the clip was listed, for messages: `manifest.csv, row 7`, or the file itself.
    """

    path: Path
    labels: dict[str, str]
    text: str | None = None
    phonemes: tuple[Phoneme, ...] | None = None
    origin: str = ""


class SpeechSource(Protocol):
    """A source of clips. Its constructor lists files and reads no audio.

    Attributes:
        names: class names per condition, in the order of their ids.
        phonemes: phonemes that occur, sorted; empty if there is no alignment.
    """

    names: dict[str, list[str]]
    phonemes: list[str]

    def clips(self, split: Split) -> list[Clip]:
        """List one split."""
        ...
