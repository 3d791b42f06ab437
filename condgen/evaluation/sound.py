"""Sound to listen to: WAV files."""

from __future__ import annotations

import os

import numpy as np


def write_wav(path: str | os.PathLike[str], waveform: np.ndarray, sample_rate: int) -> None:
    """Write a WAV file with 16 bits per sample.

    Args:
        path: file to write.
        waveform: waveform in [−1, 1], (samples,).
        sample_rate: samples per second.
    """
    import soundfile

    soundfile.write(path, waveform, sample_rate, subtype="PCM_16")
