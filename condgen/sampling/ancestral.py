"""Ancestral sampling: one public call, whatever the model, the engine and the conditions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from tqdm import tqdm

from condgen.conditioning import FiLMParameters
from condgen.models import ConditionalModel
from condgen.sampling.engines import ENGINES
from condgen.sampling.noise import uniform_noise

Completion = tuple[Tensor, list[list[bool]]]


class Samples(NamedTuple):
    """What `sample` returns.

    Attributes:
        x: levels on the data grid, (samples, channels, height, width).
        log_prob: log p(x | conditions) under the model itself, at temperature 1 and without top-k or top-p, in nats,
            (samples,); pixels that were given are not counted.
    """

    x: Tensor
    log_prob: Tensor


def sample(
    model: ConditionalModel,
    conditions: Mapping[str, Tensor] | FiLMParameters | None = None,
    *,
    num_samples: int | None = None,
    seed: int = 0,
    first_index: int = 0,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    given: Tensor | None = None,
    known: Tensor | None = None,
    batch_size: int = 64,
    engine: str = "auto",
    progress: bool = True,
) -> Samples:
    """Draw from a conditional model, one sample per row of the conditions.

    Sample i is drawn with noise of its own, made from (seed, first_index + i). So batch size, order and engine do not
    change it, up to rounding: in float64 not at all, in float32 where rounding decides between two levels.

    Args:
        model: the model; the call leaves its mode and weights as they are.
        conditions: one tensor per named condition, (samples, …), or FiLM parameters; `None` for no conditions.
        num_samples: how many; only needed where the conditions do not say, and then one row serves all.
        seed: of the noise.
        first_index: index of the first sample.
        temperature: divides the logits; for logistic mixtures it multiplies the scales too.
        top_k: draw from the k most probable levels; categorical outputs only.
        top_p: draw from the fewest levels whose probability reaches p; categorical outputs only.
        given: images to complete, levels (samples, channels, height, width) or (1, …) for all.
        known: which of their pixels to keep, (height, width) of booleans. A raster-order model uses a known pixel only
            for the pixels after it.
        batch_size: samples drawn together.
        engine: `auto`, `cached` (what each step computes is kept), or `naive` (the whole network at each step).
        progress: show a progress bar where it takes more than two seconds.

    Raises:
        ValueError: an argument is out of range or does not fit the model.
    """
    if engine not in ENGINES:
        raise ValueError(f"unknown engine '{engine}'; known: {', '.join(ENGINES)}")
    if batch_size < 1:
        raise ValueError(f"batch_size {batch_size} is not at least 1")
    network: Any = model.network
    temper = _temper(network.output.name, temperature, top_k, top_p)
    device = next(network.parameters()).device
    conditions = {} if conditions is None else conditions
    total = _count(conditions, num_samples)
    completion = _check_given(network, given, known, total)
    batches = []
    steps = -(-total // batch_size) * network.num_steps
    with (
        _evaluating(model),
        torch.inference_mode(),
        tqdm(
            total=steps, delay=2, desc="sampling", unit="step", disable=None if progress else True, leave=False
        ) as bar,
    ):
        for start in range(0, total, batch_size):
            rows = slice(start, min(start + batch_size, total))
            indices = range(first_index + rows.start, first_index + rows.stop)
            noise = uniform_noise(seed, indices, (network.num_steps, network.output.uniforms)).to(device)
            draw = Draw(network, noise, temper, _complete(completion, rows, device), bar)
            film = model.film(_rows(conditions, rows, device))
            x = ENGINES[engine](network, film, len(indices), draw)
            batches.append(Samples(x, draw.log_prob))
    return Samples(*(torch.cat(parts) for parts in zip(*batches, strict=True)))


class Draw:
    """Turns the parameters of a step into values, for one batch, and adds up their log-probability.

    Args:
        network: gives the output family and the place of each step.
        noise: uniforms, (batch, steps, uniforms per step).
        temper: options of `tempered` for the distribution to draw from; empty to draw from the model's own.
        completion: levels to keep, (batch or 1, channels, height, width), and where; or `None`.
        bar: told of each step.
    """

    def __init__(
        self, network: Any, noise: Tensor, temper: dict[str, Any], completion: Completion | None, bar: tqdm[Any]
    ) -> None:
        self.network, self.noise, self.temper, self.completion, self.bar = network, noise, temper, completion, bar
        self.log_prob = torch.zeros(noise.shape[0], dtype=torch.float64, device=noise.device)

    def __call__(self, step: int, parameters: Tensor) -> Tensor:
        """Choose the values of a step, (batch, channels per step), from its (batch, parameters per step)."""
        self.bar.update()
        if self.completion is not None:
            given, known = self.completion
            row, column, channels, _ = self.network.locate(step)
            if known[row][column]:
                return given[:, channels, row, column].expand(self.noise.shape[0], -1)
        distribution = self.network.output(parameters)
        tempered = distribution.tempered(**self.temper) if self.temper else distribution
        values = tempered.from_uniform(self.noise[:, step])
        self.log_prob += distribution.log_prob(values).reshape(len(values), -1).sum(1)
        return values


def _temper(output: str, temperature: float, top_k: int | None, top_p: float | None) -> dict[str, Any]:
    if not 1e-4 <= temperature < float("inf"):  # far below, the logits would overflow
        raise ValueError(f"temperature {temperature} is not at least 0.0001 (which all but draws the mode) and finite")
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k {top_k} is not at least 1")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p {top_p} is not in (0, 1]")
    if top_k is None and top_p is None:
        return {} if temperature == 1 else {"temperature": temperature}
    if output != "categorical":
        raise ValueError(f"top_k and top_p are for categorical outputs; this model's output is '{output}'")
    return {"temperature": temperature, "top_k": top_k, "top_p": top_p}


def _count(conditions: Mapping[str, Tensor] | FiLMParameters, num_samples: int | None) -> int:
    """Count the samples: as many as the conditions have rows, or any number for one row."""
    if isinstance(conditions, FiLMParameters):
        rows = {conditions.batch_size}
    else:
        rows = {len(condition) for condition in conditions.values()} or {1}
    if num_samples is None:
        num_samples = max(rows)
    if num_samples < 1 or (rows != {1} and rows != {num_samples}):
        raise ValueError(f"num_samples {num_samples} does not fit conditions with {max(rows)} rows")
    return num_samples


def _check_given(network: Any, given: Tensor | None, known: Tensor | None, total: int) -> Completion | None:
    """Check images to complete and where they are known."""
    if given is None and known is None:
        return None
    if given is None or known is None:
        raise ValueError("completion needs both `given` and `known`")
    colours, height, width = network.shape
    if given.shape[1:] != (colours, height, width) or given.shape[0] not in (1, total):
        raise ValueError(f"`given` is {tuple(given.shape)}; expected ({total} or 1, {colours}, {height}, {width})")
    if tuple(known.shape) != (height, width):
        raise ValueError(f"`known` is {tuple(known.shape)}; expected ({height}, {width})")
    if given.is_floating_point() or given.min() < 0 or given.max() >= network.levels:
        raise ValueError(f"`given` must hold whole levels from 0 to {network.levels - 1}")
    return given.long(), known.bool().tolist()


def _complete(completion: Completion | None, rows: slice, device: torch.device) -> Completion | None:
    if completion is None:
        return None
    given, known = completion
    return (given if given.shape[0] == 1 else given[rows]).to(device), known


def _rows(conditions: Mapping[str, Tensor] | FiLMParameters, rows: slice, device: torch.device) -> Any:
    """Take a batch's rows; a single row serves every batch."""
    if isinstance(conditions, FiLMParameters):
        return conditions.select(rows).to(device)
    return {name: (value if len(value) == 1 else value[rows]).to(device) for name, value in conditions.items()}


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Switch dropout and its like off, and put each module's mode back afterwards."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
