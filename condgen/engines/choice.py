"""Engines: ways to run an autoregressive network over its steps, and their choice. All give the same samples, up to
rounding; but for `compiled_bfloat16`, which rounds the weights first.

An engine is a class that keeps `Engine`. One of one's own needs no line here: its class path is its name.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol, TypeVar, cast

import torch
from torch import Tensor, nn

from condgen.conditioning import Film
from condgen.conditioning.contract import missing
from condgen.engines.draw import Draw, Temper
from condgen.engines.trial import difference
from condgen.models import PixelCNN, WaveNet
from condgen.models.contract import LikelihoodNetwork, State

Network = TypeVar("Network", contravariant=True)


class Run(Protocol):
    """A batch that an engine draws, where it stands. A value: going on from it twice gives the same twice."""

    def advance(self, steps: range, draw: Draw) -> tuple[Tensor, Run]:
        """Take some steps more.

        Args:
            steps: steps that come next.
            draw: chooser of values, whose noise covers these steps.

        Returns:
            The values of these steps, (batch, channels per step, steps); and the run behind them.
        """
        ...

    def state(self) -> State:
        """Return the network's own state here, from which any engine can go on."""
        ...


class Engine(Protocol[Network]):
    """A way to run networks of one kind. The class says whether it can; an instance is what it prepared of a network:
    its present weights as the engine reads them, for every batch and every chunk of a call.

    Attributes:
        how: words on how it runs, such as `numba, 2 thread(s)`.
    """

    @property
    def how(self) -> str: ...

    @classmethod
    def obstacle(cls, network: Network, temper: Temper) -> str | None:
        """Say why it cannot draw from a network under such options, if it cannot."""
        ...

    @classmethod
    def prepare(cls, network: Network) -> Engine[Network]:
        """Read a network, for which there is no obstacle. Called without gradients."""
        ...

    def fill(self, film: Film, canvas: Tensor, steps: range, draw: Draw) -> Tensor:
        """Draw what some steps choose of a canvas, all of them in order.

        Args:
            film: (γ, β) per FiLM layer for the whole canvas.
            canvas: levels, (batch, channels, *size), known before the first step; stays as it is.
            steps: steps to draw, one after the other; those before them, if any, are of a network that has `prime`.
            draw: chooser of values.

        Returns:
            The canvas with the values of these steps.
        """
        ...

    def resume(self, film: Film, state: State, values: Tensor | None) -> Run:
        """Go on from a state.

        Args:
            film: (γ, β) per FiLM layer for the whole canvas.
            state: state of the network before the next step.
            values: levels of the step before, (batch, channels per step); `None` before the first.
        """
        ...


# A class path for each kind of network; `nn.Module` stands for every kind. Imported when an engine is asked for: numba
# takes a second, and Triton is not everywhere.
ENGINES: dict[str, Mapping[type[nn.Module], str]] = {
    "cached": {nn.Module: "condgen.engines.plain.Cached"},
    "naive": {nn.Module: "condgen.engines.plain.Naive"},
    "compiled": {
        WaveNet: "condgen.engines.compiled_wavenet.CompiledWaveNet",
        PixelCNN: "condgen.engines.compiled_pixelcnn.CompiledPixelCNN",
    },
    "compiled_bfloat16": {
        WaveNet: "condgen.engines.compiled_wavenet.RoundedWaveNet",
        PixelCNN: "condgen.engines.compiled_pixelcnn.RoundedPixelCNN",
    },
    "graph": {
        WaveNet: "condgen.engines.graph_wavenet.GraphWaveNet",
        PixelCNN: "condgen.engines.graph_pixelcnn.GraphPixelCNN",
    },
    "triton": {WaveNet: "condgen.engines.triton_wavenet.TritonWaveNet"},
}
NAMES = ["auto", *ENGINES]
FASTEST = {"cuda": "graph"}  # what `auto` wants by kind of device; `compiled` on all others
ON_TRIAL = ("graph",)  # not measured yet: `auto` lets these take a few steps beside `cached` first
PLAIN = ("cached", "naive")  # what others give way to, in this order
NO_TEMPER: Temper = {}


@dataclass(frozen=True)
class Chosen:
    """An engine that was chosen and has read the network.

    Attributes:
        name: name in `ENGINES`, or class path.
        why: reason for it, in a few words.
        engine: engine that has read the network.
    """

    name: str
    why: str
    engine: Engine[LikelihoodNetwork]

    def __str__(self) -> str:
        return f"engine '{self.name}' ({self.why})"


def choose(name: str, network: LikelihoodNetwork, temper: Temper = NO_TEMPER) -> Chosen:
    """Choose the engine for a network, the named one or, for `auto`, the fastest exact one; let it read the network.

    An engine that does not fit gives way to `cached`, and this to `naive`: with a warning where it was asked for by
    name, or where `auto` found that its first steps are other ones.

    Args:
        name: name of the engine, its class path, or `auto`.
        network: network to draw from.
        temper: options to draw with.

    Raises:
        ValueError: there is no engine of that name.
    """
    if name not in NAMES and "." not in name:
        raise ValueError(f"unknown engine '{name}'; known: {', '.join(NAMES)}")
    device = next(network.parameters()).device.type
    wanted = name if name != "auto" else FASTEST.get(device, "compiled")
    obstacles: list[str] = []
    for candidate in dict.fromkeys((wanted, *PLAIN)):
        engine = _prepared(candidate, network, temper)
        if name == "auto" and candidate in ON_TRIAL and not isinstance(engine, str):
            engine = _tried(candidate, engine, network, temper)
        if not isinstance(engine, str):
            break
        obstacles.append(f"'{candidate}' is out: {engine}" if obstacles else engine)
    assert not isinstance(engine, str)  # nothing keeps the naive engine from any network
    if not obstacles:
        return Chosen(candidate, "as asked" if name != "auto" else engine.how, engine)
    told = "; ".join(obstacles)
    if name != "auto":
        warnings.warn(f"engine '{name}' cannot sample this model ({told}); using '{candidate}'", stacklevel=3)
    return Chosen(candidate, f"'{wanted}' is out: {told}", engine)


def _prepared(name: str, network: LikelihoodNetwork, temper: Temper) -> Engine[LikelihoodNetwork] | str:
    """Return an engine that has read a network or, if it cannot draw from it, why."""
    found = _find(name, network, temper)
    if isinstance(found, str):
        return found
    with torch.inference_mode():
        return found.prepare(network)


def _tried(
    name: str, engine: Engine[LikelihoodNetwork], network: LikelihoodNetwork, temper: Temper
) -> Engine[LikelihoodNetwork] | str:
    """Return an engine if it draws what `cached` draws, or else, with a warning, why not."""
    plain = _prepared("cached", network, temper)
    if isinstance(plain, str):
        return engine
    with torch.inference_mode():
        wrong = difference(engine.fill, plain.fill, network, temper)
    if wrong is None:
        return engine
    warnings.warn(f"engine '{name}' is not used on this device: {wrong}; please report it", stacklevel=4)
    return wrong


def _find(name: str, network: LikelihoodNetwork, temper: Temper) -> type[Engine[LikelihoodNetwork]] | str:
    """Return an engine's class or, if it cannot draw from a network, why."""
    paths = ENGINES.get(name, {nn.Module: name})
    path = paths.get(cast(type[nn.Module], type(network)), paths.get(nn.Module))
    if path is None:
        return f"it has no kernel for {type(network).__name__}"
    module, _, attribute = path.rpartition(".")
    try:
        engine: type[Engine[LikelihoodNetwork]] = getattr(import_module(module), attribute)
    except Exception as error:  # compilers check what is installed beside them, and raise what they like
        cause = (str(error).splitlines() or [type(error).__name__])[0]
        return f"it cannot be used: {cause}"
    if lacks := missing(engine, Engine):
        return f"it has no {', '.join(lacks)}, which an engine needs"
    return engine.obstacle(network, temper) or engine
