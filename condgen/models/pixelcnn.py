"""Gated PixelCNN with global and location-dependent conditions.

Source: van den Oord et al., "Conditional Image Generation with PixelCNN Decoders", 2016 (equations by their numbers
there). A pixel depends on all rows above it through the vertical stack and on the pixels to its left through the
horizontal stack. The vertical stack includes its current row at every depth and is shifted down by one row once, on
the way to the horizontal stack; leaving the row out in every layer instead leaves a blind spot. Blocks may be dilated,
which the paper's are not: the same number of layers then sees a larger part of the picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from condgen.conditioning.film import (
    FIXED,
    FiLM,
    Film,
    GammaBeta,
    Norm,
    check_parameters,
    film_layers,
    require_causal,
)
from condgen.described import described
from condgen.distributions import Output, output_family
from condgen.models.convolutions import (
    CausalConv2d,
    bias_of,
    colour_mask,
    gate,
    horizontal_conv,
    pointwise,
    vertical_conv,
)


class GatedBlock(nn.Module):
    """One layer of both stacks: convolution, FiLM on its 2p features, gate (equations 4 and 5).

    The link from the vertical to the horizontal stack reads the vertical convolution before FiLM, so conditions act
    only at the two gates. `concat` accordingly widens the two convolutions only as the gates see them.

    Args:
        source: colour of each input channel, (in,).
        colours: colour of each of the p output channels, (p,).
        mask_type: type of mask: `A`, which hides the pixel itself, for the first block, which has no residual; `B` for
            the others.
        radius: taps of the kernels to each side of their own, and above it.
        dilation: rows and columns between two taps.
        size: height and width of the images.
        norm: normalisation before FiLM.
        dropout: share of gated features set to zero in training.
    """

    def __init__(
        self,
        source: Tensor,
        colours: Tensor,
        mask_type: Literal["A", "B"],
        radius: int,
        dilation: int,
        size: tuple[int, int],
        norm: Norm,
        dropout: float,
    ) -> None:
        super().__init__()
        inputs, channels = len(source), len(colours)
        mask = colour_mask(colours.repeat(2), source, mask_type, radius)
        # Normalised together, colours would see each other; so each half of each colour is normalised separately.
        groups = int(colours.max()) + 1
        film = partial(FiLM, 2 * channels, norm, size=size, groups=2 * groups if groups > 1 else 1)
        down = partial(vertical_conv, out_channels=2 * channels, radius=radius, dilation=dilation)
        across = partial(horizontal_conv, out_channels=2 * channels, radius=radius, dilation=dilation)
        self.residual, self.radius, self.dilation = mask_type == "B", radius, dilation
        self.vertical = down(inputs)
        self.vertical_film = film(like=partial(down, bias=False))
        self.horizontal = across(inputs, bias=False, mask=mask)
        self.link = nn.Conv2d(2 * channels, 2 * channels, 1)
        self.horizontal_film = film(like=partial(across, bias=False))
        self.output = horizontal_conv(channels, channels, 0, mask=colour_mask(colours, colours, "B"))
        self.dropout = nn.Dropout(dropout)

    @property
    def reach(self) -> int:
        """The number of rows that it sees above its own, and of columns to either side."""
        return self.radius * self.dilation

    def forward(self, v: Tensor, h: Tensor, film_v: GammaBeta, film_h: GammaBeta) -> tuple[Tensor, Tensor]:
        """Map the two stacks' (batch, in, height, width) to their (batch, p, height, width)."""
        a = self.vertical(v)
        shifted = F.pad(a, (0, 0, 1, -1))
        b = self.horizontal(h) + self.link(shifted)
        v = self.dropout(gate(self.vertical_film(a, film_v)))
        y = self.output(self.dropout(gate(self.horizontal_film(b, film_h))))
        return v, h + y if self.residual else y

    def step_row(self, v: Tensor, above: Tensor, film_v: GammaBeta) -> tuple[Tensor, Tensor, Tensor]:
        """Run the vertical stack on one row.

        Args:
            v: row, (batch, in, 1, width).
            above: rows before it, (batch, in, reach, width).
            film_v: (γ, β) at this row.

        Returns:
            The row after this block; what it adds to each pixel of the *next* row of the horizontal stack,
            (width, batch, 2p); and the rows to keep.
        """
        rows = torch.cat([above, v], dim=2)
        a = F.conv2d(rows, self.vertical.weight, self.vertical.bias, padding=(0, self.reach), dilation=self.dilation)
        v = gate(self.vertical_film(a, film_v))
        return v, self.link(a)[:, :, 0].permute(2, 0, 1).contiguous(), rows[:, :, 1:]

    def step_pixel(self, h: Tensor, left: tuple[Tensor, ...], linked: Tensor, film_h: GammaBeta) -> Tensor:
        """Run the horizontal stack on one pixel.

        Args:
            h: pixel, (batch, in).
            left: last `reach` pixels before it, oldest first, each (batch, in).
            linked: features that the vertical stack adds, (batch, 2p).
            film_h: (γ, β) at this pixel.

        Returns:
            The pixel after this block, (batch, p).
        """
        window = torch.stack([*left[:: self.dilation], h], dim=2)
        b = torch.addmm(linked, window.flatten(1), self.horizontal.kernel.flatten(1).T)
        y = pointwise(self.output, gate(self.horizontal_film(b, film_h)))
        return h + y if self.residual else y


@dataclass(frozen=True)
class PixelCNNState:
    """What `PixelCNN.step` carries from one step to the next. A value: a step returns a new one.

    Attributes:
        step: number of steps taken, counting rows, columns and colours in raster order.
        row: scaled pixels of the current row drawn so far, each (batch, channels); colours not yet drawn are 0.
        above: last rows of the vertical stack's input, per block, (batch, in, reach, width).
        linked: features that the rows above add to the current row of the horizontal stack, per block,
            (width, batch, 2p).
        left: last `reach` pixels of the horizontal stack's input before the pixel being drawn, per block, oldest first,
            each (batch, in).
    """

    step: int
    row: tuple[Tensor, ...]
    above: tuple[Tensor, ...]
    linked: tuple[Tensor, ...]
    left: tuple[tuple[Tensor, ...], ...]


@described
class PixelCNN(nn.Module):
    """Gated PixelCNN: images of whole levels to the parameters of their output distribution.

    Args:
        shape: channels, height and width of the images.
        levels: whole levels of each pixel and channel, such as 256 for 8 bits.
        output: `bernoulli`, `categorical` (both draw R, then G, then B), or `logistic_mixture` (PixelCNN++).
        mixtures: components of the logistic mixture.
        channels: features of each stack (p); a multiple of the image's channels if colours are drawn in order.
        layers: number of gated layers, the first one included. Ignored if `dilations` is given.
        dilations: dilation of each layer, in place of `layers`, whose dilations are 1. The first one hides the nearer
            pixels to the left if it is not 1.
        kernel_size: kernel size of all layers but the first; odd.
        first_kernel_size: kernel size of the first layer; odd.
        head: features of the two-layer head.
        dropout: share of gated features set to zero in training.
        norm: `none` or `channel`; the norms that take statistics over positions would break causality.
    """

    agrees_with_data = ("shape", "levels")
    dim = "dim"
    blank = 0
    sample_rate = None

    def __init__(
        self,
        shape: tuple[int, int, int],
        levels: int = 256,
        output: Output = "categorical",
        mixtures: int = 10,
        channels: int = 64,
        layers: int = 7,
        dilations: list[int] | None = None,
        kernel_size: int = 3,
        first_kernel_size: int = 7,
        head: int = 64,
        dropout: float = 0.0,
        norm: Norm = "none",
    ) -> None:
        super().__init__()
        require_causal(norm)
        colours, height, width = shape
        self.shape: tuple[int, int, int] = (colours, height, width)
        self.levels = levels
        self.output = output_family(output, colours, levels, mixtures)
        groups = self.output.groups
        if dilations is None and layers < 1:
            raise ValueError(f"layers {layers} is not at least 1")
        dilations = [1] * layers if dilations is None else list(dilations)
        if min(dilations, default=0) < 1:
            raise ValueError(f"dilations {dilations} are not one or more numbers of at least 1")
        for name, size in (("kernel_size", kernel_size), ("first_kernel_size", first_kernel_size)):
            if size % 2 == 0 or size < 3:
                raise ValueError(f"{name} {size} is not an odd number of at least 3")
        for name, count in (("channels", channels), ("head", head)):
            if count % groups:
                below, above = count - count % groups, count - count % groups + groups
                near = f"{below} or {above}" if below else str(above)
                raise ValueError(f"{name} {count} does not divide into {groups} colours: use {near}")
        image, features = _colours(colours, groups), _colours(channels, groups)
        block = partial(GatedBlock, size=(height, width), norm=norm, dropout=dropout)
        first = block(image, features, "A", first_kernel_size // 2, dilations[0])
        others = [block(features, features, "B", kernel_size // 2, dilation) for dilation in dilations[1:]]
        self.blocks = cast(Sequence[GatedBlock], nn.ModuleList([first, *others]))
        to_head, to_output = _colours(head, groups), _colours(self.output.parameters, groups)
        hidden = horizontal_conv(channels, head, 0, mask=colour_mask(to_head, features, "B"))
        last = horizontal_conv(head, self.output.parameters, 0, mask=colour_mask(to_output, to_head, "B"))
        self.head = cast(Sequence[CausalConv2d], nn.ModuleList([hidden, last]))

    @property
    def film_layers(self) -> dict[str, FiLM]:
        """The FiLM layers by name: two in each gated layer."""
        return film_layers(self)

    def film_of(self, film: Film | None, layer: int) -> GammaBeta:
        """Return (γ, β) of a FiLM layer: each block has a vertical layer, then a horizontal one."""
        name = f"blocks.{layer // 2}.{'horizontal' if layer % 2 else 'vertical'}_film"
        return FIXED if film is None else film.get(name, FIXED)

    @property
    def receptive_field(self) -> int:
        """R: an output sees up to R + 1 rows above it, R columns to either side there, and R pixels to its left.

        It sees all of these where the first dilation is 1 and no other is longer than the layers before it reach.
        """
        return sum(block.reach for block in self.blocks)

    def scale(self, levels: Tensor) -> Tensor:
        """Map levels 0 … L − 1 to [−1, 1]."""
        return levels.to(self.head[0].weight.dtype) * (2 / (self.levels - 1)) - 1

    def forward(self, x: Tensor, film: Film | None = None) -> Tensor:
        """Compute the parameters of every pixel from the pixels before it.

        Args:
            x: levels, (batch, channels, height, width).
            film: (γ, β) per FiLM layer, or `None` for an unconditional pass.

        Returns:
            Parameters for `output`, (batch, parameters, height, width).
        """
        if x.ndim != 4 or tuple(x.shape[1:]) != self.shape:
            raise ValueError(f"this PixelCNN takes images of {self.shape} (channels, height, width), not of "
                             f"{tuple(x.shape[1:])}")  # fmt: skip
        film = self.checked(film)
        v = h = self.scale(x)
        for i, block in enumerate(self.blocks):
            v, h = block(v, h, self.film_of(film, 2 * i), self.film_of(film, 2 * i + 1))
        for layer in self.head:
            h = layer(torch.relu(h))
        return h

    def checked(self, film: Film | None) -> Film:
        """Refuse FiLM parameters that belong to another network or another size."""
        check_parameters(self.film_layers, film or {}, axes=4)
        for name, pair in (film or {}).items():
            for part in pair.parts.values():
                size = part.shape[2:]
                wanted = self.shape[len(self.shape) - len(size) :]
                if any(own not in (1, w) for own, w in zip(size, wanted, strict=True)):
                    raise ValueError(
                        f"FiLM parameters of size {tuple(size)} do not fit images of {self.shape[1:]} ({name})"
                    )
        return film or {}

    def num_steps(self, canvas: tuple[int, ...]) -> int:
        """Count the steps that draw a canvas: a step per pixel, or per colour if colours are drawn in order."""
        return canvas[1] * canvas[2] * self.output.groups

    def canvas(self, length: int | None = None, film: Film | None = None) -> tuple[int, int, int]:
        """Return channels, height and width of the image to be drawn; images have no length."""
        if length is not None:
            raise ValueError(f"a length is for audio; this model draws images of {self.shape}")
        return self.shape

    def locate(self, step: int) -> tuple[tuple[int, int], slice, slice]:
        """Return the row and column, the image channels and the parameters that a step draws."""
        groups = self.output.groups
        pixel, colour = divmod(step, groups)
        channels, parameters = self.shape[0] // groups, self.output.parameters // groups
        row, column = divmod(pixel, self.shape[2])
        return (
            (row, column),
            slice(colour * channels, (colour + 1) * channels),
            slice(colour * parameters, (colour + 1) * parameters),
        )

    def start(self, batch: int) -> PixelCNNState:
        """Return the state before the first step."""
        weight = self.head[0].weight
        zeros = partial(torch.zeros, dtype=weight.dtype, device=weight.device)
        width = self.shape[2]
        sizes = [(block.horizontal.in_channels, block.reach) for block in self.blocks]
        return PixelCNNState(
            step=0,
            row=(),
            above=tuple(zeros(batch, channels, reach, width) for channels, reach in sizes),
            linked=tuple(bias_of(block.link).expand(width, batch, -1) for block in self.blocks),
            left=tuple((zeros(batch, channels),) * reach for channels, reach in sizes),
        )

    def step(self, values: Tensor | None, film: Film | None, state: PixelCNNState) -> tuple[Tensor, PixelCNNState]:
        """Compute the parameters of the next step: one pixel, or one colour of it.

        The horizontal stack runs once a step, the vertical stack once a row.

        Args:
            values: levels drawn at the previous step, (batch, channels per step); `None` at the first.
            film: (γ, β) per FiLM layer for the whole image, or `None`.
            state: state that the previous step returned, or `start(batch)`.

        Returns:
            The parameters of this step, (batch, parameters per step), equal to those of `forward` at its place; and
            the next state.
        """
        film = self.checked(film) if state.step == 0 else film or {}
        if values is not None:
            state = self._take(values, film, state)
        (row, column), channels, parameters = self.locate(state.step)
        if channels.start == 0:
            state = replace(state, row=(*state.row, torch.zeros_like(state.left[0][-1])))
        h, heard = state.row[-1], []
        for i, block in enumerate(self.blocks):
            heard.append(h)
            pair = self.film_of(film, 2 * i + 1).at(row, column)
            h = block.step_pixel(h, state.left[i], state.linked[i][column], pair)
        for layer in self.head:
            h = pointwise(layer, torch.relu(h))
        if channels.stop == self.shape[0]:  # what the blocks hear of a pixel does not depend on its last colour
            state = replace(state, left=(state.left[0], *map(_pushed, state.left[1:], heard[1:])))
        return h[:, parameters], replace(state, step=state.step + 1)

    def _take(self, values: Tensor, film: Film, state: PixelCNNState) -> PixelCNNState:
        """Add the values of the last step; at the end of a row, run the vertical stack on it."""
        (row, column), channels, _ = self.locate(state.step - 1)
        pixel = state.row[-1].clone()
        pixel[:, channels] = self.scale(values)
        state = replace(state, row=(*state.row[:-1], pixel))
        if channels.stop < self.shape[0]:
            return state
        if column < self.shape[2] - 1:
            return replace(state, left=(_pushed(state.left[0], pixel), *state.left[1:]))
        v = torch.stack(state.row, dim=2)[:, :, None]
        above, linked = [], []
        for i, block in enumerate(self.blocks):
            v, link, rows = block.step_row(v, state.above[i], self.film_of(film, 2 * i).row(row))
            above.append(rows)
            linked.append(link)
        left = tuple((torch.zeros_like(pixels[0]),) * len(pixels) for pixels in state.left)
        return replace(state, row=(), above=tuple(above), linked=tuple(linked), left=left)


def _colours(channels: int, groups: int) -> Tensor:
    """Divide channels among colours in equal runs; return the colour of each channel."""
    return torch.arange(channels) * groups // channels


def _pushed(pixels: tuple[Tensor, ...], pixel: Tensor) -> tuple[Tensor, ...]:
    """Drop the oldest of some pixels and add a new one."""
    return (*pixels[1:], pixel)
