"""Canvases: where a run over one begins, and how an engine fills one whose positions come in raster order."""

from __future__ import annotations

from torch import Tensor

from condgen.conditioning import Film
from condgen.engines.choice import Engine
from condgen.engines.draw import Draw
from condgen.models.contract import SequentialNetwork, State, streaming


def beginning(network: SequentialNetwork, film: Film, canvas: Tensor, first: int) -> tuple[State, Tensor | None]:
    """Return the state before a step and the levels of the step before it, `None` before the first.

    Args:
        network: network to draw from.
        film: (γ, β) per FiLM layer for the whole canvas.
        canvas: levels, (batch, channels, *size), of which those before the step are taken in at once.
        first: step to begin with; another than 0 for audio alone.
    """
    heard = streaming(network)
    if not first or heard is None:
        return network.start(len(canvas)), None
    return heard.prime(canvas[..., :first], film), canvas[..., first - 1]


def fill(engine: Engine, network: SequentialNetwork, film: Film, canvas: Tensor, steps: range, draw: Draw) -> Tensor:
    """Draw a canvas whose positions come in raster order, `groups` steps each; see `condgen.engines.choice`."""
    values, _ = engine.resume(film, *beginning(network, film, canvas, steps.start)).advance(steps, draw)
    groups, filled = draw.groups, canvas.flatten(2).clone()
    by_position = values.unflatten(-1, (-1, groups)).permute(0, 3, 1, 2).flatten(1, 2)
    filled[..., steps.start // groups : steps.stop // groups] = by_position
    return filled.view(canvas.shape)
