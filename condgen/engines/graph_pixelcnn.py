"""The graph engine for PixelCNN: a step of one pixel or colour, and one for the end of a row.

What a pixel sees to its left is known before its step begins. So, as in WaveNet, the left columns of all blocks are one
product (the first block, whose kernel is larger, has its own), and only the pixel itself goes block by block.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from condgen.conditioning import Film
from condgen.engines import raster
from condgen.engines.draw import Draw, Temper
from condgen.engines.folding import Folded, Places, apply, apply_before, fold
from condgen.engines.graph import Replayed, how
from condgen.engines.tape import Tape, chooser, wait
from condgen.engines.unaltered import altered
from condgen.models import PixelCNN
from condgen.models.convolutions import CausalConv2d, bias_of, gate
from condgen.models.pixelcnn import GatedBlock, PixelCNNState


@dataclass(frozen=True)
class GraphPixelCNN:
    """The engine; see `condgen.engines.choice.Engine`."""

    network: PixelCNN

    @property
    def how(self) -> str:
        """Say how it runs."""
        return how(self.network)

    @classmethod
    def obstacle(cls, network: PixelCNN, temper: Temper) -> str | None:
        """Say why it cannot run a network, if it cannot."""
        return altered(network)

    @classmethod
    def prepare(cls, network: PixelCNN) -> GraphPixelCNN:
        """Take the network as it is: a batch of images lays its weights out, and a call has few of these."""
        return cls(network)

    def fill(self, film: Film, canvas: Tensor, steps: range, draw: Draw) -> Tensor:
        """Draw a canvas; see `condgen.engines.choice`."""
        return raster.fill(self, self.network, film, canvas, steps, draw)

    def resume(self, film: Film, state: PixelCNNState, values: Tensor | None) -> GraphPixelCNNRun:
        """Go on from a state; see `condgen.engines.choice`."""
        return GraphPixelCNNRun(self.network, self.network.checked(film), state)


@dataclass(frozen=True)
class GraphPixelCNNRun:
    """A run, from the first pixel on; see `condgen.engines.choice.Run`."""

    network: PixelCNN
    film: Film
    at: PixelCNNState

    def advance(self, steps: range, draw: Draw) -> tuple[Tensor, GraphPixelCNNRun]:
        """Draw whole rows of images.

        Raises:
            ValueError: the steps do not begin with the first pixel or do not end with a row.
        """
        network, width, weight = self.network, self.network.shape[2] * draw.groups, self.network.head[0].weight
        if self.at.step or steps.start or len(steps) % width:
            raise ValueError("the graph engine draws whole rows of images, from the first one on")
        tape = Tape.blank(network.output, len(draw.noise), steps.start, width, weight.dtype, weight.device)
        row, stacks = RowFilm(network, self.film), Stacks.of(network, self.at)
        pixel = Replayed(stepper(network, stacks, row, tape, chooser(draw, tape, steps.stop)), weight.device)
        end = Replayed(row_ender(network, stacks, row), weight.device, unrolled=1)
        values = []
        for first in range(0, steps.stop, width):
            tape.begin(turn := range(first, first + width))
            row.show(first // width)
            pixel(width)
            end(1)
            values.append(tape.keep(turn, draw))
            wait(weight.device)
        after = GraphPixelCNNRun(network, self.film, stacks.state(self.at, steps.stop))
        return torch.cat(values, dim=-1), after

    def state(self) -> PixelCNNState:
        """Return the network's state."""
        return self.at


class RowFilm:
    """The FiLM parameters of one row of the image.

    Args:
        network: network that the parameters belong to.
        film: (γ, β) per FiLM layer for the whole image.
    """

    def __init__(self, network: PixelCNN, film: Film) -> None:
        self.block, (_, _, width), blocks = network.blocks[0], network.shape, range(len(network.blocks))
        self.down, self.across = ([network.film_of(film, 2 * i + stack) for i in blocks] for stack in (0, 1))
        shapes = [part.shape[2:] for pair in [*self.across, *self.down] for part in pair.parts.values()]
        self.spatial = any(len(size) > 1 and size[0] > 1 for size in shapes)
        self.horizontal = Places(self.folded(0), width if any(size and size[-1] > 1 for size in shapes) else 1)
        self.vertical = [pair.row(0).map(torch.clone) for pair in self.down]

    def folded(self, row: int) -> Folded:
        """Fold what the horizontal stack hears in a row; its convolutions have no bias."""
        none = bias_of(self.block.link).new_zeros(self.block.link.out_channels)
        pairs = [pair.row(row) for pair in self.across]
        return fold(pairs, [none] * len(pairs), self.block.horizontal_film.norm != "none")

    def show(self, row: int) -> None:
        """Move on to a row."""
        if not self.spatial:
            return
        self.horizontal.load(self.folded(row))
        for buffers, pair in zip(self.vertical, self.down, strict=True):
            for name, part in pair.row(row).parts.items():
                buffers.parts[name].copy_(part)


@dataclass(frozen=True)
class Group:
    """Blocks of one size: what their horizontal stack has seen of the row, and the weights for it.

    Attributes:
        inputs: inputs of the blocks, (blocks, outside + columns, batch, in); the first columns lie outside the image
            and stay 0.
        outside: number of these columns: the furthest reach of a block.
        left: weights of the taps to the left, (blocks, radius · in, 2p).
        near: indices of what these taps see at column 0, counted through all blocks, (blocks · radius,).
    """

    inputs: Tensor
    outside: int
    left: Tensor
    near: Tensor

    @classmethod
    def of(cls, blocks: list[GatedBlock], batch: int, width: int) -> Group:
        """Take the weights of blocks; nothing has been seen."""
        radius, kernels = blocks[0].radius, torch.stack([block.horizontal.kernel for block in blocks])
        outside = max(block.reach for block in blocks)
        inputs = kernels.new_zeros(len(blocks), outside + width, batch, kernels.shape[2])
        left = kernels[:, :, :, 0, :radius].permute(0, 3, 2, 1).flatten(1, 2)
        near = [i * (outside + width) + outside - tap * block.dilation
                for i, block in enumerate(blocks) for tap in range(radius, 0, -1)]  # fmt: skip
        return cls(inputs, outside, left, torch.tensor(near, device=left.device))

    def seen(self, column: Tensor) -> Tensor:
        """Apply the weights to what lies left of a column, (1,): (blocks, batch, 2p)."""
        taps = self.inputs.flatten(0, 1).index_select(0, column + self.near).unflatten(0, (len(self.left), -1))
        return torch.bmm(taps.transpose(1, 2).flatten(2), self.left)

    def write(self, column: Tensor, heard: Tensor) -> None:
        """Keep what every block heard at a column, (blocks, batch, in)."""
        self.inputs.index_copy_(1, column + self.outside, heard[:, None])


@dataclass(frozen=True)
class Stacks:
    """The state of both stacks.

    Attributes:
        groups: groups of blocks: the first block, and all others, whose kernels have another size.
        above: last rows of the vertical stack's input, per block, (batch, in, reach, width).
        linked: features that the rows above add to the current row, (blocks, width, batch, 2p).
    """

    groups: list[Group]
    above: list[Tensor]
    linked: Tensor

    @classmethod
    def of(cls, network: PixelCNN, state: PixelCNNState) -> Stacks:
        """Lay out a state at the beginning of a row."""
        first, *others = network.blocks
        groups = [Group.of(list(b), len(state.above[0]), network.shape[2]) for b in ([first], others) if b]
        return cls(groups, [rows.clone() for rows in state.above], torch.stack(state.linked))

    def state(self, before: PixelCNNState, step: int) -> PixelCNNState:
        """Return the state after a row."""
        return PixelCNNState(step, (), tuple(self.above), self.linked.unbind(), before.left)


def matrix(layer: CausalConv2d) -> tuple[Tensor, Tensor]:
    """Return a 1 × 1 convolution's weight, (in, out), and bias."""
    assert layer.bias is not None
    return layer.kernel.flatten(1).T.contiguous(), layer.bias


def stepper(
    network: PixelCNN, stacks: Stacks, row: RowFilm, tape: Tape, choose: Callable[[Tensor], Tensor]
) -> Callable[[], None]:
    """Return a function that draws the next pixel, or the next colour of it."""
    (channels, _, width), groups, blocks = network.shape, network.output.groups, list(network.blocks)
    present = [block.horizontal.kernel[:, :, 0, -1].T.contiguous() for block in blocks]
    outputs, head = [matrix(block.output) for block in blocks], [matrix(layer) for layer in network.head]
    colours = torch.arange(channels, device=tape.step.device) * groups // channels
    film, first = blocks[0].horizontal_film, stacks.groups[0]
    normalise = film.normalise if film.norm != "none" else None

    def step() -> None:
        column, colour = tape.step // groups % width, tape.step % groups
        folded, heard = row.horizontal.at(column), list[Tensor]()
        seen = stacks.linked.index_select(1, column)[:, 0] + torch.cat([g.seen(column) for g in stacks.groups])
        before = apply_before(seen, folded, normalise is not None)
        h = pixel = first.inputs[0].index_select(0, column + first.outside)[0]
        for i, (weight, bias) in enumerate(outputs):
            heard.append(h)
            y = torch.addmm(bias, gate(apply(before, h, present[i], folded, i, normalise), -1), weight)
            h = h + y if blocks[i].residual else y
        for group in stacks.groups[1:]:
            group.write(column, torch.stack(heard[1:]))
        for weight, bias in head:
            h = torch.addmm(bias, torch.relu(h), weight)
        values = choose(h.unflatten(1, (groups, -1)).index_select(1, colour)[:, 0])
        first.write(column, torch.where(colours == colour, network.scale(values).repeat(1, groups), pixel)[None])
        tape.step.add_(1)

    return step


def row_ender(network: PixelCNN, stacks: Stacks, row: RowFilm) -> Callable[[], None]:
    """Return a function that runs the vertical stack on the row that was drawn, and makes room for the next one."""
    first = stacks.groups[0]

    def step() -> None:
        v = first.inputs[0, first.outside :].permute(1, 2, 0)[:, :, None]
        for i, block in enumerate(network.blocks):
            v, link, rows = block.step_row(v, stacks.above[i], row.vertical[i])
            stacks.above[i].copy_(rows)
            stacks.linked[i].copy_(link)
        first.inputs.zero_()

    return step
