"""Moves of single γ and β."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from condgen.conditioning import FiLMParameters, GammaBeta


class Move(NamedTuple):
    """What is added to γ and β of one feature map of a layer, or of all its maps where `number` is `None`."""

    layer: str
    number: int | None
    gamma: float = 0.0
    beta: float = 0.0


def moved(film: FiLMParameters, moves: Sequence[Move]) -> FiLMParameters:
    """Add to single γ and β of FiLM parameters.

    Raises:
        ValueError: there is no such layer or map, or what shall move is fixed.
    """
    layers = dict(film)
    for move in moves:
        if move.layer not in layers:
            raise ValueError(f"no FiLM layer is called '{move.layer}'; layers: {', '.join(film)}")
        layers[move.layer] = _moved(layers[move.layer], move)
    return FiLMParameters(layers, film.labels)


def _moved(pair: GammaBeta, move: Move) -> GammaBeta:
    """Add to γ and β of a layer; an offset before the normalisation counts as β."""
    parts = pair.parts
    for name, change in (("gamma", move.gamma), ("inner" if "inner" in parts else "beta", move.beta)):
        if not change:
            continue
        if name not in parts:
            raise ValueError(f"layer '{move.layer}' has no {name} to move: it is fixed")
        part = parts[name]
        channels = part.shape[1]
        if move.number is not None and not 0 <= move.number < channels:
            raise ValueError(f"layer '{move.layer}' has no feature map {move.number}; its maps: 0 to {channels - 1}")
        added = part.new_zeros(1, channels, *(1,) * (part.ndim - 2))
        added[:, slice(None) if move.number is None else move.number] = change
        parts[name] = part + added
    return GammaBeta(**parts)
