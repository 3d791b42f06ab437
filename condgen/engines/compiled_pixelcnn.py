"""The compiled engine for PixelCNN: the horizontal stack pixel by pixel, then the vertical stack on the row."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import ClassVar, cast

import numpy as np
import torch
from torch import Tensor

from condgen.conditioning import Film as FilmLayers
from condgen.conditioning.film import ChannelNorm
from condgen.engines import compiled, raster
from condgen.engines.draw import Draw, Temper
from condgen.engines.kernels import Array, Film, PixelCNNWeights, pixels
from condgen.engines.unaltered import altered
from condgen.models import PixelCNN
from condgen.models.convolutions import bias_of
from condgen.models.pixelcnn import PixelCNNState


@dataclass(frozen=True)
class CompiledPixelCNN:
    """The engine; see `condgen.engines.choice.Engine`.

    Attributes:
        network: network that it read.
        weights: packed weights, all but the biases of the vertical stack.
        bias: biases of the vertical stack, (blocks, padded 2p), flat.
    """

    network: PixelCNN
    weights: Array
    bias: Array
    precision: ClassVar[compiled.Precision] = "float32"

    @property
    def how(self) -> str:
        """Say how it runs."""
        return compiled.how()

    @classmethod
    def obstacle(cls, network: PixelCNN, temper: Temper) -> str | None:
        """Say why it cannot run a network, if it cannot."""
        return compiled.obstacle(network) or altered(network)

    @classmethod
    def prepare(cls, network: PixelCNN) -> CompiledPixelCNN:
        """Pack a network's weights."""
        bias = compiled.pad(torch.stack([bias_of(block.vertical) for block in network.blocks])).flatten().numpy()
        return cls(network, compiled.pack(matrices(network), cls.precision), bias)

    def fill(self, film: FilmLayers, canvas: Tensor, steps: range, draw: Draw) -> Tensor:
        """Draw a canvas; see `condgen.engines.choice`."""
        return raster.fill(self, self.network, film, canvas, steps, draw)

    def resume(self, film: FilmLayers, state: PixelCNNState, values: Tensor | None) -> PixelCNNRun:
        """Go on from a state; see `condgen.engines.choice`."""
        return PixelCNNRun(self, self.network.checked(film), state)


class RoundedPixelCNN(CompiledPixelCNN):
    """The engine with weights rounded to bfloat16."""

    precision = "bfloat16"


@dataclass(frozen=True)
class PixelCNNRun:
    """A run, from the first pixel on; see `condgen.engines.choice.Run`."""

    engine: CompiledPixelCNN
    film: FilmLayers
    at: PixelCNNState

    def advance(self, steps: range, draw: Draw) -> tuple[Tensor, PixelCNNRun]:
        """Draw whole rows of images.

        Raises:
            ValueError: the steps do not begin with the first pixel or do not end with a row.
        """
        network, weights, values = self.engine.network, self.engine.weights, []
        width = network.shape[2] * draw.groups
        if self.at.step or steps.start or len(steps) % width:
            raise ValueError("the compiled engine draws whole rows of images, from the first one on")
        parts = compiled.blocks(len(draw.noise), len(draw.noise) * len(weights) * width, draw.each)
        blocks = [Block(self.engine, draw, part) for part in parts]
        with compiled.announced(), compiled.threads(len(blocks)) as run:
            for row in range(len(steps) // width):
                answers = run([block.row(row, self.film) for block in blocks])
                levels, parameters = (torch.cat(part) for part in zip(*answers, strict=True))
                turn = range(row * width, (row + 1) * width)
                # From (batch, channels, columns) to (batch, channels per step, steps).
                by_step = levels.unflatten(1, (draw.groups, -1)).permute(0, 2, 3, 1).flatten(2)
                values.append(draw.keep(turn, parameters.transpose(1, 2), by_step))
        above, linked = zip(*(block.kept() for block in blocks), strict=True)
        state = PixelCNNState(
            steps.stop, (), tuple(map(torch.cat, zip(*above, strict=True))),
            tuple(torch.cat(x, 1) for x in zip(*linked, strict=True)), self.at.left,
        )  # fmt: skip
        return torch.cat(values, dim=-1), PixelCNNRun(self.engine, self.film, state)

    def state(self) -> PixelCNNState:
        """Return the network's state."""
        return self.at


def matrices(network: PixelCNN) -> list[Tensor]:
    """List every matrix, (in, out), in the order of its use."""
    listed, below = [], []
    for block in network.blocks:
        listed += [column.T for column in block.horizontal.kernel[:, :, 0].unbind(-1)]
        listed.append(compiled.with_bias(block.output.kernel[:, :, 0, 0], block.output.bias))
        below += [row.permute(2, 1, 0).flatten(0, 1) for row in block.vertical.kernel.unbind(2)]
        below.append(block.link.weight[:, :, 0, 0].T)
    first, last = (compiled.with_bias(layer.kernel[:, :, 0, 0], layer.bias) for layer in network.head)
    return [*listed, first, *last.chunk(network.output.groups, dim=1), *below]


class Block:
    """A block of rows of the batch: what its two stacks have seen, and what it has to draw."""

    def __init__(self, engine: CompiledPixelCNN, draw: Draw, part: slice) -> None:
        network = engine.network
        self.network, self.part, self.groups = network, part, draw.groups
        self.rows, self.width = part.stop - part.start, network.shape[2]
        self.net = packed(engine, self.rows)
        wide = compiled.whole(2 * network.blocks[0].output.in_channels)
        # Before the first row, the image is blank; the bias of the link is folded with those of the horizontal stack.
        self.linked = np.zeros(len(network.blocks) * self.width * self.rows * wide, np.float32)
        self.inputs, self.above = (np.zeros(sum(sizes), np.float32) for sizes in buffers(network, self.rows))
        self.drawing = compiled.drawing(network.output, draw)
        self.noise = compiled.standardised(draw.noise[part], network.output)
        self.known, self.given = compiled.known(draw, part, range(network.shape[1] * network.shape[2]))
        self.films: tuple[Film, Film] | None = None

    def folded(self, film: FilmLayers, row: int) -> tuple[Film, Film]:
        """Fold the FiLM parameters of a row of the image, of both stacks, once if every row has the same."""
        if self.films is None or any(len(p) > 3 and p[2] > 1 for p in shapes(film)):
            blocks = self.network.blocks
            links = [bias_of(block.link) for block in blocks]
            norm = blocks[0].horizontal_film.norm != "none"
            down, across = ([self.network.film_of(film, 2 * i + stack).row(row).rows(self.part)
                             for i in range(len(blocks))] for stack in (0, 1))  # fmt: skip
            self.films = (
                compiled.flat(compiled.pack_film(across, links, self.rows, norm)),
                compiled.flat(compiled.pack_film(down, [torch.zeros_like(b) for b in links], self.rows, norm)),
            )
        return self.films

    def row(self, row: int, film: FilmLayers) -> compiled.Call:
        """Return a call that draws a row: levels, (rows, channels, columns), and parameters, (rows, steps,
        parameters)."""
        folded, channels = self.folded(film, row), self.network.shape[0]
        steps = slice(row * self.width * self.groups, (row + 1) * self.width * self.groups)
        here = slice(row * self.width, (row + 1) * self.width)
        # Always laid out alike: numba compiles anew for another layout.
        noise, given = np.ascontiguousarray(self.noise[:, steps]), np.ascontiguousarray(self.given[:, :, here])
        levels = np.zeros((self.rows, channels, self.width), np.int64)
        parameters = np.zeros((self.rows, self.width * self.groups, self.net.sizes[2]), np.float32)

        def call() -> tuple[Tensor, Tensor]:
            pixels(self.net, *folded, self.drawing, self.above, self.linked, self.inputs, noise, self.known[here],
                   given, levels, parameters)  # fmt: skip
            return torch.from_numpy(levels), torch.from_numpy(parameters)

        return call

    def kept(self) -> tuple[list[Tensor], list[Tensor]]:
        """Return what `PixelCNNState` holds of these rows: `above` and `linked` of every block."""
        blocks, (_, above) = self.network.blocks, buffers(self.network, self.rows)
        kept = []
        for block, flat in zip(blocks, torch.from_numpy(self.above).split(above), strict=True):
            reach = block.reach
            rows = flat.view(self.rows, reach + 1, self.width + 2 * reach, -1).permute(0, 3, 1, 2)
            kept.append(rows[:, :, 1:, reach : reach + self.width])
        linked = torch.from_numpy(self.linked).view(len(blocks), self.width, self.rows, -1)
        return kept, [x[..., : len(bias_of(b.link))] + bias_of(b.link) for x, b in zip(linked, blocks, strict=True)]


def shapes(film: FilmLayers) -> list[torch.Size]:
    """List the shapes of all FiLM parameters."""
    return [part.shape for pair in film.values() for part in pair.parts.values()]


def buffers(network: PixelCNN, rows: int) -> tuple[list[int], list[int]]:
    """Say how many inputs each block keeps: of the horizontal stack, and of the vertical one."""
    width, shapes = network.shape[2], [(block.horizontal.in_channels, block.reach) for block in network.blocks]
    return ([rows * (reach + width) * size for size, reach in shapes],
            [rows * (reach + 1) * (width + 2 * reach) * size for size, reach in shapes])  # fmt: skip


def packed(engine: CompiledPixelCNN, rows: int) -> PixelCNNWeights:
    """Put weights and sizes together for a block of rows."""
    network = engine.network
    groups, features = network.output.groups, network.blocks[0].output.in_channels
    wide, narrow, head = compiled.whole(2 * features), compiled.whole(features), network.head[0].out_channels
    across, down = (list(accumulate(sizes, initial=0)) for sizes in buffers(network, rows))
    each, counts = compiled.whole(network.output.parameters // groups), []
    for block in network.blocks:
        size, radius = block.horizontal.in_channels, block.radius
        counts.append(((radius + 1) * size * wide + (features + 1) * narrow,
                       (radius + 1) * (2 * radius + 1) * size * wide + 2 * features * wide))  # fmt: skip
    at = list(accumulate((own for own, _ in counts), initial=0))
    behind = at[-1] + (features + 1) * compiled.whole(head) + groups * (head + 1) * each
    at_below = list(accumulate((own for _, own in counts), initial=behind))
    table = [[b.horizontal.in_channels, b.radius, at[i], across[i], int(b.residual), at_below[i], down[i],
              b.dilation]
             for i, b in enumerate(network.blocks)]  # fmt: skip
    film = network.blocks[0].horizontal_film
    normalised = cast(ChannelNorm, film.normalise).groups if film.norm == "channel" else 0
    sizes = (features, head, network.output.parameters // groups, groups, normalised)
    return PixelCNNWeights(engine.weights, engine.bias, np.array(table), sizes)
