"""A trial of an engine against `cached`: for those that have not been measured on such a device."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from tqdm import tqdm

from condgen.conditioning import Film, GammaBeta
from condgen.engines.draw import Draw, Temper
from condgen.models.contract import LikelihoodNetwork

ROWS, STEPS = 2, 24
Fill = Callable[[Film, Tensor, range, Draw], Tensor]


def difference(fill: Fill, expected: Fill, network: LikelihoodNetwork, temper: Temper) -> str | None:
    """Let two engines take the first steps of the same samples.

    Args:
        fill: drawing of the engine on trial; see `condgen.engines.choice.Engine`.
        expected: drawing of the engine that it must agree with.
        network: network that both have read.
        temper: options to draw with.

    Returns:
        What is wrong with the first engine; `None` if they agree.
    """
    film = _film(network)
    shape = network.canvas(None if network.sample_rate is None else STEPS, film)
    steps = range(min(STEPS, network.num_steps(shape)))
    try:
        (x, log_prob), (wanted, as_wanted) = (_drawn(draw, network, temper, film, shape, steps)
                                              for draw in (fill, expected))  # fmt: skip
    except Exception as error:  # drivers and compilers raise what they like
        return f"its trial failed: {(str(error).splitlines() or [type(error).__name__])[0]}"
    if torch.equal(x, wanted) and torch.allclose(log_prob, as_wanted, rtol=1e-3, atol=1e-3):
        return None
    return f"its first {len(steps)} steps are not those of 'cached'"


def _drawn(
    fill: Fill, network: LikelihoodNetwork, temper: Temper, film: Film, shape: tuple[int, ...], steps: range
) -> tuple[Tensor, Tensor]:
    weight, rng = next(network.parameters()), torch.Generator().manual_seed(0)
    samples = ROWS // 2 if "guidance" in temper else ROWS
    noise = torch.rand(samples, len(steps), network.output.uniforms, generator=rng, dtype=torch.float64)
    draw = Draw(network, noise.to(weight.device), temper, None, None, tqdm(disable=True))
    return fill(film, draw.canvas(shape), steps, draw), draw.finished()


def _film(network: LikelihoodNetwork) -> Film:
    """Make FiLM parameters near γ = 1 and β = 0, for the trial to cover where they act."""
    weight, rng = next(network.parameters()), torch.Generator().manual_seed(1)
    film = {}
    for name, layer in network.film_layers.items():
        gamma, beta = 0.1 * torch.randn(2, ROWS, layer.channels, generator=rng, dtype=torch.float64).to(weight)
        film[name] = GammaBeta(1 + gamma, beta)
    return film
