"""The Triton engine for WaveNet: one launch draws many samples.

After NVIDIA's nv-wavenet (2018), its variant of a single block: each program draws the samples of some rows of the
batch, step after step, and reads the weights from the device's cache each time. For categorical outputs and networks
without a normalisation.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from triton.runtime import JITFunction

from condgen.conditioning import FiLMParameters
from condgen.engines.draw import Draw
from condgen.engines.folding import Folded
from condgen.engines.graph_wavenet import bytes_per_step, fold_frames
from condgen.engines.rings import Rings
from condgen.engines.tape import Tape, by_step, turn_size, turns
from condgen.engines.triton_kernel import wavenet
from condgen.models.wavenet import WaveNetState

ROWS = 16  # rows of the batch that a program draws; a product takes no fewer
TILE = 2**14  # weights of one product, at most: in float32, 64 KiB of the 99 KiB or more that a block has
WIDEST = 512  # features that weights multiply, at most: for 16 rows in float32, 32 KiB


def advance(
    network: Any,
    film: FiLMParameters,
    state: WaveNetState,
    values: Tensor | None,
    steps: range,
    draw: Draw,
    dtype: torch.dtype = torch.float32,
) -> tuple[Tensor, WaveNetState]:
    """Draw a run of samples with weights in some precision; see `condgen.engines.choice`."""
    batch, device, film_of = len(draw.noise), draw.noise.device, network.checked(film)
    sizes, rows, local = Sizes.of(network), -(-batch // ROWS) * ROWS, network.frames(film) > 0
    rings, weights, drawing = Rings.of(network, state, spare=1), pack(network, sizes, dtype), inputs(draw, steps.stop)
    table = torch.stack([rings.firsts, rings.lengths, rings.backs[:, -1]], dim=1)
    bank = pad(rings.bank, 0, rows, sizes.channels)
    last = torch.full((rows,), -1, device=device)
    if values is not None:
        last[:batch] = values[:, 0]
    size = turn_size(steps, bytes_per_step(network, batch, local))
    tape = Tape.blank(network, rows, steps, size, torch.float32, device)
    written = (last, torch.zeros(rows, sizes.head, device=device), tape.parameters, tape.values)
    drawn = []
    for turn in turns(steps, size, device):
        folded = widest(fold_frames(network, film_of, turn))
        numbers = (turn.start, len(turn), draw.first_noise, draw.noise.shape[1], batch, network.hop, network.levels,
                   float(draw.temper.get("temperature", 1)))  # fmt: skip
        options = constants(network, sizes, folded, local, drawing)
        with torch.cuda.device(device) if device.type == "cuda" else nullcontext():
            wavenet[(rows // ROWS,)](
                bank, table, *weights, *halves(folded, sizes.hidden), *drawing, *written, *numbers, **options
            )
        drawn.append(tape.keep(turn, draw))
    return torch.cat(drawn, dim=-1), replace(rings, bank=bank[:, :batch, : network.channels]).state(steps.stop)


class Sizes(NamedTuple):
    """The sizes of a network, rounded up to what a product of Triton's takes: powers of 2 from 16 on."""

    channels: int
    hidden: int
    skip: int
    head: int
    levels: int

    @classmethod
    def of(cls, network: Any) -> Sizes:
        """Round up those of a network."""
        layer, head = network.layers[-1].output, network.head[1]
        own = (network.channels, layer.in_features, layer.out_features, head.out_features, network.levels)
        return cls(*(max(16, 1 << (size - 1).bit_length()) for size in own))


def too_large(network: Any) -> str | None:
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


def constants(network: Any, sizes: Sizes, folded: Folded, local: bool, drawing: Sequence[Tensor]) -> dict[str, Any]:
    """List what a kernel is compiled for, once and not for each turn."""
    assert folded.inner is not None
    return {
        "LAYERS": len(network.layers), "TAPS": network.layers[0].conv.kernel_size, "ROWS": ROWS,
        "CHANNELS": sizes.channels, "HIDDEN": sizes.hidden, "SKIP": sizes.skip, "HEAD": sizes.head,
        "LEVELS": sizes.levels, "HEAD_COLUMNS": columns(sizes.skip, sizes.head),
        "OUT_COLUMNS": columns(sizes.head, sizes.levels), "FILM_ROWS": folded.inner.shape[2],
        "HAS_FRAMES": local, "HAS_GAMMA": folded.gamma is not None, "HAS_BETA": folded.beta is not None,
        "GIVEN_ROWS": drawing[2].shape[1],
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


def pack(network: Any, sizes: Sizes, dtype: torch.dtype) -> list[Tensor]:
    """Lay the weights out as the kernel reads them; biases and the entry stay in float32."""
    layers, scale, (channels, hidden, skip, head, levels) = network.layers, network.skip_scale, sizes
    taps = torch.stack([layer.conv.weight for layer in layers]).unflatten(2, (2, -1)).transpose(3, 4)
    out = [(layer.output.weight.T, layer.output.bias, layer.channels) for layer in layers]
    residual = torch.stack([pad(weight[:, :c], hidden, channels) for weight, _, c in out])
    residual_bias = torch.stack([pad(bias[:c], channels) for _, bias, c in out])
    skips = torch.stack([weight[:, c:] for weight, _, c in out]) * scale
    skip_bias = torch.stack([bias[c:] for _, bias, c in out]).sum(0) * scale
    entry = network._entered(torch.arange(network.levels, device=taps.device))
    first, second = network.head[1], network.head[3]
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
