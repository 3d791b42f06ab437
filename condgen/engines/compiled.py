"""The compiled engine: a CPU's sampling near the limit of its caches and its multipliers, by the kernels in numba.

Weights are packed once a call and FiLM parameters folded once a batch; threads split the batch; every tenth of a second
the kernels come back, so that progress is shown and an interruption heard. Here is what both models share.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from itertools import pairwise
from typing import Literal

import numpy as np
import torch
from numba.core import event
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from condgen.conditioning import GammaBeta
from condgen.distributions import OutputFamily, least_log_scale
from condgen.engines.draw import Draw
from condgen.engines.folding import fold
from condgen.engines.kernels import WIDTH, Array, Drawing, Film

Precision = Literal["float32", "bfloat16"]
Call = Callable[[], tuple[Tensor, Tensor]]
LEAST_WORK = 4 * 10**7  # multiplications, about a millisecond, that are worth waking a thread
COMPILING = "compiling the sampling kernels, once on this machine: some ten seconds ..."
FAMILIES = ("bernoulli", "categorical", "logistic_mixture", "gaussian")
EVERY = slice(None)


def obstacle(network: nn.Module) -> str | None:
    """Say why no kernel here can run a network, if so: the weights are elsewhere or of another type."""
    for weight in network.parameters():
        if weight.device.type != "cpu":
            return f"it runs on the CPU and the model is on {weight.device}"
        if weight.dtype != torch.float32:
            return f"it computes in float32 and the weights are {str(weight.dtype).removeprefix('torch.')}"
    return None


def how() -> str:
    """Say how kernels run."""
    return f"numba, {torch.get_num_threads()} thread(s)"


def pack(matrices: Sequence[Tensor], precision: Precision) -> Array:
    """Lay matrices, (in, out) each, one behind the other, `out` padded to whole vectors."""
    flat = torch.cat([pad(matrix.float()).flatten() for matrix in matrices])
    if precision == "bfloat16":
        return flat.bfloat16().view(torch.uint16).numpy()
    return flat.numpy()


def whole(columns: int) -> int:
    """Round up to whole vectors."""
    return -(-columns // WIDTH) * WIDTH


def pad(x: Tensor) -> Tensor:
    """Pad the last axis with zeros to whole vectors."""
    return F.pad(x, (0, whole(x.shape[-1]) - x.shape[-1]))


def with_bias(weight: Tensor, bias: Tensor | None) -> Tensor:
    """Turn a linear layer's weight, (out, in), and bias into one matrix, (in + 1, out)."""
    bias = weight.new_zeros(len(weight)) if bias is None else bias
    return torch.cat([weight.T, bias[None]])


def pack_film(pairs: Sequence[GammaBeta], biases: Sequence[Tensor], rows: int, normalised: bool) -> Film:
    """Fold the biases of the convolutions and the FiLM parameters of all layers into three arrays, (places, layers,
    rows, padded features).

    Args:
        pairs: (γ, β) per layer, (batch or 1, channels) or (batch or 1, channels, places).
        biases: bias of the convolution before each layer, (channels,) each.
        rows: number of rows of the batch.
        normalised: presence of a normalisation between a convolution and γ.
    """
    return Film(*(_whole_rows(part, rows) for part in fold(pairs, biases, normalised)))


def _whole_rows(part: Tensor | None, rows: int) -> Array:
    if part is None:
        return np.zeros((0, 0, 0, 0), np.float32)
    return pad(part.expand(-1, -1, rows, -1).float()).contiguous().numpy()


def flat(film: Film, rows: slice = EVERY, places: slice = EVERY) -> Film:
    """Cut out what a kernel is to read of packed FiLM parameters: some rows at some places; a single place serves
    all."""
    return Film(*(
        np.ascontiguousarray(part[EVERY if len(part) == 1 else places, :, rows]).reshape(-1) for part in film
    ))  # fmt: skip


def drawing(output: OutputFamily, draw: Draw) -> Drawing:
    """Say how the values of a step are drawn."""
    temper = draw.temper
    top_k, top_p = temper.get("top_k"), temper.get("top_p")
    return Drawing(
        FAMILIES.index(output.name), output.levels, output.mixtures, output.channels, least_log_scale(output.levels),
        float(temper.get("temperature", 1)), top_k or 0, 1.0 if top_p is None else top_p, float(draw.guidance),
    )  # fmt: skip


def known(draw: Draw, rows: slice, positions: range) -> tuple[Array, Array]:
    """Say which positions are given, (positions,), and their levels, (rows, channels, positions)."""
    shape = (rows.stop - rows.start, draw.network.output.channels, len(positions))
    marks, levels = np.zeros(len(positions), bool), np.zeros(shape, np.int64)
    if draw.given is not None:
        here = slice(positions.start, min(len(draw.given.known), positions.stop))
        count = max(0, here.stop - here.start)
        marks[:count] = draw.given.known[here]
        own = draw.given.levels if len(draw.given.levels) == 1 else draw.given.levels[rows]
        levels[..., :count] = own[..., here].numpy()
    return marks, levels


def standardised(noise: Tensor, output: OutputFamily) -> Array:
    """Turn uniforms into the standard logistic or normal numbers that the output's family scales and shifts."""
    if output.name == "logistic_mixture":
        noise = torch.cat([noise[..., :1], torch.logit(noise[..., 1:])], dim=-1)
    elif output.name == "gaussian":
        noise = torch.special.ndtri(noise)
    return noise.contiguous().numpy()


def blocks(rows: int, work: int, each: int = 1) -> list[slice]:
    """Split a batch among the threads that PyTorch is set to.

    Args:
        rows: number of rows of the batch.
        work: number of multiplications for all rows between two points at which threads wait for each other.
        each: rows per sample, which stay together.
    """
    samples = rows // each
    count = max(1, min(torch.get_num_threads(), samples, work // LEAST_WORK))
    ends = [samples * i // count * each for i in range(count + 1)]
    return [slice(a, b) for a, b in pairwise(ends)]


@contextmanager
def threads(count: int) -> Iterator[Callable[[list[Call]], list[tuple[Tensor, Tensor]]]]:
    """Give a function that runs calls side by side and returns their answers."""
    if count == 1:
        yield lambda calls: [call() for call in calls]
        return
    with ThreadPoolExecutor(count) as pool:
        yield lambda calls: list(pool.map(lambda call: call(), calls))


class Announcer(event.Listener):
    """Says once that kernels are being compiled: nothing else moves until they are, up to a minute and a half. They are
    kept on disk, and loading them from there is no compilation."""

    def __init__(self) -> None:
        self.silent = False

    def on_start(self, event: event.Event) -> None:
        if not self.silent:
            tqdm.write(COMPILING, file=sys.stderr)
        self.silent = True

    def on_end(self, event: event.Event) -> None:
        pass


def announced() -> AbstractContextManager[None]:
    """Return a context in which compilation is announced, also where standard error is no terminal."""
    listening: AbstractContextManager[None] = event.install_listener("numba:compile", Announcer())
    return listening
