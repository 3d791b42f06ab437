"""The compiled engine for WaveNet: weights packed, the state in rings, one call of a kernel for many samples."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import accumulate
from typing import ClassVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from condgen.conditioning import Film
from condgen.engines import compiled, kernels, raster
from condgen.engines.draw import Draw, Temper
from condgen.engines.kernels import FAR, Array, WaveNetWeights
from condgen.engines.rings import Rings
from condgen.engines.tape import Turns, turn_size
from condgen.engines.unaltered import altered_wavenet, head_of
from condgen.models import WaveNet
from condgen.models.convolutions import bias_of
from condgen.models.wavenet import WaveNetState

AT_ONCE = 64  # rows times steps computed ahead, at most: what they give has to stay in the cache
WINDOW = 2**22  # bytes of folded FiLM parameters of frames that are kept


@dataclass(frozen=True)
class CompiledWaveNet:
    """The engine; see `condgen.engines.choice.Engine`.

    Attributes:
        network: network that it read.
        weights: weights for a block of a single row.
    """

    network: WaveNet
    weights: WaveNetWeights
    precision: ClassVar[compiled.Precision] = "float32"

    @property
    def how(self) -> str:
        """Say how it runs."""
        return compiled.how()

    @classmethod
    def obstacle(cls, network: WaveNet, temper: Temper) -> str | None:
        """Say why it cannot run a network, if it cannot."""
        return compiled.obstacle(network) or altered_wavenet(network)

    @classmethod
    def prepare(cls, network: WaveNet) -> CompiledWaveNet:
        """Pack a network's weights."""
        return cls(network, packed(network, compiled.pack(matrices(network), cls.precision)))

    def fill(self, film: Film, canvas: Tensor, steps: range, draw: Draw) -> Tensor:
        """Draw a canvas; see `condgen.engines.choice`."""
        return raster.fill(self, self.network, film, canvas, steps, draw)

    def resume(self, film: Film, state: WaveNetState, values: Tensor | None) -> WaveNetRun:
        """Go on from a state; see `condgen.engines.choice`."""
        film, rings = self.network.checked(film), Rings.of(self.network, state)
        rows = rings.bank.shape[1]
        frames = Frames.of(self.network, film, rows, range(state.step, state.step + 1))
        last = torch.full((rows,), -1) if values is None else values[:, 0]
        return WaveNetRun(self, frames, rings, last, state.step)

    def for_rows(self, rows: int) -> WaveNetWeights:
        """Say where the rings of a block of rows begin, and how many steps ahead it computes."""
        table = self.weights.table.copy()
        table[:, 3] *= rows
        table[:, 4] = steps_ahead(table[:, 1], rows)
        return self.weights._replace(table=table)


class RoundedWaveNet(CompiledWaveNet):
    """The engine with weights rounded to bfloat16."""

    precision = "bfloat16"


def matrices(network: WaveNet) -> list[Tensor]:
    """List every matrix, (in, out), in the order of its use."""
    listed = []
    for layer in network.layers:
        listed += [tap.T for tap in layer.conv.weight]
        matrix = compiled.with_bias(layer.output.weight, layer.output.bias)
        paths = matrix.split([layer.channels, matrix.shape[1] - layer.channels], dim=1)
        listed.append(torch.cat([compiled.pad(path) for path in paths], dim=1))
    return listed + [compiled.with_bias(layer.weight, layer.bias) for layer in head_of(network)]


def packed(network: WaveNet, weights: Array) -> WaveNetWeights:
    """Put weights and sizes together for a block of a single row."""
    convs, outs = [layer.conv for layer in network.layers], [layer.output.weight for layer in network.layers]
    wide, channels = compiled.whole(convs[0].weight.shape[1]), network.channels
    paths = [compiled.whole(layer.channels) + compiled.whole(len(out) - layer.channels)
             for layer, out in zip(network.layers, outs, strict=True)]  # fmt: skip
    sizes = [conv.kernel_size * channels * wide + (out.shape[1] + 1) * path
             for conv, out, path in zip(convs, outs, paths, strict=True)]  # fmt: skip
    at_weights = accumulate(sizes, initial=0)
    at_past = accumulate((conv.reach * channels for conv in convs), initial=0)
    table = [[conv.kernel_size, conv.dilation, at, past, 1]
             for conv, at, past in zip(convs, at_weights, at_past, strict=False)]  # fmt: skip
    embedded = isinstance(network.input, nn.Embedding)
    entry = [network.input.weight.flatten()]
    if not embedded:
        entry += [cast(nn.Linear, network.input).bias, torch.tensor([2 / (network.levels - 1)], dtype=torch.float32)]
    normalised = network.layers[0].film.norm == "channel"
    shape = (channels, outs[0].shape[1], len(outs[-1]), head_of(network)[0].out_features, network.output.parameters,
             network.levels if embedded else 0, network.hop, int(normalised))  # fmt: skip
    return WaveNetWeights(weights, np.array(table), torch.cat(entry).numpy(), shape, float(network.skip_scale))


def steps_ahead(dilations: NDArray[np.int64], rows: int) -> NDArray[np.int64]:
    """Choose a power of 2 that divides each dilation, so that as many steps lie unbroken in its ring."""
    most = min(FAR, max(1, AT_ONCE // rows))
    return np.minimum(dilations & -dilations, 1 << (most.bit_length() - 1))


@dataclass(frozen=True)
class Frames:
    """FiLM parameters of some frames, folded; those that are global serve every step.

    Attributes:
        network: network that they belong to.
        film: (γ, β) per FiLM layer for the whole clip.
        frames: frames that are folded; empty if all parameters are global.
        packed: folded parameters, (frames, layers, rows, padded features).
    """

    network: WaveNet
    film: Film
    frames: range
    packed: kernels.Film

    @classmethod
    def of(cls, network: WaveNet, film: Film, rows: int, steps: range) -> Frames:
        """Fold the frames that some steps lie in, and those behind them as far as they are worth keeping."""
        parts = [part for pair in film.values() for part in pair.parts.values()]
        kept = WINDOW // (4 * rows * max(1, sum(part.shape[1] for part in parts)))
        wanted = _frames(network, steps)
        frames = range(wanted.start, min(network.frames(film), max(wanted.stop, wanted.start + kept)))
        layers, cut = network.layers, slice(frames.start, frames.stop)
        pairs = [network.film_of(film, i).frames(cut) for i in range(len(layers))]
        biases, normalised = [bias_of(layer.conv) for layer in layers], layers[0].film.norm != "none"
        return cls(network, film, frames, compiled.pack_film(pairs, biases, rows, normalised))

    def over(self, steps: range) -> Frames:
        """Move on to the frames that some steps lie in, if they lie in others."""
        wanted = _frames(self.network, steps)
        if not self.frames or (wanted.start in self.frames and wanted.stop <= self.frames.stop):
            return self
        return Frames.of(self.network, self.film, self.packed.inner.shape[2], steps)

    def at(self, steps: range, rows: slice) -> kernels.Film:
        """Cut out what some steps read for some rows."""
        wanted = _frames(self.network, steps)
        places = slice(wanted.start - self.frames.start, wanted.stop - self.frames.start)
        return compiled.flat(self.packed, rows, places)


def _frames(network: WaveNet, steps: range) -> range:
    return range(steps.start // network.hop, (steps.stop - 1) // network.hop + 1)


@dataclass(frozen=True)
class WaveNetRun:
    """A run; see `condgen.engines.choice.Run`.

    Attributes:
        engine: engine that runs it.
        frames: FiLM parameters of the steps that come next.
        rings: last inputs of each layer.
        last: level before the next step per row, −1 for none, (batch,).
        step: step that comes next.
        turn: number of steps between two reports of the kernel to Python.
    """

    engine: CompiledWaveNet
    frames: Frames
    rings: Rings
    last: Tensor
    step: int
    turn: int = 1

    def advance(self, steps: range, draw: Draw) -> tuple[Tensor, WaveNetRun]:
        """Take some steps more."""
        output, rows, frames, values = self.engine.network.output, len(draw.noise), self.frames, []
        parts = compiled.blocks(rows, rows * len(self.engine.weights.weights) * len(steps), draw.each)
        blocks = [Block(self, steps, draw, part) for part in parts]
        turns = Turns(steps, turn_size(steps, bytes_per_step=4 * rows * output.parameters), self.rings.bank.device,
                      self.turn)  # fmt: skip
        with compiled.announced(), compiled.threads(len(blocks)) as run:
            for turn in turns:
                frames = frames.over(turn)
                answers = run([block.turn(turn, frames.at(turn, block.part)) for block in blocks])
                levels, parameters = (torch.cat(part) for part in zip(*answers, strict=True))
                values.append(draw.keep(turn, parameters.transpose(1, 2), levels[:, None]))
        banks = [torch.from_numpy(block.rings) for block in blocks]
        bank = banks[0] if len(banks) == 1 else torch.cat(banks, dim=1)  # which would copy one too
        last = torch.cat([torch.from_numpy(block.last) for block in blocks])
        after = WaveNetRun(self.engine, frames, replace(self.rings, bank=bank), last, steps.stop, turns.size)
        return torch.cat(values, dim=-1), after

    def state(self) -> WaveNetState:
        """Return the network's state."""
        return self.rings.state(self.step)


class Block:
    """A block of rows: its state, which the kernel moves on, and what it has to draw."""

    def __init__(self, run: WaveNetRun, steps: range, draw: Draw, part: slice) -> None:
        output = draw.network.output
        self.steps, self.part, self.rows = steps, part, part.stop - part.start
        self.weights, self.drawing = run.engine.for_rows(self.rows), compiled.drawing(output, draw)
        ahead = steps.start - draw.first_noise
        self.noise = compiled.standardised(draw.noise[part, ahead : ahead + len(steps)], output)
        self.known, self.given = compiled.known(draw, part, steps)
        self.rings = run.rings.bank.numpy()[:, part].copy()
        self.last = run.last.numpy()[part].copy()

    def turn(self, turn: range, film: kernels.Film) -> compiled.Call:
        """Return a call that draws some steps: levels, (rows, steps), and parameters, (rows, steps, parameters)."""
        here = slice(turn.start - self.steps.start, turn.stop - self.steps.start)
        # Always laid out alike: numba compiles anew for another layout.
        noise, given = np.ascontiguousarray(self.noise[:, here]), np.ascontiguousarray(self.given[:, 0, here])
        levels = np.zeros((self.rows, len(turn)), np.int64)
        parameters = np.zeros((self.rows, len(turn), self.weights.sizes[4]), np.float32)

        def call() -> tuple[Tensor, Tensor]:
            kernels.wavenet(self.weights, film, self.drawing, turn.start, self.last, self.rings.reshape(-1), noise,
                            self.known[here], given, levels, parameters)  # fmt: skip
            return torch.from_numpy(levels), torch.from_numpy(parameters)

        return call
