"""The compiled engine for WaveNet: weights packed, the state in rings, one call of a kernel for many samples."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from condgen.conditioning import FiLMParameters, GammaBeta
from condgen.engines import compiled
from condgen.engines.draw import Draw
from condgen.engines.kernels import FAR, Film, WaveNetWeights, wavenet
from condgen.engines.tape import turn_size, turns
from condgen.models.wavenet import WaveNetState

Array = np.ndarray[Any, Any]
AT_ONCE = 64  # rows times steps computed ahead, at most: what they give has to stay in the cache


def advance(
    network: Any,
    film: FiLMParameters,
    state: WaveNetState,
    values: Tensor | None,
    steps: range,
    draw: Draw,
    precision: compiled.Precision,
) -> tuple[Tensor, WaveNetState]:
    """Draw a run of samples; see `condgen.engines.choice`."""
    network.checked(film)
    weights = compiled.pack(matrices(network), precision)
    parts = compiled.blocks(len(draw.noise), len(draw.noise) * len(weights) * len(steps))
    size = turn_size(steps, bytes_per_step=4 * len(draw.noise) * network.output.parameters)
    blocks = [Block(network, weights, film, state, values, steps, draw, part) for part in parts]
    drawn = []
    with compiled.announced(draw.bar), compiled.threads(len(blocks)) as run:
        for turn in turns(steps, size, torch.device("cpu")):
            answers = run([block.turn(turn) for block in blocks])
            levels, parameters = (torch.cat(part) for part in zip(*answers, strict=True))
            drawn.append(draw.keep(turn, parameters.transpose(1, 2), levels[:, None]))
    pasts = zip(*(block.past(steps.stop) for block in blocks), strict=True)
    return torch.cat(drawn, dim=-1), WaveNetState(steps.stop, tuple(torch.cat(p, dim=1).unbind() for p in pasts))


def matrices(network: Any) -> list[Tensor]:
    """List every matrix, (in, out), in the order of its use."""
    listed = []
    for layer in network.layers:
        listed += [tap.T for tap in layer.conv.weight]
        matrix = compiled.with_bias(layer.output.weight, layer.output.bias)
        paths = matrix.split([layer.channels, matrix.shape[1] - layer.channels], dim=1)
        listed.append(torch.cat([compiled.pad(path) for path in paths], dim=1))
    return listed + [compiled.with_bias(layer.weight, layer.bias) for layer in (network.head[1], network.head[3])]


def packed(network: Any, weights: Array, rows: int) -> WaveNetWeights:
    """Put weights and sizes together for a block of rows."""
    table, at_weights, at_past = [], 0, 0
    for layer in network.layers:
        conv, out = layer.conv, layer.output.weight
        table.append([conv.kernel_size, conv.dilation, at_weights, at_past, steps_ahead(conv.dilation, rows)])
        wide = compiled.whole(conv.weight.shape[1])
        paths = compiled.whole(layer.channels) + compiled.whole(len(out) - layer.channels)
        at_weights += conv.kernel_size * network.channels * wide + (out.shape[1] + 1) * paths
        at_past += conv.reach * rows * network.channels
    (_, hidden), last = network.layers[-1].output.weight.shape, network.layers[-1]
    embedded = isinstance(network.input, nn.Embedding)
    entry = [network.input.weight.flatten()]
    if not embedded:
        entry += [network.input.bias, torch.tensor([2 / (network.levels - 1)], dtype=torch.float32)]
    sizes = (network.channels, hidden, len(last.output.weight), network.head[1].out_features,
             network.output.parameters, network.levels if embedded else 0, network.hop,
             int(last.film.norm == "channel"))  # fmt: skip
    return WaveNetWeights(weights, np.array(table), torch.cat(entry).numpy(), sizes, float(network.skip_scale))


def steps_ahead(dilation: int, rows: int) -> int:
    """Choose a power of 2 that divides the dilation, so that as many steps lie unbroken in the ring."""
    most = min(FAR, max(1, AT_ONCE // rows))
    return min(dilation & -dilation, 1 << (most.bit_length() - 1))


class Block:
    """A block of rows: its FiLM parameters, its state, and what it has to draw."""

    def __init__(self, network: Any, weights: Array, film: FiLMParameters, state: WaveNetState, values: Tensor | None,
                 steps: range, draw: Draw, part: slice) -> None:  # fmt: skip
        self.network, self.first_noise, self.rows = network, draw.first_noise, part.stop - part.start
        self.net = packed(network, weights, self.rows)
        self.drawing = compiled.drawing(network, draw)
        self.noise = compiled.standardised(draw.noise[part], network)
        self.known, self.given = compiled.known(draw, part, steps.stop)
        last = torch.full((self.rows, 1), -1) if values is None else values[part]
        self.last = last[:, 0].contiguous().clone().numpy()
        past = [torch.stack([x[part] for x in layer]).roll(state.step % len(layer), 0) for layer in state.past]
        self.rings = torch.cat([ring.flatten() for ring in past]).numpy()
        self.pairs = [network.film_of(film, i).rows(part) for i in range(len(network.layers))]
        self.local = network.frames(film) > 0
        self.film = None if self.local else self.folded(self.pairs)

    def folded(self, pairs: list[GammaBeta]) -> Film:
        """Fold FiLM parameters and the convolutions' biases."""
        layers = self.network.layers
        norm = layers[0].film.norm != "none"
        return compiled.pack_film(pairs, [layer.conv.bias for layer in layers], self.rows, norm)

    def framed(self, turn: range) -> Film:
        """Fold the frames of local parameters that some steps lie in."""
        if self.film is not None:
            return self.film
        first, last = turn.start // self.network.hop, (turn.stop - 1) // self.network.hop
        return self.folded([pair.frames(slice(first, last + 1)) for pair in self.pairs])

    def turn(self, turn: range) -> compiled.Call:
        """Return a call that draws some steps: levels, (rows, steps), and parameters, (rows, steps, parameters)."""
        film, here = self.framed(turn), slice(turn.start, turn.stop)
        # Always laid out alike: numba compiles anew for another layout.
        begin = turn.start - self.first_noise
        noise = np.ascontiguousarray(self.noise[:, begin : begin + len(turn)])
        given = np.ascontiguousarray(self.given[:, 0, here])
        drawn = np.zeros((self.rows, len(turn)), np.int64)
        parameters = np.zeros((self.rows, len(turn), self.net.sizes[4]), np.float32)

        def call() -> tuple[Tensor, Tensor]:
            wavenet(self.net, film, self.drawing, turn.start, self.last, self.rings, noise, self.known[here],
                    given, drawn, parameters)  # fmt: skip
            return torch.from_numpy(drawn), torch.from_numpy(parameters)

        return call

    def past(self, step: int) -> list[Tensor]:
        """Return each layer's last inputs before a step, oldest first, (reach, rows, channels)."""
        reaches = [layer.conv.reach for layer in self.network.layers]
        width = self.rows * self.network.channels
        rings = torch.from_numpy(self.rings).split([reach * width for reach in reaches])
        return [ring.view(reach, self.rows, -1).roll(-step % reach, 0) for ring, reach in zip(rings, reaches,
                                                                                           strict=True)]  # fmt: skip
