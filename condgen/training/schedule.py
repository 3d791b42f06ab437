"""How a learning rate goes over a run."""

from __future__ import annotations

import math
from typing import Literal

Schedule = Literal["constant", "cosine"]


def learning_rate_factor(step: int, total: float, warmup: int, schedule: str) -> float:
    """Return the share of the highest learning rate at a step: linear rise, then constant or a cosine to 0."""
    rise = min(1.0, (step + 1) / max(1, warmup))
    if schedule == "constant" or math.isinf(total):
        return rise
    progress = min(1.0, max(0.0, (step - warmup) / max(1.0, total - warmup)))
    return rise * 0.5 * (1 + math.cos(math.pi * progress))
