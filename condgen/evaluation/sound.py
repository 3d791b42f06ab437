"""Sound to listen to: WAV files."""

from __future__ import annotations

import io
import os

import numpy as np


def write_wav(path: str | os.PathLike[str], waveform: np.ndarray, sample_rate: int, comment: str = "") -> None:
    """Write a WAV file with 16 bits per sample.

    Args:
        path: file to write.
        waveform: waveform in [−1, 1], (samples,).
        sample_rate: samples per second.
        comment: record of how it was made, in at most 2,000 bytes.
    """
    import soundfile

    with soundfile.SoundFile(path, "w", sample_rate, 1, "PCM_16") as file:
        if comment:
            file.comment = comment
        file.write(waveform)


def wav(waveform: np.ndarray, sample_rate: int) -> bytes:
    """Return the content of a WAV file with 16 bits per sample; see `write_wav`."""
    import soundfile

    content = io.BytesIO()
    soundfile.write(content, waveform, sample_rate, subtype="PCM_16", format="WAV")
    return content.getvalue()
