"""What a classifier looks at: images as they are, speech as pictures of its spectrograms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor

from condgen.data import Images, Labelled, Speech
from condgen.data.batch import Split
from condgen.data.features import MelSpectrogram
from condgen.data.images import ImageSet


class ImageView:
    """Images as they are.

    Args:
        data: data module after `setup()`.
    """

    def __init__(self, data: Images) -> None:
        self.data, self.levels = data, data.levels

    def split(self, split: Split) -> ImageSet:
        """Return a split of the data."""
        return self.data.dataset(split)

    def pictures(self, x: Tensor, lengths: Sequence[int] | None = None) -> Tensor:
        """Return samples, (samples, channels, height, width)."""
        return x


class SpeechView:
    """Speech as pictures of its log-mel spectrograms: 32 bands, 32 ms per column, 256 levels for the 70 dB below the
    loudest point. A picture is wide enough for 99 % of the training clips; longer clips are cut off.

    Args:
        data: data module after `setup()`.
    """

    levels = 256
    bands = 32

    def __init__(self, data: Speech) -> None:
        self.data, self.quantization = data, data.quantization
        hop = 2 * round(data.sample_rate * 0.016)
        self.mel = MelSpectrogram(self.bands, hop, window=2 * hop)
        longest = np.quantile(data.dataset("train").lengths, 0.99)
        self.columns = max(8, int(-(-longest // (4 * hop))) * 4)  # a multiple of 4, for the classifier's pooling

    def split(self, split: Split) -> ImageSet:
        """Return a split of the data, whole clips, as pictures with their class ids."""
        store = self.data.dataset(split).store
        pictures = [
            self.picture(self.quantization.decode(torch.from_numpy(np.array(store.levels[begin:end]))))
            for begin, end in zip(store.ends[:-1], store.ends[1:], strict=True)
        ]
        return ImageSet(Labelled(torch.stack(pictures), {n: torch.from_numpy(ids) for n, ids in store.ids.items()}))

    def pictures(self, x: Tensor, lengths: Sequence[int]) -> Tensor:
        """Turn levels, (samples, 1, time), of given lengths into pictures, (samples, 1, bands, columns)."""
        waveforms = self.quantization.decode(x[:, 0])
        return torch.stack([self.picture(w[:n]) for w, n in zip(waveforms, lengths, strict=True)])

    def picture(self, waveform: Tensor) -> Tensor:
        """Turn a waveform, (samples,), into a picture, (1, bands, columns), uint8."""
        wanted = self.columns * self.mel.hop
        padded = torch.nn.functional.pad(waveform[:wanted], (0, max(0, wanted - len(waveform))))
        decibels = 20 * self.mel.measure(padded, self.data.sample_rate)
        return ((decibels - decibels.max() + 70).clamp(min=0) * (255 / 70)).round().to(torch.uint8)[None]


def view(data: Images | Speech) -> ImageView | SpeechView:
    """Choose how a classifier sees the examples of a data module."""
    return ImageView(cast(Images, data)) if data.sample_rate is None else SpeechView(cast(Speech, data))
