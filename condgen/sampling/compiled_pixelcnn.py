"""The compiled engine for PixelCNN: the horizontal stack by a kernel, pixel by pixel; the vertical stack by PyTorch,
row by row, whose matrices are large enough for the machine's own matrix product."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from condgen.conditioning import FiLMParameters, GammaBeta
from condgen.models.pixelcnn import PixelCNNState, row_of
from condgen.sampling import compiled
from condgen.sampling.draw import Draw
from condgen.sampling.kernels import Film, PixelCNNWeights, pixels

Array = np.ndarray[Any, Any]


def advance(
    network: Any,
    film: FiLMParameters,
    state: PixelCNNState,
    values: Tensor | None,
    steps: range,
    draw: Draw,
    precision: compiled.Precision,
) -> tuple[Tensor, PixelCNNState]:
    """Draw whole images; see `condgen.sampling.engines`.

    Raises:
        ValueError: the steps do not begin with the first pixel or do not end with a row.
    """
    width = network.shape[2] * draw.groups
    if state.step or values is not None or len(steps) % width:
        raise ValueError("the compiled engine draws whole rows of images, from the first one on")
    film = network.checked(film)
    weights = compiled.pack(matrices(network), precision)
    parts = compiled.blocks(len(draw.noise), len(draw.noise) * len(weights) * width)
    blocks = [Block(network, weights, draw, part) for part in parts]
    above, linked, drawn = state.above, state.linked, []
    with compiled.announced(draw.bar), compiled.threads(len(blocks)) as run:
        for row in range(len(steps) // width):
            answers = run([block.row(row, film, linked) for block in blocks])
            levels, parameters = (torch.cat(part) for part in zip(*answers, strict=True))
            turn = range(row * width, (row + 1) * width)
            # From (batch, channels, columns) to (batch, channels per step, steps).
            by_step = levels.unflatten(1, (draw.groups, -1)).permute(0, 2, 3, 1).flatten(2)
            drawn.append(draw.keep(turn, parameters.transpose(1, 2), by_step))
            above, linked = rows_above(network, film, levels, above, row)
    return torch.cat(drawn, dim=-1), PixelCNNState(steps.stop, (), above, linked, state.windows)


def rows_above(
    network: Any, film: Any, levels: Tensor, above: tuple[Tensor, ...], row: int
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Run the vertical stack on a row of levels, (batch, channels, columns); see `GatedBlock.step_row`."""
    v = network.scale(levels)[:, :, None]
    kept, linked = [], []
    for i, block in enumerate(network.blocks):
        v, link, rows = block.step_row(v, above[i], row_of(pair(film, i, "vertical"), row))
        kept.append(rows)
        linked.append(link)
    return tuple(kept), tuple(linked)


def pair(film: Any, block: int, stack: str) -> GammaBeta:
    """Pick (γ, β) of one FiLM layer; both are fixed where there are none."""
    found: GammaBeta = film.get(f"blocks.{block}.{stack}_film", GammaBeta())
    return found


def matrices(network: Any) -> list[Tensor]:
    """List every matrix of the horizontal stack and the head, (in, out), in the order of its use."""
    listed = []
    for block in network.blocks:
        listed += [column.T for column in block.horizontal.kernel[:, :, 0].unbind(-1)]
        listed.append(compiled.with_bias(block.output.kernel[:, :, 0, 0], block.output.bias))
    first, last = (compiled.with_bias(layer.kernel[:, :, 0, 0], layer.bias) for layer in network.head)
    return [*listed, first, *last.chunk(network.output.groups, dim=1)]


class Block:
    """A block of rows of the batch: what its horizontal stack has seen, and what it has to draw."""

    def __init__(self, network: Any, weights: Array, draw: Draw, part: slice) -> None:
        self.network, self.part, self.groups = network, part, draw.groups
        self.rows, self.width = part.stop - part.start, network.shape[2]
        self.net, inputs = packed(network, weights, self.rows)
        self.inputs = np.zeros(inputs, np.float32)
        self.drawing = compiled.drawing(network, draw)
        self.noise = compiled.standardised(draw.noise[part], network)
        self.known, self.given = compiled.known(draw, part, network.num_steps)
        self.film: Film | None = None

    def folded(self, film: Any, row: int) -> Film:
        """Fold the FiLM parameters of a row of the image, once if every row has the same."""
        if self.film is None or any(len(p) > 3 and p[2] > 1 for p in shapes(film)):
            own = [row_of(pair(film, i, "horizontal"), row) for i in range(len(self.network.blocks))]
            taken = [GammaBeta(*(p if p is None or len(p) == 1 else p[self.part] for p in pair)) for pair in own]
            zero = torch.zeros(self.network.blocks[0].link.out_channels)
            norm = self.network.blocks[0].horizontal_film.norm != "none"
            self.film = compiled.pack_film(taken, [zero] * len(taken), self.rows, norm)
        return self.film

    def row(self, row: int, film: Any, linked: tuple[Tensor, ...]) -> compiled.Call:
        """Return a call that draws a row: levels, (rows, channels, columns), and parameters, (rows, steps,
        parameters)."""
        folded, channels = self.folded(film, row), self.network.shape[0]
        above = compiled.pad(torch.stack([link[:, self.part] for link in linked])).flatten().numpy()
        steps = slice(row * self.width * self.groups, (row + 1) * self.width * self.groups)
        here = slice(row * self.width, (row + 1) * self.width)
        # Always laid out alike: numba compiles anew for another layout.
        noise, given = np.ascontiguousarray(self.noise[:, steps]), np.ascontiguousarray(self.given[:, :, here])
        drawn = np.zeros((self.rows, channels, self.width), np.int64)
        parameters = np.zeros((self.rows, self.width * self.groups, self.net.sizes[2]), np.float32)

        def call() -> tuple[Tensor, Tensor]:
            pixels(self.net, folded, self.drawing, above, self.inputs, noise, self.known[here], given, drawn,
                   parameters)  # fmt: skip
            return torch.from_numpy(drawn), torch.from_numpy(parameters)

        return call


def shapes(film: Any) -> list[torch.Size]:
    """List the shapes of all FiLM parameters."""
    return [part.shape for pair in film.values() for part in pair if part is not None]


def packed(network: Any, weights: Array, rows: int) -> tuple[PixelCNNWeights, int]:
    """Put weights and sizes together for a block of rows; say how many inputs of all blocks it keeps."""
    groups, features = network.output.groups, network.blocks[0].output.in_channels
    wide, out = compiled.whole(2 * features), (features + 1) * compiled.whole(features)
    table, at_weights, at_inputs = [], 0, 0
    for block in network.blocks:
        size, radius = block.horizontal.in_channels, block.radius
        table.append([size, radius, at_weights, at_inputs, int(block.residual)])
        at_weights += (radius + 1) * size * wide + out
        at_inputs += rows * (radius + network.shape[2]) * size
    normalise = network.blocks[0].horizontal_film.normalise
    sizes = (features, network.head[0].out_channels, network.output.parameters // groups, groups,
             getattr(normalise, "groups", 0))  # fmt: skip
    return PixelCNNWeights(weights, np.array(table), sizes), at_inputs
