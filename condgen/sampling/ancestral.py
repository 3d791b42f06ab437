"""Ancestral sampling: one public call, whatever the model, the engine and the conditions."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils import parametrize

from condgen.conditioning import FiLMParameters
from condgen.engines.choice import choose
from condgen.engines.draw import Draw, Given, Temper, progress_bar
from condgen.models import ConditionalModel
from condgen.models.conditional import Conditions
from condgen.models.contract import LikelihoodNetwork, audio
from condgen.quantization import check_levels
from condgen.sampling.batches import Batch, Batches, Samples, together
from condgen.sampling.noise import uniform_noise
from condgen.sampling.rows import Prepared, Seed, origins, prepared, take_rows

log = logging.getLogger(__name__)


class Interrupted(KeyboardInterrupt):
    """Sampling was interrupted when some batches were finished.

    Attributes:
        rows: rows that were finished.
        samples: samples of these rows.
    """

    def __init__(self, rows: list[int], samples: Samples) -> None:
        super().__init__(f"sampling was interrupted; {len(rows)} samples are finished")
        self.rows, self.samples = rows, samples


def sample(
    model: ConditionalModel,
    conditions: Conditions | None = None,
    *,
    num_samples: int = 1,
    length: int | Sequence[int] | None = None,
    seed: Seed = 0,
    first_index: int = 0,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    guidance: float = 0.0,
    film_guidance: float = 0.0,
    without: FiLMParameters | None = None,
    given: Tensor | NDArray[Any] | None = None,
    known: Tensor | NDArray[Any] | None = None,
    batch_size: int = 64,
    engine: str = "auto",
    progress: bool = True,
) -> Samples:
    """Draw from a conditional model, `num_samples` samples per row of the conditions, those of a row together.

    Sample i is drawn with noise of its own, made from (seed, first_index + i). So batch size, order and engine do not
    change it, up to rounding: in float64 hardly ever, in float32 where rounding decides between two levels. The engine
    `compiled_bfloat16` draws from other weights, and so other samples. With a seed per row, each row's samples are
    counted for themselves: sample j of row r is made from (seed[r], first_index + j), as if the row were drawn alone.

    Args:
        model: model to draw from; the call leaves its mode and weights as they are.
        conditions: values per named condition, a row each: names of classes, a tensor or an array, (rows, …), as
            `condgen.conditioning.values` says; or FiLM parameters; `None` for no conditions. Conditions of as many
            rows go together row by row; a single row serves all.
        num_samples: number of samples per row.
        length: length of audio, in samples of the waveform: one for all, or one for each row. Only needed where no
            local condition says; then the default is all that it covers.
        seed: seed of the noise, or a seed per row.
        first_index: index of the first sample.
        temperature: divisor of the logits; for logistic mixtures and Gaussians, factor of the scales.
        top_k: number of levels, the most probable ones, to draw from; categorical outputs only.
        top_p: probability, 0.000001 at least, that the levels to draw from reach, as few as do; categorical outputs
            only.
        guidance: weight w by which the conditions are turned up: each step draws from the logits (1 + w) · (with
            conditions) − w · (without those that training dropped), which takes twice the time; −1 draws without them.
            Bernoulli and categorical outputs only. Ho and Salimans, "Classifier-Free Diffusion Guidance", 2022,
            equation 6.
        film_guidance: weight w of the same step in the FiLM parameters, f_without + (1 + w) · (f − f_without), which
            takes no time.
        without: FiLM parameters without conditions, a row each or one for all, for guidance of FiLM parameters, which
            do not say it; of conditions, the model knows it.
        given: levels to complete, (rows, …) or (1, …) for all: images, or the beginning of a waveform.
        known: positions of `given` to keep, shaped like its images or waveforms, of booleans; for a waveform,
            `None` keeps all that is given. A known position only matters to the positions after it.
        batch_size: samples drawn together, those of similar length.
        engine: engine to draw with: `auto` (the fastest exact one that the model fits), `compiled` (kernels on the
            CPU), `compiled_bfloat16` (these with weights rounded to 16 bits: another model, by a little), `graph`
            (CUDA graphs), `triton` (a kernel for a GPU that draws many samples of a WaveNet at once), `cached` (plain
            PyTorch, what each step computes is kept), `naive` (the whole network at each step), or the class path of
            one's own; see `condgen.engines.choice`. The choice and its reason are logged at level INFO.
        progress: true to show a progress bar where it takes more than two seconds.

    Raises:
        ValueError: an argument is out of range or does not fit the model.
        FloatingPointError: the model's parameters for a row are not numbers.
        Interrupted: Ctrl-C was pressed after a batch was finished; holds what was.
    """
    finished: list[Batch] = []
    try:
        for batch in sample_batches(
            model, conditions, num_samples=num_samples, length=length, seed=seed, first_index=first_index,
            temperature=temperature, top_k=top_k, top_p=top_p, guidance=guidance, film_guidance=film_guidance,
            without=without, given=given, known=known, batch_size=batch_size, engine=engine, progress=progress,
        ):  # fmt: skip
            finished.append(batch)
    except KeyboardInterrupt:
        if not finished:
            raise
        raise Interrupted(*together(finished)) from None
    return together(finished)[1]


def sample_batches(
    model: ConditionalModel,
    conditions: Conditions | None = None,
    *,
    only: Sequence[int] | None = None,
    num_samples: int = 1,
    length: int | Sequence[int] | None = None,
    seed: Seed = 0,
    first_index: int = 0,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    guidance: float = 0.0,
    film_guidance: float = 0.0,
    without: FiLMParameters | None = None,
    given: Tensor | NDArray[Any] | None = None,
    known: Tensor | NDArray[Any] | None = None,
    batch_size: int = 64,
    engine: str = "auto",
    progress: bool = True,
) -> Iterator[Batch]:
    """Draw as `sample` does, whose arguments these are, and give each batch as soon as it is finished.

    Which samples a batch holds depends on the arguments alone, so a batch may be drawn in another process and is the
    same there, bit for bit. Batches of the shortest samples come first.

    Args:
        only: numbers of the batches to draw; `None` for all.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size {batch_size} is not at least 1")
    output = model.network.output
    temper = check_temper(output.name, temperature, top_k, top_p, guidance)
    asked, weight, network = prepared(model, conditions), next(model.parameters()), model.network
    given, known = (None if x is None else torch.as_tensor(x) for x in (given, known))
    counts = {
        "lengths": 1 if length is None else np.size(length),
        "rows of `given`": 1 if given is None else len(given),
        "rows of `without`": 1 if without is None else without.batch_size,
    }
    samples = origins(asked, num_samples, seed, first_index, counts)
    with evaluating([*model.modules()], weight.device), torch.inference_mode():
        chosen = choose(engine, network, temper)
        log.info("%s", chosen)
        shape, each = _sizes(model, take_rows(asked, [0], weight), length)
        lengths = each if len(each) > 1 else each * samples.of_rows
        kept = _check_given(network, given, known, shape)
        if kept is not None and len(kept.known) > min(lengths):
            raise ValueError(f"{len(kept.known)} positions are given, more than the shortest sample's {min(lengths)}")
        wanted = Batches(lengths, num_samples, batch_size, only)
        positions = sum(lengths[i // num_samples] for _, rows in wanted for i in rows)
        with progress_bar(network, positions, progress, chosen.name) as bar:
            for number, rows in wanted:
                of, seeds, indices = samples.at(rows)
                own = [lengths[row] for row in of]
                count = max(own) * output.groups
                noise = uniform_noise(seeds, indices, (count, output.uniforms)).to(weight.device)
                draw = Draw(network, noise, temper, _given_rows(kept, of, weight.device), own, bar)
                absent = None if without is None else without.select(of).to(weight)
                film = guided_film(model, take_rows(asked, of, weight), guidance, film_guidance, len(rows), absent)
                canvas, steps = draw.canvas(shape), range(draw.first, count)
                x = (chosen.engine.fill(film, canvas, steps, draw) if steps else canvas)[:: draw.each]
                drawn = Samples(x, draw.finished(rows), chosen.name, chosen.why)
                yield Batch(number, rows, drawn, None if length is None else max(own))


def guided_film(
    model: ConditionalModel, conditions: Prepared, guidance: float, film_guidance: float, samples: int,
    without: FiLMParameters | None = None,
) -> FiLMParameters:  # fmt: skip
    """Return the FiLM parameters of conditions, turned up; with guidance of logits, two rows for each sample, one with
    its conditions and one without."""
    if not math.isfinite(film_guidance):
        raise ValueError(f"film_guidance {film_guidance} is not a finite number")
    film = model.film(conditions)
    if not guidance and not film_guidance:
        return film
    if without is None:
        if isinstance(conditions, FiLMParameters):
            raise ValueError("guidance needs conditions and not FiLM parameters, which do not say what is without "
                             "them: give these too, as `without`")  # fmt: skip
        without = model.film_generator.without(conditions)
    film = without.interpolate(film, 1 + film_guidance) if film_guidance else film
    if not guidance:
        return film
    rows, others = film.batch_size, without.batch_size  # 1 serves all samples
    pairs = [place for i in range(samples) for place in (i % rows, rows + i % others)]
    return FiLMParameters.stack([film, without]).select(pairs)


def check_temper(
    output: str, temperature: float, top_k: int | None, top_p: float | None, guidance: float = 0.0
) -> Temper:
    """Check how to draw; return the options to draw with, none of them for the model's own distribution."""
    if guidance:
        if not -1 <= guidance < float("inf"):
            raise ValueError(f"guidance {guidance} is not at least -1, which draws without conditions, and finite")
        if output not in ("categorical", "bernoulli"):
            raise ValueError(f"guidance is for categorical and Bernoulli outputs, whose logits it moves; this model's "
                             f"output is '{output}': use film_guidance")  # fmt: skip
        return {**check_temper(output, temperature, top_k, top_p), "guidance": float(guidance)}
    if not 1e-4 <= temperature < float("inf"):  # far below, the logits would overflow
        raise ValueError(f"temperature {temperature} is not at least 0.0001 (which all but draws the mode) and finite")
    if top_k is not None and (isinstance(top_k, bool) or not isinstance(top_k, int | np.integer) or top_k < 1):
        raise ValueError(f"top_k {top_k} is not a whole number of at least 1")
    if top_p is not None and not 1e-6 <= top_p <= 1:
        raise ValueError(f"top_p {top_p} is not from 0.000001 to 1")
    if top_k is None and top_p is None:
        return {} if temperature == 1 else {"temperature": float(temperature)}
    if output != "categorical":
        raise ValueError(f"top_k and top_p are for categorical outputs; this model's output is '{output}'")
    # Beyond the largest number of levels, all are kept; kernels take whole numbers of 64 bits and plain floats alone.
    whole, share = None if top_k is None else min(int(top_k), 2**31), None if top_p is None else float(top_p)
    return {"temperature": float(temperature), "top_k": whole, "top_p": share}


def _sizes(
    model: ConditionalModel, first: Prepared, length: int | Sequence[int] | None
) -> tuple[tuple[int, ...], list[int]]:
    """Return the shape of the canvas and how many of its positions each row takes, or all of them."""
    if length is None:
        shape = model.network.canvas(None, model.film(first))
        return shape, [math.prod(shape[1:])]
    each = [int(n) for n in np.atleast_1d(length)]
    if min(each) < 1:
        raise ValueError(f"length {min(each)} is not at least 1 sample")
    return model.network.canvas(max(each), model.film(first)), each


def _check_given(
    network: LikelihoodNetwork, given: Tensor | None, known: Tensor | None, shape: tuple[int, ...]
) -> Given | None:
    """Check what is to be completed and where it is known."""
    if given is None and known is None:
        return None
    if given is None or (known is None and audio(network) is None):
        raise ValueError("completion needs both `given` and `known`")
    # Of a waveform, a beginning may be given; of an image, all.
    size = given.shape[2:] if len(shape) == 2 and given.ndim == 3 else shape[1:]
    if tuple(given.shape[1:]) != (shape[0], *size) or size > shape[1:]:
        raise ValueError(f"`given` is {tuple(given.shape)}; expected (rows or 1, {', '.join(map(str, shape))})")
    if known is not None and tuple(known.shape) != tuple(size):
        raise ValueError(f"`known` is {tuple(known.shape)}; expected {tuple(size)}")
    check_levels(given, network.levels, "`given`")
    marks = [True] * math.prod(size) if known is None else known.bool().flatten().tolist()
    return Given(given.long().flatten(2), marks)


def _given_rows(given: Given | None, rows: list[int], device: torch.device) -> Given | None:
    if given is None:
        return None
    return given._replace(levels=(given.levels if len(given.levels) == 1 else given.levels[rows]).to(device))


@contextmanager
def evaluating(modules: Sequence[nn.Module], device: torch.device) -> Iterator[None]:
    """Switch dropout and its like off, and lower precision; put each module's mode back afterwards.

    Args:
        modules: modules of a model, all of them; to find them takes as long as to draw a dozen samples of a waveform.
        device: device of the model.
    """
    training = [module for module in modules if module.training]
    for module in training:
        module.training = False
    try:
        # With parametrisations cached, weight norm is worked out once and not once a step.
        with full_precision(), torch.autocast(device.type, enabled=False), parametrize.cached():
            yield
    finally:
        for module in training:
            module.training = True


@contextmanager
def full_precision() -> Iterator[None]:
    """Keep convolutions on GPUs from TF32, PyTorch's default there: its 10 bits would make engines differ."""
    cudnn: Any = torch.backends.cudnn
    if cudnn.conv.fp32_precision != "tf32":
        yield
        return
    kept = {name: getattr(cudnn, name) for name in ("enabled", "benchmark", "deterministic")}
    with cudnn.flags(**kept, allow_tf32=False, fp32_precision=None):
        yield
