"""Sampling from a generator: noise in, data out. The push-forward of the noise's distribution is the model's."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from tqdm import tqdm

from condgen.models import ConditionalGenerator
from condgen.models.conditional import Conditions, Model, as_generator
from condgen.sampling.ancestral import Samples, count_samples, evaluating, sample, take_rows
from condgen.sampling.noise import uniform_noise


def push_forward(
    model: ConditionalGenerator,
    conditions: Conditions | None = None,
    *,
    num_samples: int | None = None,
    seed: int = 0,
    first_index: int = 0,
    truncation: float | None = None,
    batch_size: int = 64,
    progress: bool = True,
) -> Samples:
    """Draw from a conditional generator, one sample per row of the conditions.

    Sample i is made from noise of its own, drawn by (seed, first_index + i), and batch norm uses its running averages:
    batch size and order do not change it, up to rounding.

    Args:
        model: model to draw from; the call leaves its mode and weights as they are.
        conditions: one tensor per named condition, (samples, …), or FiLM parameters; `None` for no conditions.
        num_samples: number of samples; only needed where the conditions do not say, and then one row serves all.
        seed: seed of the noise.
        first_index: index of the first sample.
        truncation: bound within ± which every entry of the noise is drawn from the normal distribution: the smaller,
            the more typical and the less varied the samples.
        batch_size: samples drawn together.
        progress: true to show a progress bar where it takes more than two seconds.

    Returns:
        Samples without `log_prob`, which a generator does not give.

    Raises:
        ValueError: an argument is out of range or does not fit the model.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size {batch_size} is not at least 1")
    if truncation is not None and not 0 < truncation < math.inf:
        raise ValueError(f"truncation {truncation} is not more than 0")
    conditions = {} if conditions is None else conditions
    total = count_samples(conditions, num_samples)
    weight = next(model.parameters())
    x = []
    with evaluating([*model.modules()], weight.device), torch.inference_mode():
        starts = range(0, total, batch_size)
        for start in tqdm(starts, desc="sampling", delay=2, leave=False, disable=not progress):
            rows = [*range(start, min(start + batch_size, total))]
            z = normal_noise(seed, [first_index + row for row in rows], model.network.noise, truncation)
            film = model.film(take_rows(conditions, rows, weight))
            data = model(z.to(weight.device, weight.dtype), film)
            x.append(model.network.quantization.encode(data.float()))
    return Samples(torch.cat(x), None, "push_forward", "the network maps noise to data at once")


def normal_noise(seed: int, indices: Sequence[int], size: int, truncation: float | None = None) -> Tensor:
    """Draw standard normal numbers, (len(indices), size), float64, one stream per sample; see `uniform_noise`.

    Args:
        seed: seed of all streams.
        indices: indices of the samples.
        size: numbers per sample.
        truncation: bound within ± which each number is conditioned to lie; `None` for none.
    """
    uniform = uniform_noise(seed, indices, (size,)).clamp(min=2.0**-54)  # at 0 the normal number would be infinite
    if truncation is not None:
        beyond = torch.special.ndtr(torch.tensor(-truncation, dtype=torch.float64))
        uniform = beyond + uniform * (1 - 2 * beyond)
    return torch.special.ndtri(uniform)


def sampler(model: Model) -> Callable[..., Samples]:
    """Return what draws from a model: `push_forward` from a generator, `sample` from a likelihood model."""
    return sample if as_generator(model) is None else push_forward
