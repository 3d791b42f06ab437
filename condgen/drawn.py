"""Samples to look at and to listen to: NumPy arrays, and what a notebook shows."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from condgen.evaluation.pictures import grid
from condgen.evaluation.sound import wav
from condgen.models.contract import AudioNetwork
from condgen.sampling import Samples

SHOWN = 16  # samples of a row, or clips, that a notebook shows


@dataclass(frozen=True, repr=False)
class Drawn:
    """Samples of images or of audio, those of a row of the conditions together.

    Attributes:
        samples: result of the sampler.
        levels: whole levels of the data.
        per_row: samples per row of the conditions.
        labels: names of the classes that each sample was asked for.
        network: network of waveforms; `None` for images.
        lengths: positions of the last axis that each sample has.
    """

    samples: Samples
    levels: int
    per_row: int
    labels: list[str]
    network: AudioNetwork | None
    lengths: list[int]

    @property
    def x(self) -> Tensor:
        """Levels on the data's grid, (samples, channels, *size)."""
        return self.samples.x

    @property
    def log_prob(self) -> Tensor | None:
        """The log-probability of each sample, in nats; `None` of a generator's."""
        return self.samples.log_prob

    def images(self) -> np.ndarray:
        """Return images of 8 bits, (samples, height, width), or (…, 3) in colour, as matplotlib shows them.

        Raises:
            ValueError: they are waveforms.
        """
        if self.network is not None:
            raise ValueError("these samples are audio: waveforms() gives them")
        bits = (self.x.cpu().double() * (255 / (self.levels - 1))).round().to(torch.uint8).numpy()
        return bits[:, 0] if bits.shape[1] == 1 else bits.transpose(0, 2, 3, 1)

    def waveforms(self) -> list[np.ndarray]:
        """Return waveforms in [−1, 1], (samples of its own,) each, at `sample_rate`.

        Raises:
            ValueError: they are images.
        """
        if self.network is None:
            raise ValueError("these samples are images: images() gives them")
        decoded = self.network.quantization.decode(self.x[:, 0].cpu()).numpy()
        return [wave[:length] for wave, length in zip(decoded, self.lengths, strict=True)]

    @property
    def sample_rate(self) -> int | None:
        """Samples of audio per second; `None` for images."""
        return None if self.network is None else self.network.sample_rate

    def __len__(self) -> int:
        return len(self.x)

    def __iter__(self) -> Iterator[np.ndarray]:
        return iter(self.images() if self.network is None else self.waveforms())

    def __repr__(self) -> str:
        kind = "images" if self.network is None else f"waveforms at {self.sample_rate:,} Hz"
        asked = list(dict.fromkeys(label for label in self.labels if label))
        told = f", of {', '.join(asked[:12])}{', …' if len(asked) > 12 else ''}" if asked else ""
        return f"{len(self)} {kind}, {' × '.join(map(str, self.x.shape[1:]))}{told}; engine '{self.samples.engine}'"

    def _repr_png_(self) -> bytes | None:
        """Show a grid of images, a line per row of the conditions; single samples of rows side by side."""
        if self.network is not None:
            return None
        columns = min(self.per_row if self.per_row > 1 else len(self), SHOWN)
        step = self.per_row if self.per_row > 1 else columns
        lines = [range(i, min(i + columns, len(self))) for i in range(0, len(self), step)][:100]
        words = [[self.labels[i] for i in line[: None if self.per_row == 1 else 1]] for line in lines]
        titles = [" ".join(line).strip() for line in words]
        file = io.BytesIO()
        shown = self.x[[i for line in lines for i in line]]
        grid(shown, self.levels, columns, [title[:60] for title in titles]).save(file, "PNG")
        return file.getvalue()

    def _repr_html_(self) -> str | None:
        """Show players of the first waveforms."""
        if self.network is None:
            return None
        clips = zip(self.labels[:SHOWN], self.waveforms()[:SHOWN], strict=True)
        return "".join(
            f'<div>{html.escape(label)} <audio controls src="data:audio/wav;base64,'
            f'{base64.b64encode(wav(wave, self.network.sample_rate)).decode()}"></audio></div>'
            for label, wave in clips
        )
