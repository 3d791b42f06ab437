"""Causal convolutions and the gate, shared by the autoregressive models."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def gate(x: Tensor, dim: int = 1) -> Tensor:
    """Gate 2p features along an axis: tanh of the first half times σ of the second (PixelCNN, equation 2)."""
    a, b = x.chunk(2, dim)
    # With gradients on a CPU, tanh would take five times as long as σ. In 16 bits, σ's error is too large.
    slow = x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64) and torch.is_grad_enabled()
    if not slow or torch.jit.is_tracing():
        return torch.tanh(a) * torch.sigmoid(b)
    t = 2 * torch.sigmoid(2 * a) - 1 if torch.compiler.is_compiling() else SigmoidTanh.apply(a)
    return t * torch.sigmoid(b)


class SigmoidTanh(torch.autograd.Function):
    """tanh x = 2 σ(2x) − 1 as one node of the autograd graph; a compiler needs no such help."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return torch.sigmoid(2 * x).mul_(2).sub_(1)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(output)
        ctx.save_for_forward(output)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (y,) = ctx.saved_tensors
        return torch.ops.aten.tanh_backward(grads[0], y)

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor) -> Tensor:
        (y,) = ctx.saved_tensors
        return tangents[0] * (1 - y * y)


class Convolved(torch.autograd.Function):
    """A causal convolution of (batch, time, channels) whose taps are summed in place.

    PyTorch's own operations would copy the input for every tap, and pad each gradient with zeros again on the way back.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor | None, dilation: int) -> Tensor:
        y = F.linear(x, weight[-1], bias)
        for back, tap in _taps(weight, dilation):
            y[:, back:].baddbmm_(x[:, : max(0, x.shape[1] - back)], tap.T.expand(len(x), -1, -1))
        return y

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor | None, int], output: Tensor) -> None:
        x, weight, _, ctx.dilation = inputs
        ctx.save_for_backward(x, weight)
        ctx.save_for_forward(x, weight)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor | None, None]:
        (x, weight), grad = ctx.saved_tensors, grads[0]
        own = grad @ weight[-1]
        taps = [grad.reshape(-1, grad.shape[-1]).T @ x.reshape(-1, x.shape[-1])]
        for back, tap in _taps(weight, ctx.dilation):
            early, late = x[:, : max(0, x.shape[1] - back)], grad[:, back:]
            own[:, : early.shape[1]].baddbmm_(late, tap.expand(len(x), -1, -1))
            taps.append(torch.bmm(late.transpose(1, 2), early).sum(0))
        return own, torch.stack(taps[::-1]), grad.sum((0, 1)) if ctx.needs_input_grad[2] else None, None

    @staticmethod
    def jvp(ctx: Any, x: Tensor | None, weight: Tensor | None, bias: Tensor | None, _: None) -> Any:
        kept, own = ctx.saved_tensors
        parts = [] if bias is None else [bias]
        if x is not None:
            parts.append(tap_by_tap(x, own, None, ctx.dilation))
        if weight is not None:
            parts.append(tap_by_tap(kept, weight, None, ctx.dilation))
        return sum(parts)


def _taps(weight: Tensor, dilation: int) -> list[tuple[int, Tensor]]:
    """List the past taps, nearest first, and how far back each looks."""
    return [((len(weight) - 1 - i) * dilation, weight[i]) for i in range(len(weight) - 2, -1, -1)]


def tap_by_tap(x: Tensor, weight: Tensor, bias: Tensor | None, dilation: int) -> Tensor:
    """Convolve as `Convolved` does, with PyTorch operations that a compiler fuses."""
    y = F.linear(x, weight[-1], bias)
    for back, tap in _taps(weight, dilation):
        y = y + F.linear(F.pad(x, (0, 0, back, 0))[:, : x.shape[1]], tap)
    return y


class CausalConv1d(nn.Module):
    """A dilated convolution over time that sees the present and the past: y_t = Σ_j W_j x_(t − (k − 1 − j) d) + b.

    It works on (batch, time, channels) with one matrix product per tap: on a CPU that is faster than a dilated
    convolution over (batch, channels, time).

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: taps, k.
        dilation: positions between two taps, d.
        bias: bias term, added if true.
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
        """The number of positions that it sees before the present one."""
        return (self.kernel_size - 1) * self.dilation

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, time, in_channels) to (batch, time, out_channels); before the start there are zeros."""
        weight: Tensor = self.weight
        bias: Tensor | None = self.bias
        device = x.device.type
        if torch.compiler.is_compiling() or torch.jit.is_tracing():
            return tap_by_tap(x, weight, bias, self.dilation)
        if torch.is_autocast_enabled(device):  # in-place addition needs operands of one type
            dtype = torch.get_autocast_dtype(device)
            x, weight, bias = x.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)
        y: Tensor = Convolved.apply(x, weight, bias, self.dilation)
        return y

    def step(self, x: Tensor, past: tuple[Tensor, ...]) -> Tensor:
        """Compute one position, (batch, out_channels).

        Args:
            x: present input, (batch, in_channels).
            past: last `reach` inputs, oldest first, each (batch, in_channels).
        """
        *weights, present = self.weight
        y = F.linear(x, present, self.bias)
        for tap, weight in zip(past[:: self.dilation], weights, strict=True):
            y = torch.addmm(y, tap, weight.T)
        return y


class CausalConv2d(nn.Conv2d):
    """A convolution that keeps the size and sees nothing below or, if its kernel ends there, to the right.

    The kernel's last row lies on the output's row. A kernel of one row ends at the output's column.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: rows and columns of the kernel.
        padding: zeros above and on either side.
        dilation: rows and columns between two taps.
        bias: bias term, added if true.
        mask: weights to keep, (out, in, rows, columns) of ones and zeros, or `None` for all.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: tuple[int, int],
        padding: tuple[int, int],
        dilation: int = 1,
        bias: bool = True,
        mask: Tensor | None = None,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, padding=padding, dilation=dilation, bias=bias)
        self.mask: Tensor | None
        self.register_buffer("mask", mask, persistent=False)

    @property
    def kernel(self) -> Tensor:
        """The weights in use, (out, in, rows, columns)."""
        return self.weight if self.mask is None else self.weight * self.mask

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, in_channels, height, width) to (batch, out_channels, height, width)."""
        y = F.conv2d(x, self.kernel, self.bias, padding=self.padding, dilation=self.dilation)
        return y[..., : x.shape[-2], : x.shape[-1]]


def bias_of(layer: nn.Conv2d | CausalConv1d) -> Tensor:
    """Return the bias of a layer that has one."""
    assert layer.bias is not None
    return layer.bias


def vertical_conv(
    in_channels: int, out_channels: int, radius: int, dilation: int = 1, bias: bool = True
) -> CausalConv2d:
    """Make the convolution of the vertical stack: its own row, `radius` taps above, and `radius` taps to each side."""
    size, reach = (radius + 1, 2 * radius + 1), radius * dilation
    return CausalConv2d(in_channels, out_channels, size, (reach, reach), dilation, bias)


def horizontal_conv(
    in_channels: int, out_channels: int, radius: int, dilation: int = 1, bias: bool = True, mask: Tensor | None = None
) -> CausalConv2d:
    """Make the convolution of the horizontal stack: its own pixel, subject to `mask`, and `radius` taps to its left."""
    return CausalConv2d(in_channels, out_channels, (1, radius + 1), (0, radius * dilation), dilation, bias, mask)


def colour_mask(to: Tensor, source: Tensor, mask_type: Literal["A", "B"], radius: int = 0) -> Tensor | None:
    """Mask a kernel's own pixel so that colours come in order: (out, in, 1, radius + 1), or `None` to keep all.

    Args:
        to: colour of each output channel, (out,).
        source: colour of each input channel, (in,).
        mask_type: type of mask: `A` lets a colour see the earlier colours, `B` also itself.
        radius: columns of the kernel to the left, which are all seen.
    """
    seen = to[:, None] > source if mask_type == "A" else to[:, None] >= source
    if seen.all():
        return None
    mask = torch.ones(len(to), len(source), 1, radius + 1)
    mask[:, :, 0, -1] = seen
    return mask


def pointwise(layer: CausalConv2d, x: Tensor) -> Tensor:
    """Apply a 1 × 1 convolution to one pixel, (batch, in)."""
    return F.linear(x, layer.kernel.flatten(1), layer.bias)
