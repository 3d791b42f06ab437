"""What is random in a step, decided by a seed, the process and a count, so that a resumed run draws the same."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def random_of(seed: int | None, rank: int, count: int, device: torch.device) -> Iterator[None]:
    """Let all that is random inside depend on these numbers alone, and leave the process's random numbers as they were.

    Args:
        seed: seed of the run; `None` for 0.
        rank: number of the process.
        count: batches so far.
        device: device that draws, besides the CPU.
    """
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(int(np.random.SeedSequence([seed or 0, rank, count]).generate_state(1, np.uint64)[0]))
        yield
