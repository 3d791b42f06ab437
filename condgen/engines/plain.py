"""The engines in plain PyTorch, for every network and device: `naive`, the definition, and `cached`."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from condgen.conditioning import Film
from condgen.conditioning.contract import missing
from condgen.engines.draw import Draw, Temper
from condgen.engines.raster import beginning
from condgen.models.contract import LikelihoodNetwork, SequentialNetwork, State


@dataclass(frozen=True)
class Naive:
    """Runs the whole network once a step. Slow: the definition that other engines are tested against."""

    network: LikelihoodNetwork
    how = "the whole network at each step"

    @classmethod
    def obstacle(cls, network: LikelihoodNetwork, temper: Temper) -> str | None:
        """Say nothing: it runs every likelihood network."""
        return None

    @classmethod
    def prepare(cls, network: LikelihoodNetwork) -> Naive:
        """Take the network as it is."""
        return cls(network)

    def fill(self, film: Film, canvas: Tensor, steps: range, draw: Draw) -> Tensor:
        """Draw a canvas; see `condgen.engines.choice`."""
        x = canvas.clone()
        for step in steps:
            position, channels, parameters = self.network.locate(step)
            answer = self.network(x, film)[_at(parameters, position)]
            x[_at(channels, position)] = draw(step, answer)
        return x

    def resume(self, film: Film, state: State, values: Tensor | None) -> CachedRun:
        """Refuse: what it would go on from is all that was drawn."""
        raise ValueError("engine 'naive' keeps no state, which a stream needs: use 'cached'")


@dataclass(frozen=True)
class Cached:
    """Runs `network.step`, which keeps what earlier steps computed."""

    network: SequentialNetwork
    how = "plain PyTorch, step by step"

    @classmethod
    def obstacle(cls, network: LikelihoodNetwork, temper: Temper) -> str | None:
        """Say what a network lacks that goes on from step to step."""
        lacks = missing(network, SequentialNetwork)
        return f"{type(network).__name__} has no {', '.join(lacks)}" if lacks else None

    @classmethod
    def prepare(cls, network: SequentialNetwork) -> Cached:
        """Take the network as it is."""
        return cls(network)

    def fill(self, film: Film, canvas: Tensor, steps: range, draw: Draw) -> Tensor:
        """Draw a canvas; see `condgen.engines.choice`."""
        x = canvas.clone()
        values, _ = self.resume(film, *beginning(self.network, film, canvas, steps.start)).advance(steps, draw)
        for step, chosen in zip(steps, values.unbind(-1), strict=True):
            position, channels, _ = self.network.locate(step)
            x[_at(channels, position)] = chosen
        return x

    def resume(self, film: Film, state: State, values: Tensor | None) -> CachedRun:
        """Go on from a state; see `condgen.engines.choice`."""
        return CachedRun(self.network, film, state, values)


@dataclass(frozen=True)
class CachedRun:
    """A run whose state is the network's own; see `condgen.engines.choice.Run`."""

    network: SequentialNetwork
    film: Film
    at: State
    last: Tensor | None

    def advance(self, steps: range, draw: Draw) -> tuple[Tensor, CachedRun]:
        """Take some steps more."""
        state, last, values = self.at, self.last, []
        for step in steps:
            parameters, state = self.network.step(last, self.film, state)
            last = draw(step, parameters)
            values.append(last)
        return torch.stack(values, dim=-1), CachedRun(self.network, self.film, state, last)

    def state(self) -> State:
        """Return the network's state."""
        return self.at


def _at(channels: slice, position: tuple[int, ...]) -> tuple[slice | int, ...]:
    return slice(None), channels, *position
