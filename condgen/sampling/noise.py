"""Noise by (seed, sample index): what is drawn does not depend on batch size, order, device or engine."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def uniform_noise(seed: int, indices: Sequence[int], shape: tuple[int, ...]) -> Tensor:
    """Draw uniform numbers in [0, 1), float64, (len(indices), *shape), one stream per sample.

    Philox is a counter-based generator whose key is (seed, index), so streams need no seeding in order and a longer
    draw begins with the shorter one.

    Raises:
        ValueError: the seed or an index is no whole number from 0 to 2^63 − 1.
    """
    if any(not isinstance(key, int | np.integer) or not 0 <= key < 2**63 for key in (seed, *indices)):
        raise ValueError(f"the seed and the sample indices must be whole numbers from 0 to 2^63 − 1; got seed {seed}")
    keys = (np.array([seed, index], dtype=np.uint64) for index in indices)
    streams = [np.random.Generator(np.random.Philox(key=key)).random(shape) for key in keys]
    return torch.from_numpy(np.stack(streams)) if streams else torch.zeros(0, *shape, dtype=torch.float64)
