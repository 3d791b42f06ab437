"""Conditions that are dropped in training: their features replaced by a learned vector, "none".

Source: Ho and Salimans, "Classifier-Free Diffusion Guidance", 2022, algorithm 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import torch
from torch import Tensor

Dropout: TypeAlias = float | Mapping[str, float]


def probabilities(dropout: Dropout, conditions: list[str]) -> dict[str, float]:
    """Return the probability to drop each condition, of those that are ever dropped."""
    given = dict(dropout) if isinstance(dropout, Mapping) else dict.fromkeys(conditions, dropout)
    for name, p in given.items():
        if name not in conditions:
            raise ValueError(f"condition_dropout names '{name}', which is no condition of the model; its conditions: "
                             f"{', '.join(conditions) or 'none'}")  # fmt: skip
        if not 0 <= p < 1:
            raise ValueError(f"condition_dropout of '{name}' is {p}: a probability, at least 0 and below 1")
    return {name: float(p) for name, p in given.items() if p}


def draw_dropped(chances: Mapping[str, float], rows: int, device: torch.device) -> dict[str, Tensor]:
    """Draw the rows in which each condition is dropped, (rows,) of booleans.

    Each row draws one number for all its conditions, so those of equal probability are dropped together.
    """
    if not chances:
        return {}
    drawn = torch.rand(rows, device=device)
    return {name: drawn < p for name, p in chances.items()}


def replaced(z: Tensor, none: Tensor, dropped: Tensor) -> Tensor:
    """Return features, (batch, features, *size), with a vector, (features,), in the rows that are dropped, (batch or
    1,)."""
    inner = (1,) * (z.ndim - 2)
    return torch.where(dropped.view(-1, 1, *inner), none.to(z).view(1, -1, *inner), z)
