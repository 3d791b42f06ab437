"""Streaming: audio in chunks as it is drawn, from a state that can be saved and taken up again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from condgen.atomic import whole_file
from condgen.engines.choice import Run, choose
from condgen.engines.draw import Draw, progress_bar
from condgen.models import ConditionalModel
from condgen.models.conditional import Conditions
from condgen.models.contract import streaming
from condgen.models.wavenet import WaveNetState
from condgen.paths import require_file
from condgen.sampling.ancestral import check_temper, evaluating
from condgen.sampling.noise import uniform_noise
from condgen.sampling.rows import Seed, origins, prepared, take_rows

AHEAD = 4096  # steps that noise is drawn for at once: that costs as much for a chunk of few


@dataclass(frozen=True)
class StreamState:
    """Where a stream stands. A value: going on from it twice gives the same audio twice.

    Attributes:
        network: state of the network.
        values: levels of the last step, (batch, 1); `None` before the first.
    """

    network: WaveNetState
    values: Tensor | None

    def to(self, device: torch.device) -> StreamState:
        """Move it to a device."""
        tensors = {name: tensor.to(device) for name, tensor in self.network.tensors().items()}
        return StreamState(WaveNetState.of(tensors), None if self.values is None else self.values.to(device))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a file of safetensors."""
        values = {} if self.values is None else {"values": self.values.contiguous()}
        with whole_file(path) as temporary:
            temporary.write_bytes(save({**self.network.tensors(), **values}))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> StreamState:
        """Read what `save` wrote. No code in it is run.

        Raises:
            ValueError: the file is missing or holds no state.
        """
        require_file(path, "a file with the state of a stream")
        try:
            tensors = load_file(path)
            return cls(WaveNetState.of(tensors), tensors.get("values"))
        except Exception as error:  # a broken file can make the reader raise anything
            cause = (str(error).splitlines() or [type(error).__name__])[0]
            raise ValueError(f"{path} holds no state of a stream ({cause})") from None


@dataclass(frozen=True)
class Chunk:
    """A piece of a stream.

    Attributes:
        x: levels, (batch, 1, time).
        log_prob: log-probability of this piece given all before it, in nats, (batch,).
        run: run of the engine behind this piece.
    """

    x: Tensor
    log_prob: Tensor
    run: Run

    @cached_property
    def state(self) -> StreamState:
        """The state from which the stream goes on, in this process or another; made when it is first asked for."""
        return StreamState(self.run.state(), self.x[..., -1])


def stream(
    model: ConditionalModel,
    conditions: Conditions | None = None,
    *,
    num_samples: int = 1,
    chunk: int = 4000,
    length: int | None = None,
    seed: Seed = 0,
    first_index: int = 0,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    state: StreamState | None = None,
    engine: str = "auto",
    progress: bool = False,
) -> Iterator[Chunk]:
    """Draw audio chunk by chunk: what `sample` draws from the same seed, without waiting for its end.

    Args:
        model: audio model; the call leaves its mode and weights as they are.
        conditions: conditions as for `sample`; local ones must cover the whole stream.
        num_samples: number of streams per row of the conditions.
        chunk: samples per piece.
        length: samples in all, counted from the stream's beginning; `None` for as far as the local conditions go, or
            for ever where there are none.
        seed: seed of the noise, or a seed per row; see `sample`.
        first_index: index of the first stream; see `sample`.
        temperature: temperature; see `sample`.
        top_k: number of levels; see `sample`.
        top_p: probability; see `sample`.
        state: state to go on from; `None` to begin.
        engine: engine to draw with, any but `naive`; see `sample`.
        progress: true to show a progress bar.

    Yields:
        Pieces of `chunk` samples; the last may be shorter.
    """
    network = streaming(model.network)
    if network is None:
        raise ValueError("streams are for audio; draw images with `sample`")
    temper = check_temper(network.output.name, temperature, top_k, top_p)
    if chunk < 1:
        raise ValueError(f"chunk {chunk} is not at least 1 sample")
    asked = prepared(model, conditions)
    layout = origins(asked, num_samples, seed, first_index)
    rows, seeds, indices = layout.at(range(layout.total))
    weight, modules = next(model.parameters()), [*model.modules()]
    with evaluating(modules, weight.device), torch.inference_mode():
        chosen = choose(engine, network, temper)
        film = model.film(take_rows(asked, rows, weight))
        network.checked(film)
        end = length
        if length is not None or network.frames(film):
            covered = network.canvas(length, film)[1]
            end = covered if length is None else length
        start = StreamState(network.start(len(indices)), None)
        begun = start if state is None else _checked(state.to(weight.device), start, network.levels)
        run, first = chosen.engine.resume(film, begun.network, begun.values), begun.network.step
    ahead, noise = range(0), torch.empty(0)
    with progress_bar(network, end and end * len(indices), progress, chosen.name) as bar:
        while end is None or first < end:
            steps = range(first, first + chunk if end is None else min(first + chunk, end))
            if steps.stop > ahead.stop:
                ahead = range(first, first + max(chunk, AHEAD))
                noise = uniform_noise(seeds, indices, (len(ahead), network.output.uniforms), skip=first)
                noise = noise.to(weight.device)
            draw = Draw(network, noise, temper, None, None, bar, ahead.start)
            with evaluating(modules, weight.device), torch.inference_mode():
                x, run = run.advance(steps, draw)
            first = steps.stop
            yield Chunk(x, draw.finished(), run)


def _checked(state: StreamState, start: StreamState, levels: int) -> StreamState:
    """Compare a state with the one that a stream would begin with."""
    found, wanted = ([[(x.shape, x.dtype) for x in layer] for layer in s.network.past] for s in (state, start))
    values = state.values
    inside = values is None or (values.dtype == torch.long and 0 <= values.min() <= values.max() < levels)
    if found != wanted or (values is None) != (state.network.step == 0) or not inside:
        raise ValueError("the state is of another network or another number of samples")
    return state
