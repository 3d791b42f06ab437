"""The grid of whole levels: what lies on it, and waveforms to levels and back, linear or companded by the mu-law."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

Companding = Literal["mu_law", "linear"]


def check_levels(x: Tensor, levels: int, name: str = "the data") -> None:
    """Check that numbers are whole levels from 0 to L − 1, whatever their type.

    Args:
        x: numbers of any shape.
        levels: number of levels, L.
        name: name of x in the error.

    Raises:
        ValueError: one is not.
    """
    if torch.compiler.is_exporting():
        return  # there are no numbers yet
    if x.dtype in (torch.uint16, torch.uint32, torch.uint64):
        raise ValueError(f"{name} are of {x.dtype}, in which PyTorch compares nothing: give them as x.long()")
    # As Python numbers: in 8 bits, 256 levels would become 0.
    low, high = (x.min().item(), x.max().item()) if x.numel() else (0, 0)
    if not 0 <= low <= high < levels or (x.is_floating_point() and (x % 1 != 0).any()):
        raise ValueError(f"{name} must be whole levels from 0 to {levels - 1}; got {low:.10g} to {high:.10g}")


class Quantization:
    """A grid of whole levels for waveforms in [−1, 1].

    Source: ITU-T Recommendation G.711 for the mu-law, as used in van den Oord et al., "WaveNet", 2016, section 2.2.

    Args:
        levels: number of levels: 256 for 8 bits, 65,536 for 16.
        companding: spacing of the levels: `mu_law` puts most of them near 0, where speech is; `linear` spaces them
            evenly.

    Raises:
        ValueError: the companding is unknown or there are fewer than 2 levels.
    """

    def __init__(self, levels: int = 256, companding: Companding = "mu_law") -> None:
        if companding not in get_args(Companding):
            raise ValueError(f"unknown companding '{companding}'; known: {', '.join(get_args(Companding))}")
        if not 2 <= levels <= 65536:
            raise ValueError(f"levels {levels} is not from 2 to 65536")
        self.levels, self.companding = levels, companding

    @property
    def silence(self) -> int:
        """The level of 0."""
        return self.levels // 2

    def encode(self, waveform: Tensor) -> Tensor:
        """Map a waveform of any shape to levels 0 … L − 1; values beyond ±1 are clipped."""
        waveform = waveform.clamp(-1, 1)
        if self.companding == "mu_law":
            from torchaudio.functional import mu_law_encoding

            return mu_law_encoding(waveform, self.levels)
        return ((waveform + 1) * ((self.levels - 1) / 2) + 0.5).floor().long()

    def decode(self, levels: Tensor) -> Tensor:
        """Map levels of any shape to a waveform, float32."""
        if self.companding == "mu_law":
            from torchaudio.functional import mu_law_decoding

            return mu_law_decoding(levels.long(), self.levels)
        return levels.float() * (2 / (self.levels - 1)) - 1
