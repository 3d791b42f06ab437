"""The body of a DCGAN: the sizes of its maps, and the convolutions from one to the next, for images and for audio.

Sources: Radford et al., "Unsupervised Representation Learning with DCGAN", 2016; Donahue et al., "Adversarial Audio
Synthesis" (WaveGAN), 2019, for the body in one dimension.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import nn

Padding = Literal["zeros", "reflect", "replicate", "circular"]
Make = Callable[..., nn.Module]
CONV: tuple[Make, Make] = (nn.Conv1d, nn.Conv2d)
CONV_TRANSPOSE: tuple[Make, Make] = (nn.ConvTranspose1d, nn.ConvTranspose2d)


@dataclass(frozen=True)
class Body:
    """Sizes of a DCGAN's maps: `start`, then `stride` times larger at each of `layers` layers.

    Attributes:
        shape: channels and size of the data.
        channels: channels of the largest hidden map; each smaller one has twice as many, up to eight times.
        kernel_size: kernel size of every strided convolution.
        stride: stride of every strided convolution.
        start: size of the smallest map.
        layers: number of strided convolutions.
        padding_mode: padding of strided convolutions; transposed ones always pad with zeros.
    """

    shape: tuple[int, ...]
    channels: int
    kernel_size: int
    stride: int
    start: tuple[int, ...]
    layers: int
    padding_mode: Padding = "zeros"

    @property
    def dims(self) -> int:
        """Axes of size: 1 for audio, 2 for images."""
        return len(self.shape) - 1

    def width(self, layer: int) -> int:
        """Channels of the hidden map after `layer` enlargements."""
        return self.channels * min(8, 2 ** (self.layers - 1 - layer))

    def size(self, layer: int) -> tuple[int, ...]:
        """Size of the map after `layer` enlargements."""
        return tuple(s * self.stride**layer for s in self.start)

    def up(self, in_channels: int, out_channels: int, bias: bool = True) -> nn.Module:
        """Make the transposed convolution that multiplies the size by the stride."""
        over = self.stride - self.kernel_size + 2 * self._padding
        make = CONV_TRANSPOSE[self.dims - 1]
        return make(in_channels, out_channels, self.kernel_size, self.stride, self._padding, over, bias=bias)

    def down(self, in_channels: int, out_channels: int, bias: bool = True) -> nn.Module:
        """Make the convolution that divides the size by the stride."""
        make = CONV[self.dims - 1]
        return make(in_channels, out_channels, self.kernel_size, self.stride, self._padding, bias=bias,
                    padding_mode=self.padding_mode)  # fmt: skip

    def unfold(self, in_channels: int, out_channels: int, bias: bool = True) -> nn.Module:
        """Make the transposed convolution from a single position to the smallest map: a linear map per position."""
        return CONV_TRANSPOSE[self.dims - 1](in_channels, out_channels, self.start, bias=bias)

    @property
    def _padding(self) -> int:
        return (self.kernel_size - self.stride + 1) // 2


def body(
    shape: tuple[int, ...],
    channels: int,
    kernel_size: int | None = None,
    stride: int | None = None,
    start: int = 4,
    padding_mode: Padding = "zeros",
) -> Body:
    """Fit a body to data: 4 × 4 kernels of stride 2 for images, 25 taps of stride 4 for audio, unless said otherwise.

    It begins with `start` positions or a few more: 8 × 8, 32 × 32 and 64 × 64 with 4 × 4, MNIST's 28 × 28 with 7 × 7.

    Raises:
        ValueError: no such start leads to the size, or the kernel is smaller than the stride.
    """
    size = tuple(shape[1:])
    if len(size) not in (1, 2):
        raise ValueError(f"a DCGAN takes images (channels, height, width) or audio (1, samples); got {tuple(shape)}")
    kernel_size, stride = kernel_size or (25, 4)[len(size) - 1], stride or (4, 2)[len(size) - 1]
    if stride < 2 or kernel_size < stride:
        raise ValueError(f"kernel_size {kernel_size} must be at least the stride {stride}, and that at least 2")
    for name, value in (("start", start), ("channels", channels)):
        if value < 1:
            raise ValueError(f"{name} {value} is not at least 1")
    least = start * stride
    layers = max(1, int(math.log(max(1, min(size) / start), stride) + 1e-9))
    unit = stride**layers
    if min(size) < least or any(s % unit for s in size):
        nearest = " × ".join(str(max(least, round(s / unit) * unit)) for s in size)
        raise ValueError(
            f"a DCGAN of stride {stride} and start {start} takes sizes of at least {least}, here multiples of {unit}; "
            f"got {' × '.join(map(str, size))}: resize or crop the data, to {nearest} for instance"
        )
    return Body(tuple(shape), channels, kernel_size, stride, tuple(s // unit for s in size), layers, padding_mode)
