"""Causal convolutions and the gate, shared by the autoregressive models."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def gate(x: Tensor, dim: int = 1) -> Tensor:
    """Gate 2p features along an axis: tanh of the first half times σ of the second (PixelCNN, equation 2)."""
    a, b = x.chunk(2, dim)
    return torch.tanh(a) * torch.sigmoid(b)


class CausalConv1d(nn.Module):
    """A dilated convolution over time that sees the present and the past: y_t = Σ_j W_j x_(t − (k − 1 − j) d) + b.

    It works on (batch, time, channels), as one matrix product with all taps side by side: on a CPU that is twice as
    fast as a dilated convolution over (batch, channels, time).

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: taps, k.
        dilation: positions between two taps, d.
        bias: whether to add a bias.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int = 2, dilation: int = 1, bias: bool = True
    ) -> None:
        super().__init__()
        self.kernel_size, self.dilation = kernel_size, dilation
        self.weight = nn.Parameter(torch.empty(kernel_size, out_channels, in_channels))
        self.bias = nn.Parameter(torch.empty(out_channels)) if bias else None
        bound = (kernel_size * in_channels) ** -0.5
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    @property
    def reach(self) -> int:
        """How many positions it sees before the present one."""
        return (self.kernel_size - 1) * self.dilation

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, time, in_channels) to (batch, time, out_channels); before the start there are zeros."""
        held = F.pad(x, (0, 0, self.reach, 0))
        taps = [held[:, i * self.dilation : i * self.dilation + x.shape[1]] for i in range(self.kernel_size)]
        return F.linear(torch.cat(taps, dim=-1), self.weight.transpose(0, 1).flatten(1), self.bias)

    def step(self, x: Tensor, past: tuple[Tensor, ...]) -> Tensor:
        """Compute one position, (batch, out_channels).

        Args:
            x: the present input, (batch, in_channels).
            past: the last `reach` inputs, oldest first, each (batch, in_channels).
        """
        *weights, present = self.weight
        y = F.linear(x, present, self.bias)
        for tap, weight in zip(past[:: self.dilation], weights, strict=True):
            y = torch.addmm(y, tap, weight.T)
        return y


class CausalConv2d(nn.Conv2d):
    """A convolution that keeps the size and sees nothing below or, where its kernel ends there, to the right.

    The kernel's last row lies on the output's row. A kernel of one row ends at the output's column.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: rows and columns of the kernel.
        padding: zeros above and on either side.
        bias: whether to add a bias.
        mask: weights to keep, (out, in, rows, columns) of ones and zeros, or `None` for all.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: tuple[int, int],
        padding: tuple[int, int],
        bias: bool = True,
        mask: Tensor | None = None,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, padding=padding, bias=bias)
        self.mask: Tensor | None
        self.register_buffer("mask", mask, persistent=False)

    @property
    def kernel(self) -> Tensor:
        """The weights in use, (out, in, rows, columns)."""
        return self.weight if self.mask is None else self.weight * self.mask

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, in_channels, height, width) to (batch, out_channels, height, width)."""
        y = F.conv2d(x, self.kernel, self.bias, padding=self.padding)
        return y[..., : x.shape[-2], : x.shape[-1]]


def vertical_conv(in_channels: int, out_channels: int, radius: int, bias: bool = True) -> CausalConv2d:
    """Make the convolution of the vertical stack: its own row and `radius` rows above, `radius` columns either side."""
    return CausalConv2d(in_channels, out_channels, (radius + 1, 2 * radius + 1), (radius, radius), bias)


def horizontal_conv(
    in_channels: int, out_channels: int, radius: int, bias: bool = True, mask: Tensor | None = None
) -> CausalConv2d:
    """Make the convolution of the horizontal stack: its own pixel, subject to `mask`, and `radius` to its left."""
    return CausalConv2d(in_channels, out_channels, (1, radius + 1), (0, radius), bias, mask)


def colour_mask(to: Tensor, source: Tensor, kind: Literal["A", "B"], radius: int = 0) -> Tensor | None:
    """Mask a kernel's own pixel so that colours come in order: (out, in, 1, radius + 1), or `None` to keep all.

    Args:
        to: the colour of each output channel, (out,).
        source: the colour of each input channel, (in,).
        kind: a colour sees the earlier colours (A), or also itself (B).
        radius: columns of the kernel to the left, which are all seen.
    """
    seen = to[:, None] > source if kind == "A" else to[:, None] >= source
    if seen.all():
        return None
    mask = torch.ones(len(to), len(source), 1, radius + 1)
    mask[:, :, 0, -1] = seen
    return mask


def pointwise(layer: CausalConv2d, x: Tensor) -> Tensor:
    """Apply a 1 × 1 convolution to one pixel, (batch, in)."""
    return F.linear(x, layer.kernel.flatten(1), layer.bias)
