"""The Triton engine for WaveNet: one launch draws many samples.

After NVIDIA's nv-wavenet (2018), its variant of a single block: each program draws the samples of some rows of the
batch, step after step, and reads the weights from the device's cache each time. For categorical outputs and networks
without a normalisation.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from triton.runtime import JITFunction

from condgen.conditioning import Film
from condgen.engines import raster
from condgen.engines.draw import Draw, Temper
from condgen.engines.folding import Folded
from condgen.engines.graph_wavenet import bytes_per_step, fold_frames
from condgen.engines.rings import Rings
from condgen.engines.tape import Tape, Turns, by_step, turn_size
from condgen.engines.triton_kernel import wavenet
from condgen.engines.unaltered import altered_wavenet, head_of
from condgen.models import WaveNet
from condgen.models.wavenet import WaveNetState

ROWS = 16  # rows of the batch that a program draws; a product takes no fewer
TILE = 2**14  # weights of one product, at most: in float32, 64 KiB of the 99 KiB or more that a block has
WIDEST = 512  # features that weights multiply, at most: for 16 rows in float32, 32 KiB


@dataclass(frozen=True)
class TritonWaveNet:
    """The engine; see `condgen.engines.choice.Engine`.

    Attributes:
        network: network that it read.
        weights: weights as the kernel reads them.
    """

    network: WaveNet
    weights: list[Tensor]
    how = "a kernel in Triton"
    dtype: ClassVar[torch.dtype] = torch.float32

    @classmethod
    def obstacle(cls, network: WaveNet, temper: Temper) -> str | None:
        """Say why it cannot run a network, if it cannot."""
        if network.output.name != "categorical" or network.layers[0].film.norm != "none":
            return "it draws from categorical outputs, of networks without a normalisation"
        if "guidance" in temper:
            return "it draws each row for itself, and guidance takes two"
        if temper.get("top_k") is not None or temper.get("top_p") is not None:
            return "it knows no top_k and no top_p"
        if any(parameter.dtype != torch.float32 for parameter in network.parameters()):
            return "it computes in float32"
        if not interpreted() and next(network.parameters()).device.type != "cuda":
            return "it needs a CUDA device"
        return too_large(network) or altered_wavenet(network)

    @classmethod
    def prepare(cls, network: WaveNet) -> TritonWaveNet:
        """Lay a network's weights out."""
        return cls(network, pack(network, Sizes.of(network), cls.dtype))

    def fill(self, film: Film, canvas: Tensor, steps: range, draw: Draw) -> Tensor:
        """Draw a canvas; see `condgen.engines.choice`."""
        return raster.fill(self, self.network, film, canvas, steps, draw)

    def resume(self, film: Film, state: WaveNetState, values: Tensor | None) -> TritonRun:
        """Go on from a state; see `condgen.engines.choice`."""
        sizes, rings = Sizes.of(self.network), Rings.of(self.network, state, spare=1)
        batch = rings.bank.shape[1]
        rows = -(-batch // ROWS) * ROWS
        last = torch.full((rows,), -1, device=rings.bank.device)
        if values is not None:
            last[:batch] = values[:, 0]
        padded, film = replace(rings, bank=pad(rings.bank, 0, rows, sizes.channels)), self.network.checked(film)
        folded = fold_frames(self.network, film, range(state.step, state.step + 1))
        return TritonRun(self, film, folded, padded, last, batch, state.step)


@dataclass(frozen=True)
class TritonRun:
    """A run; see `condgen.engines.choice.Run`.

    Attributes:
        engine: engine that runs it.
        film: (γ, β) per FiLM layer for the whole clip.
        folded: folded parameters of the frame that it began with.
        rings: last inputs of each layer, (slots, padded rows, padded channels).
        last: level before the next step, −1 for none, (padded rows,).
        batch: number of rows without the padding.
        step: step that comes next.
        turn: number of steps between two reports of the device to Python.
    """

    engine: TritonWaveNet
    film: Film
    folded: Folded
    rings: Rings
    last: Tensor
    batch: int
    step: int
    turn: int = 1

    def advance(self, steps: range, draw: Draw) -> tuple[Tensor, TritonRun]:
        """Take some steps more."""
        network, device, rows = self.engine.network, self.last.device, len(self.last)
        sizes, local, sources = Sizes.of(network), network.frames(self.film) > 0, inputs(draw, steps.stop)
        rings = self.rings
        table = torch.stack([rings.firsts, rings.lengths, rings.backs[:, -1]], dim=1)
        bank, last = rings.bank.clone(), self.last.clone()
        size = turn_size(steps, bytes_per_step(network, self.batch, local))
        tape = Tape.blank(network.output, rows, steps.start, size, torch.float32, device)
        written = (last, torch.zeros(rows, sizes.head, device=device), tape.parameters, tape.values)
        turns, values = Turns(steps, size, device, self.turn), []
        for turn in turns:
            folded = widest(fold_frames(network, self.film, turn) if local else self.folded)
            numbers = (turn.start, len(turn), draw.first_noise, draw.noise.shape[1], self.batch, network.hop,
                       network.levels, float(draw.temper.get("temperature", 1)))  # fmt: skip
            options = constants(network, sizes, folded, local, sources)
            with torch.cuda.device(device) if device.type == "cuda" else nullcontext():
                wavenet[(rows // ROWS,)](
                    bank, table, *self.engine.weights, *halves(folded, sizes.hidden), *sources, *written, *numbers,
                    **options,
                )  # fmt: skip
            values.append(tape.keep(turn, draw))
        after = replace(self, rings=replace(rings, bank=bank), last=last, step=steps.stop, turn=turns.size)
        return torch.cat(values, dim=-1), after

    def state(self) -> WaveNetState:
        """Return the network's state."""
        own = self.rings.bank[:, : self.batch, : self.engine.network.channels]
        return replace(self.rings, bank=own).state(self.step)


class Sizes(NamedTuple):
    """The sizes of a network, rounded up to what a product of Triton's takes: powers of 2 from 16 on."""

    channels: int
    hidden: int
    skip: int
    head: int
    levels: int

    @classmethod
    def of(cls, network: WaveNet) -> Sizes:
        """Round up those of a network."""
        layer, (head, _) = network.layers[-1].output, head_of(network)
        own = (network.channels, layer.in_features, layer.out_features, head.out_features, network.levels)
        return cls(*(max(16, 1 << (size - 1).bit_length()) for size in own))


def too_large(network: WaveNet) -> str | None:
    """Say which sizes do not fit a block's memory, if any: a product keeps its weights there and what they multiply."""
    sizes = Sizes.of(network)
    if max(sizes.channels, sizes.skip) * sizes.hidden > TILE:
        return f"more than {TILE} weights of a layer at once are too many for a block of a GPU"
    if max(sizes.skip, sizes.head) > WIDEST or sizes.levels > 2 * WIDEST:
        return f"more than {WIDEST} features of the head, or twice as many levels, are too many for a block of a GPU"
    return None


def columns(inputs: int, outputs: int) -> int:
    """Choose how many columns of a matrix to multiply by at once."""
    return min(outputs, TILE // inputs)


def constants(network: WaveNet, sizes: Sizes, folded: Folded, local: bool, sources: Sequence[Tensor]) -> dict[str, int]:
    """List what a kernel is compiled for, once and not for each turn."""
    assert folded.inner is not None
    return {
        "LAYERS": len(network.layers), "TAPS": network.layers[0].conv.kernel_size, "ROWS": ROWS,
        "CHANNELS": sizes.channels, "HIDDEN": sizes.hidden, "SKIP": sizes.skip, "HEAD": sizes.head,
        "LEVELS": sizes.levels, "HEAD_COLUMNS": columns(sizes.skip, sizes.head),
        "OUT_COLUMNS": columns(sizes.head, sizes.levels), "FILM_ROWS": folded.inner.shape[2],
        "HAS_FRAMES": local, "HAS_GAMMA": folded.gamma is not None, "HAS_BETA": folded.beta is not None,
        "GIVEN_ROWS": sources[2].shape[1],
        # By what the compiler reports for 64 / 64 / 256 features in float32: 4 warps spill 18 times what 8 do from
        # registers, and a second stage, which fetches the next weights ahead, takes a block from 80 to 176 KiB.
        "num_warps": 8, "num_stages": 1,
    }  # fmt: skip


def inputs(draw: Draw, stop: int) -> tuple[Tensor, Tensor, Tensor]:
    """Lay out the noise, (batch, steps), whether a step is known, (steps,), and its levels, (steps, batch, 1 or 0)."""
    known, given = by_step(draw, stop)
    noise = draw.noise[..., 0].contiguous()
    if known is None or given is None:
        return noise, noise.new_zeros(1, dtype=torch.int8), noise.new_zeros(1, 0, dtype=torch.long)
    return noise, known.to(torch.int8), given[..., 0].contiguous()


def pad(x: Tensor, *sizes: int) -> Tensor:
    """Fill the last axes up with zeros to some sizes; 0 leaves an axis as it is."""
    behind = [max(0, size - own) for own, size in zip(x.shape[x.ndim - len(sizes) :], sizes, strict=True)]
    return F.pad(x, [n for size in reversed(behind) for n in (0, size)]).contiguous()


def widest(folded: Folded) -> Folded:
    """Give all parts as many places and rows as any of them has; those that are `None` stay so."""
    places, rows = (max(part.shape[axis] for part in folded if part is not None) for axis in (0, 2))
    return Folded(*(None if part is None else part.expand(places, -1, rows, -1) for part in folded))


def halves(folded: Folded, hidden: int) -> list[Tensor]:
    """Lay FiLM parameters out as the kernel reads them, (places, layers, rows, 2, hidden); unread ones are short."""
    assert folded.inner is not None
    unread = folded.inner.new_zeros(1)
    return [unread if part is None else pad(part.unflatten(-1, (2, -1)), hidden) for part in folded]


def pack(network: WaveNet, sizes: Sizes, dtype: torch.dtype) -> list[Tensor]:
    """Lay the weights out as the kernel reads them; biases and the entry stay in float32."""
    layers, scale, (channels, hidden, skip, head, levels) = network.layers, network.skip_scale, sizes
    taps = torch.stack([layer.conv.weight for layer in layers]).unflatten(2, (2, -1)).transpose(3, 4)
    out = [(layer.output.weight.T, layer.output.bias, layer.channels) for layer in layers]
    residual = torch.stack([pad(weight[:, :c], hidden, channels) for weight, _, c in out])
    residual_bias = torch.stack([pad(bias[:c], channels) for _, bias, c in out])
    skips = torch.stack([weight[:, c:] for weight, _, c in out]) * scale
    skip_bias = torch.stack([bias[c:] for _, bias, c in out]).sum(0) * scale
    entry = network._entered(torch.arange(network.levels, device=taps.device))
    first, second = head_of(network)
    return [
        pad(entry, channels), pad(taps, channels, hidden).to(dtype),
        residual.to(dtype), residual_bias, pad(skips, hidden, skip).to(dtype), pad(skip_bias, skip),
        blocks(pad(first.weight.T, skip, head), columns(skip, head)).to(dtype), pad(first.bias, head),
        blocks(pad(second.weight.T, head, levels), columns(head, levels)).to(dtype), pad(second.bias, levels),
    ]  # fmt: skip


def blocks(matrix: Tensor, size: int) -> Tensor:
    """Cut a matrix into blocks of columns, (blocks, in, size)."""
    return matrix.unflatten(1, (-1, size)).transpose(0, 1).contiguous()


def interpreted() -> bool:
    """Say whether Triton runs kernels in Python, on tensors of any device; it decides when they are defined."""
    return not isinstance(wavenet, JITFunction)
