"""Noise by (seed, sample index): that of a sample does not depend on batch size, order, device or engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def uniform_noise(seed: int | Sequence[int], indices: Sequence[int], shape: tuple[int, ...], skip: int = 0) -> Tensor:
    """Draw uniform numbers in [0, 1), float64, (len(indices), *shape), one stream per sample.

    Philox is a counter-based generator whose key is (seed, index), so streams need no seeding in order, a longer draw
    begins with the shorter one, and a draw may begin anywhere.

    Args:
        seed: seed of all streams, or one per stream.
        indices: indices of the samples.
        shape: shape of the numbers of each.
        skip: entries along the first axis of `shape` that were drawn before.

    Raises:
        ValueError: the seed or an index is no whole number from 0 to 2^63 − 1.
    """
    seeds: list[Any] = [seed] * len(indices) if np.ndim(seed) == 0 else [*cast(Sequence[int], seed)]
    for name, key in (*(("seed", seed) for seed in seeds), *(("sample index", index) for index in indices)):
        if not isinstance(key, int | np.integer) or not 0 <= key < 2**63:
            raise ValueError(f"{name} {key} is not a whole number from 0 to 2^63 − 1")
    streams = [_stream(seed, index, shape, skip) for seed, index in zip(seeds, indices, strict=True)]
    return torch.from_numpy(np.stack(streams)) if streams else torch.zeros(0, *shape, dtype=torch.float64)


def _stream(seed: int, index: int, shape: tuple[int, ...], skip: int) -> NDArray[np.float64]:
    # Each value of the counter gives four numbers.
    blocks, rest = divmod(skip * int(np.prod(shape[1:], dtype=int)), 4)
    rng = np.random.Generator(np.random.Philox(key=np.array([seed, index], dtype=np.uint64)).advance(blocks))
    rng.random(rest)
    return rng.random(shape)
