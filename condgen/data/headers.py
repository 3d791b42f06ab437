"""Headers of recordings, read before any is decoded: a setting that most clips need is asked for at once."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

from condgen.data.clips import Clip
from condgen.data.decoding import Header, read_header
from condgen.data.recordings import RecordingReader


def check_headers(clips: Sequence[Clip], reader: RecordingReader) -> None:
    """Compare the headers of clips with what a reader takes, and warn of those that will be resampled upwards.

    Files that cannot be read, and few that differ from the others, are left to the reader, which names each of them.

    Args:
        clips: clips of a split.
        reader: reader that will read them.

    Raises:
        ValueError: more than half of the clips need a setting; the message says which.
    """
    found = [(clip, header) for clip in clips if (header := _header(clip.path))]
    lower = sorted({header.rate for _, header in found if header.rate < reader.sample_rate})
    if lower and reader.resample:
        rates = ", ".join(f"{rate:,}" for rate in lower)
        warnings.warn(f"recordings of {rates} samples per second are raised to {reader.sample_rate:,}, which adds no "
                      f"sound to them; --data.sample_rate {lower[0]} is enough for these", stacklevel=2)  # fmt: skip
    faults = _needed(found, len(clips), lambda own: own.rate != reader.sample_rate and not reader.resample,
                     lambda own: f"{own.rate} samples per second, not {reader.sample_rate}: set data.resample to true "
                     f"to convert it, or data.sample_rate to {own.rate}")  # fmt: skip
    faults += _needed(
        found,
        len(clips),
        lambda own: own.channels > 1 and not reader.mono,
        lambda own: f"{own.channels} channels, not one: mix it down, or set data.mono to true",
    )
    if faults:
        raise ValueError("; and ".join(faults))


def _header(path: Path) -> Header | None:
    try:
        return read_header(path)
    except ValueError:
        return None


def _needed(
    found: Sequence[tuple[Clip, Header]], count: int, is_odd: Callable[[Header], bool], says: Callable[[Header], str]
) -> list[str]:
    """Say, if more than half of all clips are odd, what the first is and how many there are."""
    odd = [(clip, header) for clip, header in found if is_odd(header)]
    if 2 * len(odd) <= count:
        return []
    others = f" ({len(odd)} of {count} clips are such)" if len(odd) > 1 else ""
    clip, header = odd[0]
    origin = f" ({clip.origin})" if clip.origin not in ("", str(clip.path)) else ""
    return [f"{clip.path}{origin} has {says(header)}{others}"]
