"""Streaming: audio in chunks as it is drawn, from a state that can be saved and taken up again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from condgen.engines.choice import choose
from condgen.engines.draw import Draw, progress_bar
from condgen.models import ConditionalModel
from condgen.models.wavenet import WaveNetState
from condgen.sampling.ancestral import (
    Conditions,
    check_temper,
    count_samples,
    evaluating,
    take_rows,
)
from condgen.sampling.noise import uniform_noise


@dataclass(frozen=True)
class StreamState:
    """Where a stream stands. A value: going on from it twice gives the same audio twice.

    Attributes:
        network: the network's state.
        values: levels drawn last, (batch, 1); `None` before the first.
    """

    network: WaveNetState
    values: Tensor | None

    def to(self, device: torch.device) -> StreamState:
        """Move it to a device."""
        tensors = {name: tensor.to(device) for name, tensor in self.network.tensors().items()}
        return StreamState(WaveNetState.of(tensors), None if self.values is None else self.values.to(device))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a file, through a temporary name."""
        temporary = Path(f"{os.fspath(path)}.partial")
        values = {} if self.values is None else {"values": self.values}
        torch.save({**self.network.tensors(), **values}, temporary)
        os.replace(temporary, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> StreamState:
        """Read what `save` wrote. No code in it is run.

        Raises:
            ValueError: the file is missing or holds no state.
        """
        try:
            tensors = torch.load(path, map_location="cpu", weights_only=True)
            return cls(WaveNetState.of(tensors), tensors.get("values"))
        except Exception as error:  # a broken file can make the unpickler raise anything
            cause = (str(error).splitlines() or [type(error).__name__])[0]
            raise ValueError(f"{path} holds no state of a stream ({cause})") from None


class Chunk(NamedTuple):
    """A piece of a stream.

    Attributes:
        x: levels, (batch, 1, time).
        log_prob: of this piece given all before it, in nats, (batch,).
        state: from which the stream goes on.
    """

    x: Tensor
    log_prob: Tensor
    state: StreamState


def stream(
    model: ConditionalModel,
    conditions: Conditions | None = None,
    *,
    num_samples: int | None = None,
    chunk: int = 4000,
    length: int | None = None,
    seed: int = 0,
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
        model: an audio model.
        conditions: see `sample`; local conditions must cover the whole stream.
        num_samples: see `sample`.
        chunk: samples per piece.
        length: samples in all, counted from the stream's beginning; `None` for as far as the local conditions go, or
            for ever where there are none.
        seed: see `sample`.
        first_index: see `sample`.
        temperature: see `sample`.
        top_k: see `sample`.
        top_p: see `sample`.
        state: where to go on; `None` to begin.
        engine: see `sample`; all but `naive`.
        progress: show a progress bar.

    Yields:
        Pieces of `chunk` samples; the last may be shorter.
    """
    network: Any = model.network
    if not hasattr(network, "prime"):
        raise ValueError("streams are for audio; draw images with `sample`")
    temper = check_temper(network.output.name, temperature, top_k, top_p)
    chosen = choose(engine, network, temper)
    if chosen.advance is None:
        raise ValueError(f"engine '{engine}' keeps no state, which a stream needs: use 'cached'")
    if chunk < 1:
        raise ValueError(f"chunk {chunk} is not at least 1 sample")
    conditions = {} if conditions is None else conditions
    indices = range(first_index, first_index + count_samples(conditions, num_samples))
    weight = next(model.parameters())
    with evaluating(model), torch.inference_mode():
        film = model.film(take_rows(conditions, list(range(len(indices))), weight))
    network.checked(film)
    end = length
    if length is not None or network.frames(film):
        covered = network.canvas(length, film)[1]
        end = covered if length is None else length
    start = StreamState(network.start(len(indices)), None)
    state = start if state is None else _checked(state.to(weight.device), start, network.levels)
    with progress_bar(network, end and end * len(indices), progress, chosen.name) as bar:
        while end is None or state.network.step < end:
            first = state.network.step
            count = chunk if end is None else min(chunk, end - first)
            noise = uniform_noise(seed, indices, (count, network.output.uniforms), skip=first).to(weight.device)
            draw = Draw(network, noise, temper, None, None, bar, first)
            with evaluating(model), torch.inference_mode():
                steps = range(first, first + count)
                x, after = chosen.advance(network, film, state.network, state.values, steps, draw)
                state = StreamState(after, x[..., -1])
            yield Chunk(x, draw.finished(), state)


def _checked(state: StreamState, start: StreamState, levels: int) -> StreamState:
    """Compare a state with the one that a stream would begin with."""
    found, wanted = ([[(x.shape, x.dtype) for x in layer] for layer in s.network.past] for s in (state, start))
    values = state.values
    inside = values is None or (not values.is_floating_point() and 0 <= values.min() <= values.max() < levels)
    if found != wanted or (values is None) != (state.network.step == 0) or not inside:
        raise ValueError("the state is of another network or another number of samples")
    return state
