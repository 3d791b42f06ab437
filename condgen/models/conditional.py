"""A conditional model: a FiLM-ed network and the FiLM generator that writes its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.distributions import Distribution

from condgen.conditioning import FiLMGenerator, FiLMParameters
from condgen.conditioning.generator import Kind


class ConditionalModel(nn.Module):
    """p(x | conditions). The network knows no conditions; the generator knows no data.

    Args:
        network: says where its FiLM layers are (`film_layers`) and what its parameters mean (`output`).
        conditions: an encoder per named condition.
        kind: how the conditions act; see `FiLMGenerator`.
    """

    def __init__(self, network: nn.Module, conditions: Mapping[str, nn.Module], kind: Kind = "bias") -> None:
        super().__init__()
        self.network: Any = network
        layers: Any = network.film_layers
        self.generator = FiLMGenerator(conditions, layers, kind)

    def film(self, conditions: Mapping[str, Tensor] | FiLMParameters) -> FiLMParameters:
        """Return the FiLM parameters of conditions; parameters pass through."""
        return conditions if isinstance(conditions, FiLMParameters) else self.generator(conditions)

    def forward(self, x: Tensor, conditions: Mapping[str, Tensor] | FiLMParameters) -> Distribution:
        """Return the teacher-forced distribution of x.

        Args:
            x: data on its grid, (batch, channels, *size).
            conditions: one tensor per named condition, or FiLM parameters.
        """
        return self.network.output(self.network(x, self.film(conditions)))

    def log_prob(
        self, x: Tensor, conditions: Mapping[str, Tensor] | FiLMParameters, scored: Tensor | None = None
    ) -> Tensor:
        """Return log p(x | conditions) in nats, (batch,).

        Args:
            x: data on its grid, (batch, channels, *size).
            conditions: one tensor per named condition, or FiLM parameters.
            scored: which positions count, (batch, *size) of booleans; `None` for all.

        Raises:
            ValueError: x holds anything but whole levels of the data grid.
        """
        levels = self.network.levels
        if x.numel() and (x.min() < 0 or x.max() >= levels or (x.is_floating_point() and (x % 1 != 0).any())):
            raise ValueError(f"the data must be whole levels from 0 to {levels - 1}; got {x.min()} to {x.max()}")
        log_prob = self(x, conditions).log_prob(x)
        # Some families answer for all channels of a position at once.
        places = log_prob if log_prob.ndim < x.ndim else log_prob.sum(1)
        return (places if scored is None else places.masked_fill(~scored, 0)).flatten(1).sum(1)
