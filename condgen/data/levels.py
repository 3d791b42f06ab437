"""Waveforms of one rate and level: resampling without aliases, and a level that the gain of a file does not change."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor

Normalise = Literal["peak", "loudness", "none"]
LOWEST_RATE = 4000  # samples per second at which loudness is measured: its filters reach to 1.7 kHz
SILENCE = 1e-4  # of full scale: −80 dB, three steps of 16 bits; a clip that never gets louder is dither


def resampled(waveform: Tensor, old: int, new: int) -> Tensor:
    """Convert a waveform, (samples,), from one rate to another with soxr: (round(samples × new / old),).

    What lies above half of the new rate is at least 120 dB down, and up to 90 % of it the level changes by 0.02 dB at
    the most.

    Args:
        waveform: waveform, float32.
        old: samples per second that it has.
        new: samples per second wanted.
    """
    import soxr

    length = round(len(waveform) * new / old)
    found = torch.from_numpy(soxr.resample(waveform.numpy(), old, new, quality="VHQ"))
    return torch.nn.functional.pad(found, (0, max(0, length - len(found))))[:length]


def is_silent(waveform: Tensor) -> bool:
    """Tell whether a waveform, (samples,), has no level to speak of: its peak is not above −80 dB of full scale."""
    return not len(waveform) or float(waveform.abs().max()) <= SILENCE


def levelled(waveform: Tensor, sample_rate: int, normalise: Normalise) -> Tensor:
    """Bring a waveform, (samples,), to a level that does not depend on its own.

    Args:
        waveform: waveform.
        sample_rate: samples per second.
        normalise: kind of normalisation: the `peak` to 0.95, the `loudness` to −23 LUFS (ITU-R BS.1770; less if peaks
            would exceed 1), or `none`. Silence stays as it is.
    """
    if normalise == "none" or is_silent(waveform):
        return waveform
    peak = float(waveform.abs().max())
    if normalise == "peak":
        return waveform * (0.95 / peak)
    from torchaudio.functional import loudness

    # Loudness is of blocks of 0.4 s: a shorter clip is repeated until it fills one. Its filters clip at ±1 and
    # its gate is absolute, so all clips are measured at one peak, far below that.
    repeated = waveform.double().repeat(1 + int(0.4 * sample_rate) // len(waveform)) * (0.1 / peak)
    gain = 10 ** ((-23.0 - float(loudness(repeated[None], sample_rate))) / 20)
    return waveform * ((gain if np.isfinite(gain) and 0.1 * gain < 1 else 9.99) * (0.1 / peak))
