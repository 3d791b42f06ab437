"""Sampling from a generator: noise in, data out. The push-forward of the noise's distribution is the model's."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor
from tqdm import tqdm

from condgen.models import ConditionalGenerator
from condgen.models.conditional import Conditions, Model, as_generator
from condgen.sampling.ancestral import evaluating, sample, sample_batches
from condgen.sampling.batches import Batch, Batches, Samples, batch_count, together
from condgen.sampling.noise import uniform_noise
from condgen.sampling.rows import Seed, origins, prepared, take_rows


def push_forward(
    model: ConditionalGenerator,
    conditions: Conditions | None = None,
    *,
    num_samples: int = 1,
    seed: Seed = 0,
    first_index: int = 0,
    truncation: float | None = None,
    batch_size: int = 64,
    progress: bool = True,
) -> Samples:
    """Draw from a conditional generator, `num_samples` samples per row of the conditions.

    A sample is made from noise of its own, drawn by (seed, index) as `sample` says, and batch norm uses its running
    averages: batch size and order do not change it, up to rounding.

    Args:
        model: model to draw from; the call leaves its mode and weights as they are.
        conditions: conditions as for `sample`.
        num_samples: number of samples per row of the conditions.
        seed: seed of the noise, or a seed per row; see `sample`.
        first_index: index of the first sample; see `sample`.
        truncation: bound within ± which every entry of the noise is drawn from the normal distribution: the smaller,
            the more typical and the less varied the samples.
        batch_size: samples drawn together.
        progress: true to show a progress bar where it takes more than two seconds.

    Returns:
        Samples without `log_prob`, which a generator does not give.

    Raises:
        ValueError: an argument is out of range or does not fit the model.
    """
    batches = push_batches(
        model, conditions, num_samples=num_samples, seed=seed, first_index=first_index, truncation=truncation,
        batch_size=batch_size, progress=progress,
    )  # fmt: skip
    return together(list(batches))[1]


def push_batches(
    model: ConditionalGenerator,
    conditions: Conditions | None = None,
    *,
    only: Sequence[int] | None = None,
    num_samples: int = 1,
    seed: Seed = 0,
    first_index: int = 0,
    truncation: float | None = None,
    batch_size: int = 64,
    progress: bool = True,
) -> Iterator[Batch]:
    """Draw as `push_forward` does, whose arguments these are, and give each batch as soon as it is finished.

    Args:
        only: numbers of the batches to draw; `None` for all.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size {batch_size} is not at least 1")
    if truncation is not None and not 0 < truncation < math.inf:
        raise ValueError(f"truncation {truncation} is not more than 0")
    asked = prepared(model, conditions)
    samples, weight = origins(asked, num_samples, seed, first_index), next(model.parameters())
    wanted = Batches([0] * samples.of_rows, samples.num_samples, batch_size, only)
    count = batch_count(samples.total, batch_size) if only is None else len(only)
    with evaluating([*model.modules()], weight.device), torch.inference_mode():
        for number, places in tqdm(wanted, total=count, desc="sampling", delay=2, leave=False, disable=not progress):
            rows, seeds, indices = samples.at(places)
            z = normal_noise(seeds, indices, model.network.noise, truncation)
            film = model.film(take_rows(asked, rows, weight))
            x = model.network.quantization.encode(model(z.to(weight.device, weight.dtype), film).float())
            yield Batch(number, places, Samples(x, None, "push_forward", "the network maps noise to data at once"),
                        None)  # fmt: skip


def normal_noise(
    seed: int | Sequence[int], indices: Sequence[int], size: int, truncation: float | None = None
) -> Tensor:
    """Draw standard normal numbers, (len(indices), size), float64, one stream per sample; see `uniform_noise`.

    Args:
        seed: seed of all streams, or one per stream.
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


def batch_sampler(model: Model) -> Callable[..., Iterator[Batch]]:
    """Return what draws from a model batch by batch: `push_batches`, or `sample_batches`."""
    return sample_batches if as_generator(model) is None else push_batches
