"""A voice that is shown and not named: a recording's spectrogram to a global vector."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from types import MappingProxyType

import torch
from torch import Tensor, nn

from condgen.conditioning.agreement import agree, refuse_kind, require_shape
from condgen.conditioning.contract import DataCondition, Scope
from condgen.described import described

KERNEL = 5  # frames that a convolution sees
MIDDLE, SPREAD = -2.0, 1.5  # of the log-mel spectrograms of speech, roughly
LEAST = 1e-5  # variance of a channel that does not vary, so that there is a gradient


@described
class AudioReference(nn.Module):
    """A recording's log-mel spectrogram to a vector: (batch, size, frames) to (batch, features).

    Convolutions in time, then mean and standard deviation over the frames. Frames of zeros, which stand behind a
    recording that is shorter than others, do not count: silence is no zero on a logarithmic scale.

    Source: Snyder et al., "X-Vectors: Robust DNN Embeddings for Speaker Recognition", 2018, for the pooling.

    Args:
        size: numbers per frame. Left out on the command line, they are the data's.
        features: length of the vector.
        width: channels of the convolutions.
        layers: number of convolutions.
    """

    scope: Scope = "global"
    classes = None
    names = None
    around = 0  # no frame of the audio depends on a frame of the recording that is beside it
    named_axes: Mapping[str, int] = MappingProxyType({})

    def __init__(self, size: int, features: int = 64, width: int = 64, layers: int = 3) -> None:
        super().__init__()
        if min(size, width, layers) < 1:
            raise ValueError(f"AudioReference: size {size}, width {width} and layers {layers} must each be at least 1")
        self.size, self.features = size, features
        widths = [size, *[width] * layers]
        self.convolutions = nn.ModuleList(nn.Conv1d(i, o, KERNEL, padding=KERNEL // 2) for i, o in pairwise(widths))
        self.project = nn.Linear(2 * width, features)

    def forward(self, frames: Tensor) -> Tensor:
        """Map (batch, size, frames) to (batch, features)."""
        require_shape(frames, ("batch", self.size, "frames"))
        present = (frames != 0).any(1, keepdim=True)
        counts = present.sum(2)
        shortest = KERNEL if torch.compiler.is_exporting() else int(counts.min())
        if shortest < KERNEL:
            raise ValueError(f"a recording of {shortest} frames is too short: at least {KERNEL} are needed")
        x = (frames.to(self.project.weight.dtype) - MIDDLE) / SPREAD * present
        for convolution in self.convolutions:
            x = torch.relu(convolution(x)) * present  # what is behind a recording stays as silent as its edge
        mean = x.sum(2) / counts
        variance = ((x - mean[:, :, None]).square() * present).sum(2) / counts
        return self.project(torch.cat([mean, variance.clamp(min=LEAST).sqrt()], 1))

    @classmethod
    def completed(cls, arguments: Mapping[str, object], data: DataCondition) -> dict[str, object]:
        """Take the size of the frames from the data if it is not given."""
        known = data.size is not None and arguments.get("size") is None
        return {**arguments, "size": data.size} if known else dict(arguments)

    def check(self, data: DataCondition, hop: int) -> None:
        """Compare the size of the frames with the data's."""
        refuse_kind("a recording", data, data.kind != "a recording")
        agree("the model takes frames of size", self.size, "the data's have", data.size)

    def parse(self, text: str) -> list[tuple[str, Tensor]]:
        """Refuse any word: recordings come from files."""
        raise ValueError("takes a recording, or an .npy file with a spectrogram per row")
