"""Engines: ways to run an autoregressive network over its steps. All give the same samples.

An engine takes the network, the FiLM parameters of a batch, the canvas (batch, channels, *size) with what is given
filled in, the steps to draw, and `choose(step, parameters) -> values`, which it calls once a step, in order. It returns
the finished canvas.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from condgen.conditioning import FiLMParameters

Choose = Callable[[int, Tensor], Tensor]
Engine = Callable[[Any, FiLMParameters, Tensor, range, Choose], Tensor]


def naive(network: Any, film: FiLMParameters, canvas: Tensor, steps: range, choose: Choose) -> Tensor:
    """Run the whole network once a step. Slow and plain: the definition that other engines are tested against."""
    x = canvas.clone()
    for step in steps:
        position, channels, parameters = network.locate(step)
        x[(slice(None), channels, *position)] = choose(step, network(x, film)[(slice(None), parameters, *position)])
    return x


def cached(network: Any, film: FiLMParameters, canvas: Tensor, steps: range, choose: Choose) -> Tensor:
    """Run `network.step`, which keeps what earlier steps computed; what is given before the first step is computed at
    once by `network.prime`."""
    x = canvas.clone()
    first = steps.start
    state = network.prime(x[..., :first], film) if first else network.start(len(x))
    values = x[..., first - 1] if first else None
    for step in steps:
        parameters, state = network.step(values, film, state)
        values = choose(step, parameters)
        position, channels, _ = network.locate(step)
        x[(slice(None), channels, *position)] = values
    return x


ENGINES: dict[str, Engine] = {"auto": cached, "cached": cached, "naive": naive}
