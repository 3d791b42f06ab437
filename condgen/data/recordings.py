"""Recordings: audio files to waveforms of one rate and level; a problem with a file is reported in one line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from condgen.data.clips import Clip, Phoneme
from condgen.data.decoding import LONGEST, RATES, read_audio
from condgen.data.levels import Normalise, is_silent, levelled, resampled


class Recording(NamedTuple):
    """A recording, ready to be measured.

    Attributes:
        waveform: samples in [−1, 1], (samples,).
        clip: clip with times that fit the waveform.
        dropped: seconds that trimming dropped.
        silent: silence of the clip, whose level and ends were then left alone.
        channels: channels of the file, which were mixed down to one.
    """

    waveform: Tensor
    clip: Clip
    dropped: float
    silent: bool
    channels: int = 1


@dataclass(frozen=True)
class RecordingReader:
    """Reads audio files.

    Attributes:
        sample_rate: samples per second after reading.
        resample: conversion of files with another rate, done if true; otherwise such files are refused.
        normalise: kind of normalisation: each clip's `peak` to 0.95, its `loudness` to −23 LUFS (ITU-R BS.1770; less
            if peaks would exceed 1), or `none`. Without it a model of several speakers can tell them apart by level. A
            clip whose peak is not above −80 dB of full scale, three steps of 16 bits, is silent: it has no level, and
            is left as it is.
        trim: threshold in dB below the peak; quieter parts at either end are dropped. `None` to drop nothing.
        remove_dc: removal of each clip's mean, before all else, done if true. Sound cards add an offset, which would
            hide silence from `trim` and take room from the level.
        mono: mean of the channels, taken if true; otherwise files of several channels are refused.
        longest: seconds that a file may last; longer ones are refused before they are decoded.
    """

    sample_rate: int
    resample: bool = False
    normalise: Normalise = "peak"
    trim: float | None = None
    remove_dc: bool = True
    mono: bool = False
    longest: float = LONGEST

    def __post_init__(self) -> None:
        if not RATES[0] <= self.sample_rate <= RATES[1]:
            raise ValueError(f"sample_rate {self.sample_rate} is not between {RATES[0]:,} and {RATES[1]:,}")
        if not self.longest > 0:
            raise ValueError(f"longest {self.longest} s is not more than 0")
        if self.trim is not None and not self.trim > 0:
            raise ValueError(f"trim {self.trim} is not more than 0 dB below the peak; leave it out to drop nothing")

    def read(self, clip: Clip) -> Recording:
        """Read a clip.

        Raises:
            ValueError: the file is missing, unreadable, truncated, empty, not mono, or holds NaN.
        """
        sound = read_audio(clip.path, clip.origin, self.mono, self.longest)
        return self.prepare(sound.waveform, sound.rate, clip)._replace(channels=sound.channels)

    def prepare(self, waveform: Tensor, rate: int, clip: Clip) -> Recording:
        """Convert a clip's waveform, (samples,), to the desired rate and level; see `read`."""
        spoken = max((p.end for p in clip.phonemes or ()), default=0.0)
        if spoken > len(waveform) / rate + 0.05:
            raise ValueError(f"{_name(clip)} lasts {len(waveform) / rate:.2f} s, but its phonemes last until "
                             f"{spoken:.2f} s; their times are in seconds from its start")  # fmt: skip
        if rate != self.sample_rate and not self.resample:
            raise ValueError(f"{_name(clip)} has {rate} samples per second, not {self.sample_rate}: set data.resample "
                             "to true to convert it")  # fmt: skip
        if self.remove_dc and len(waveform):
            waveform = waveform - waveform.mean(dtype=torch.float64).to(waveform.dtype)
        if rate != self.sample_rate:
            waveform = resampled(waveform, rate, self.sample_rate)
        start, end = self._bounds(waveform)
        kept = levelled(waveform[start:end], self.sample_rate, self.normalise)
        return Recording(kept, _shifted(clip, start / self.sample_rate, len(kept) / self.sample_rate),
                         (len(waveform) - len(kept)) / self.sample_rate, is_silent(waveform))  # fmt: skip

    def _bounds(self, waveform: Tensor) -> tuple[int, int]:
        if self.trim is None or is_silent(waveform):
            return 0, len(waveform)
        from librosa.effects import trim

        window = max(16, self.sample_rate // 50)
        full = waveform / waveform.abs().max()  # librosa hears nothing below −100 dB of full scale
        _, (start, end) = trim(full.numpy(), top_db=self.trim, frame_length=window, hop_length=window // 4)
        return int(start), int(end)


def _name(clip: Clip) -> str:
    return f"{clip.path} ({clip.origin})" if clip.origin and clip.origin != str(clip.path) else str(clip.path)


def _shifted(clip: Clip, start: float, duration: float) -> Clip:
    """Shift a clip's phonemes so that it begins at `start`, and drop those outside it."""
    if clip.phonemes is None or (not start and all(p.end <= duration for p in clip.phonemes)):
        return clip
    moved = (Phoneme(p.symbol, max(0.0, p.start - start), min(p.end - start, duration)) for p in clip.phonemes)
    return clip._replace(phonemes=tuple(p for p in moved if p.end > p.start))
