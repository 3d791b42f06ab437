"""Headers of recordings, read before any is decoded: a setting that most clips need is asked for at once."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from condgen.data.clips import Clip
from condgen.data.decoding import Shown
from condgen.data.recordings import RecordingReader
from condgen.paths import require_file


class Header(NamedTuple):
    """What the header of a recording says: samples per second, and channels."""

    rate: int
    channels: int


def read_header(path: Path, name: str = "") -> Header:
    """Read the header of a recording.

    Args:
        path: file of the recording.
        name: words for the file in the message; its path if left out.

    Raises:
        ValueError: there is no such file, or soundfile does not read it; the message names it.
    """
    import soundfile

    require_file(path, "a sound file", name or str(path))
    try:
        with open(path, "rb") as file, soundfile.SoundFile(Shown(file)) as sound:
            return Header(sound.samplerate, sound.channels)
    except (soundfile.LibsndfileError, RuntimeError, OSError) as error:
        cause = str(error).split(": ")[-1].strip()
        raise ValueError(f"{name or path} is not a readable audio file ({cause})") from None


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
