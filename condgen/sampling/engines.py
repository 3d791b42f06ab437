"""Engines: ways to run an autoregressive network over its steps. All give the same samples.

An engine takes the network, the FiLM parameters of a batch, the batch size, and `choose(step, parameters) -> values`,
which it calls once a step, in order. It returns the finished batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from condgen.conditioning import FiLMParameters

Choose = Callable[[int, Tensor], Tensor]
Engine = Callable[[Any, FiLMParameters, int, Choose], Tensor]


def naive(network: Any, film: FiLMParameters, batch: int, choose: Choose) -> Tensor:
    """Run the whole network once a step. Slow and plain: the definition that other engines are tested against."""
    x = _empty(network, batch)
    for step in range(network.num_steps):
        row, column, channels, parameters = network.locate(step)
        x[:, channels, row, column] = choose(step, network(x, film)[:, parameters, row, column])
    return x


def cached(network: Any, film: FiLMParameters, batch: int, choose: Choose) -> Tensor:
    """Run `network.step`, which keeps what earlier steps computed."""
    x = _empty(network, batch)
    state, values = network.start(batch), None
    for step in range(network.num_steps):
        parameters, state = network.step(values, film, state)
        values = choose(step, parameters)
        row, column, channels, _ = network.locate(step)
        x[:, channels, row, column] = values
    return x


def _empty(network: Any, batch: int) -> Tensor:
    device = next(network.parameters()).device
    return torch.zeros(batch, *network.shape, dtype=torch.long, device=device)


ENGINES: dict[str, Engine] = {"auto": cached, "cached": cached, "naive": naive}
