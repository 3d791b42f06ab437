"""Waveforms of one rate and level: resampling without aliases, and a level that the gain of a file does not change."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor

Normalise = Literal["peak", "loudness", "none"]
SILENCE = 1e-4  # of full scale: −80 dB, three steps of 16 bits; a clip that never gets louder is dither
# The two filters of ITU-R BS.1770 as it gives them, for 48 kHz: a shelf for the head, and a high pass.
WEIGHTING = (
    (1.53512485958697, -2.69169618940638, 1.19839281085285, 1.0, -1.69065929318241, 0.73248077421585),
    (1.0, -2.0, 1.0, 1.0, -1.99004745483398, 0.99007225036621),
)


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
    loud = 10 ** ((-23.0 + 0.691) / 20) / max(_loud_power(_block_powers(waveform, sample_rate)) ** 0.5, 1e-12)
    return waveform * min(loud, 0.999 / peak)


def _block_powers(waveform: Tensor, sample_rate: int) -> np.ndarray:
    """Return the weighted power of each block of 0.4 s, one every 0.1 s; the upper 9 % of the band do not count."""
    from scipy.signal import sosfilt

    # A clip shorter than a block is repeated until it fills one.
    repeated = waveform.repeat(1 + int(0.4 * sample_rate) // len(waveform))
    weighted = sosfilt(WEIGHTING, resampled(repeated, sample_rate, 48_000).numpy())
    tenths = weighted[: len(weighted) // 4_800 * 4_800].reshape(-1, 4_800)
    return np.convolve(np.einsum("ts,ts->t", tenths, tenths) / 19_200, np.ones(4), "valid")


def _loud_power(powers: np.ndarray) -> float:
    """Return the mean power of the blocks that pass both gates of ITU-R BS.1770.

    The absolute gate, −70 LUFS, is for the clip as it will be, at −23: 47 dB below the very mean that is wanted. From
    the loudest block downwards, means and gates sink until they agree; each step takes in more blocks, so it ends.
    """
    power = float(powers.max())
    while True:
        audible = powers[powers >= power * 10**-4.7]
        found = float(audible[audible >= audible.mean() / 10].mean())
        if found >= power:
            return power
        power = found
