"""Output distributions of likelihood models, over whole levels 0 … L − 1.

A network returns parameters, (batch, parameters, *size). An `OutputFamily` turns them into a distribution over data of
shape (batch, channels, *size). Each distribution has `log_prob`, whose exponentials sum to 1 over all levels;
`from_uniform`, which turns given uniform numbers into a sample on the grid, so that random numbers are an argument; and
`tempered`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, get_args

import torch
from torch import Tensor, distributions
from torch.nn import functional as F

Output = Literal["bernoulli", "categorical", "logistic_mixture", "gaussian"]


class Bernoulli(distributions.Bernoulli):
    """Levels 0 and 1, from logits shaped like the data."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__(logits=logits, validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return log-probabilities, shaped like the data."""
        return super().log_prob(value.to(self.logits.dtype))

    def from_uniform(self, uniform: Tensor) -> Tensor:
        """Map uniforms (batch, *size, channels) in [0, 1) to levels, by the inverse of the distribution function."""
        return (uniform.movedim(-1, 1) >= torch.sigmoid(-self.logits)).long()

    def tempered(self, temperature: float) -> Bernoulli:
        """Divide the logits by a temperature."""
        return Bernoulli(self.logits / temperature)


class Categorical(distributions.Categorical):
    """L levels, from logits (batch, channels, *size, L)."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__(logits=logits, validate_args=False)

    def from_uniform(self, uniform: Tensor) -> Tensor:
        """Map uniforms (batch, *size, channels) in [0, 1) to levels, by the inverse of the distribution function."""
        return _invert(self.probs, uniform.movedim(-1, 1))

    def tempered(self, temperature: float, top_k: int | None = None, top_p: float | None = None) -> Categorical:
        """Divide the logits by a temperature, then keep the `top_k` most probable levels, then the smallest set of
        these whose probability reaches `top_p`. Levels as probable as the last one kept are also kept."""
        logits = self.logits / temperature
        if top_k is not None and top_k < logits.shape[-1]:
            least = logits.topk(top_k, dim=-1).values[..., -1:]
            logits = logits.masked_fill(logits < least, -math.inf)
        if top_p is not None and top_p < 1:
            ordered = logits.sort(dim=-1, descending=True).values
            before = ordered.softmax(-1).cumsum(-1) - ordered.softmax(-1)
            least = ordered.masked_fill(before >= top_p, math.inf).amin(-1, keepdim=True)
            logits = logits.masked_fill(logits < least, -math.inf)
        return Categorical(logits)


class DiscretizedLogisticMixture(distributions.Distribution):
    """A mixture of logistics integrated over the bin of each level; the channels of a position are drawn in order, and
    the mean of each depends linearly on those before it.

    Levels lie on [−1, 1], 2 / (L − 1) apart; the first and last bin take the tails.

    Source: Salimans et al., "PixelCNN++", 2017, equations 2 and 3.

    Args:
        logits: logits of the components, (batch, components, *size).
        means: means, (batch, components, channels, *size).
        log_scales: logarithms of the scales, same shape.
        coefficients: coefficients of the earlier channels, row by row of the lower triangle,
            (batch, components, channels · (channels − 1) / 2, *size).
        levels: number of levels, L.
    """

    arg_constraints = {}  # noqa: RUF012

    def __init__(self, logits: Tensor, means: Tensor, log_scales: Tensor, coefficients: Tensor, levels: int) -> None:
        self.logits, self.means, self.log_scales = logits, means, log_scales
        self.coefficients, self.levels = coefficients, levels
        batch, _, channels, *size = means.shape
        super().__init__(torch.Size([batch, *size]), torch.Size([channels]), validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return joint log-probabilities of the channels: (batch, channels, *size) to (batch, *size)."""
        x = self._scaled(value)[:, None]
        means = torch.stack([self._mean(c, x) for c in range(self.means.shape[2])], dim=2)
        half, inverse = 1 / (self.levels - 1), torch.exp(-self.log_scales)
        upper, lower = (x - means + half) * inverse, (x - means - half) * inverse
        # σ(b) − σ(a) = σ(b) σ(−a) (1 − e^(a − b)): exact in both tails, with no special case for narrow or far bins.
        inside = F.logsigmoid(upper) + F.logsigmoid(-lower) + torch.log(-torch.expm1(-2 * half * inverse))
        bins = torch.where(value[:, None] == 0, F.logsigmoid(upper), inside)
        bins = torch.where(value[:, None] == self.levels - 1, F.logsigmoid(-lower), bins)
        return torch.logsumexp(F.log_softmax(self.logits, 1) + bins.sum(2), dim=1)

    def from_uniform(self, uniform: Tensor) -> Tensor:
        """Map uniforms (batch, *size, 1 + channels) in [0, 1) to levels (batch, channels, *size): the first picks the
        component, the others invert the logistics. Each channel is rounded to the grid before the next one uses it."""
        component = _invert(self.logits.softmax(1).movedim(1, -1), uniform[..., 0])[:, None, None]
        means, log_scales, coefficients = (
            part.gather(1, component.expand(-1, -1, *part.shape[2:]))[:, 0]
            for part in (self.means, self.log_scales, self.coefficients)
        )
        drawn: list[Tensor] = []
        for c in range(self.means.shape[2]):
            mean = means[:, c]
            for k, earlier in enumerate(drawn):
                mean = mean + coefficients[:, c * (c - 1) // 2 + k] * self._scaled(earlier)
            x = mean + log_scales[:, c].exp() * torch.logit(uniform[..., 1 + c]).to(mean.dtype)
            drawn.append(_on_grid(x, self.levels))
        return torch.stack(drawn, dim=1)

    def tempered(self, temperature: float) -> DiscretizedLogisticMixture:
        """Divide the components' logits by a temperature and multiply the scales by it."""
        return DiscretizedLogisticMixture(
            self.logits / temperature, self.means, self.log_scales + math.log(temperature), self.coefficients,
            self.levels,
        )  # fmt: skip

    def _scaled(self, value: Tensor) -> Tensor:
        return value.to(self.means.dtype) * (2 / (self.levels - 1)) - 1

    def _mean(self, channel: int, x: Tensor) -> Tensor:
        """Return the mean of one channel given the earlier ones, x (batch, 1, channels, *size)."""
        mean = self.means[:, :, channel]
        for k in range(channel):
            mean = mean + self.coefficients[:, :, channel * (channel - 1) // 2 + k] * x[:, :, k]
        return mean


class DiscretizedGaussian(distributions.Distribution):
    """A Gaussian integrated over the bin of each level; levels lie as in `DiscretizedLogisticMixture`.

    Args:
        mean: mean, shaped like the data.
        log_scale: logarithm of the standard deviation, same shape.
        levels: number of levels, L.
    """

    arg_constraints = {}  # noqa: RUF012

    def __init__(self, mean: Tensor, log_scale: Tensor, levels: int) -> None:
        self.mean_level, self.log_scale, self.levels = mean, log_scale, levels
        super().__init__(mean.shape, validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return log-probabilities, shaped like the data."""
        half, inverse = 1 / (self.levels - 1), torch.exp(-self.log_scale)
        distance = value.to(self.mean_level.dtype) * (2 / (self.levels - 1)) - 1 - self.mean_level
        first, last, width = value == 0, value == self.levels - 1, 2 * half * inverse
        # Mirrored so that the bin lies left of the mean, where log Φ is exact however far out the bin is.
        nearer = torch.where(distance > 0, half - distance, distance + half) * inverse
        upper, lower = _log_ndtr(nearer), _log_ndtr(nearer - width)
        wide = upper + torch.log(-torch.expm1((lower - upper).clamp(max=-1e-6)))
        # In a narrow bin the two nearly cancel; there the result is width times density, with the next term of the
        # series.
        z2 = (distance * inverse).square()
        density = torch.log(width) - 0.5 * (z2 + math.log(2 * math.pi)) + torch.log1p((z2 - 1) * width**2 / 24)
        inside = torch.where(width * z2.sqrt().clamp(min=1) < 0.01, density, wide)
        # The first and last bin include the tail beyond their outer edge: all of Φ up to the inner edge.
        low = _log_ndtr((distance + half) * inverse)
        high = _log_ndtr((half - distance) * inverse)
        return torch.where(first, low, torch.where(last, high, inside))

    def from_uniform(self, uniform: Tensor) -> Tensor:
        """Map uniforms (batch, *size, channels) in [0, 1) to levels, by the inverse of the distribution function."""
        standard = torch.special.ndtri(uniform.movedim(-1, 1)).to(self.mean_level.dtype)
        return _on_grid(self.mean_level + self.log_scale.exp() * standard, self.levels)

    def tempered(self, temperature: float) -> DiscretizedGaussian:
        """Multiply the standard deviation by a temperature."""
        return DiscretizedGaussian(self.mean_level, self.log_scale + math.log(temperature), self.levels)


class LogNormalCDF(torch.autograd.Function):
    """log Φ. PyTorch 2.14's derivative, e^(−x² / 2 − log Φ(x)), is computed from a difference of large numbers: in
    float32 it is off by a quarter at −2,000 and infinite at −100,000 and below."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return torch.special.log_ndtr(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return grads[0] * math.sqrt(2 / math.pi) / torch.special.erfcx(x * -math.sqrt(0.5))


def _log_ndtr(x: Tensor) -> Tensor:
    log_cdf: Tensor = LogNormalCDF.apply(x)
    return log_cdf


def _on_grid(x: Tensor, levels: int) -> Tensor:
    """Round numbers in [−1, 1] to levels; NaN becomes a level too, and its log-probability shows it."""
    return ((x.clamp(-1, 1) + 1) * ((levels - 1) / 2)).round().long().clamp(0, levels - 1)


def _invert(probabilities: Tensor, uniform: Tensor) -> Tensor:
    """Find the level, along the last axis, at which the distribution function passes a uniform number."""
    cumulative = probabilities.double().cumsum(-1)
    # Scaled by the last entry, which rounding may keep from being 1, so that no level of probability 0 is drawn.
    passed = torch.searchsorted(cumulative, uniform[..., None] * cumulative[..., -1:], right=True)[..., 0]
    return passed.clamp(max=probabilities.shape[-1] - 1)


AnyOutput = Bernoulli | Categorical | DiscretizedLogisticMixture | DiscretizedGaussian


@dataclass(frozen=True)
class OutputFamily:
    """Turns a network's parameters into a distribution.

    Attributes:
        name: name of the family, as in `output_family`.
        parameters: parameters per position.
        groups: number of steps in which the channels of one position are drawn. Bernoulli and categorical outputs draw
            channel after channel, so the network must mask R → G → B; the mixture draws all at once and orders them
            itself.
        uniforms: uniform numbers per step.
        channels: channels of the data.
        levels: whole levels of the data.
        mixtures: components of the mixture; 1 for other families.
        build: function from (batch, parameters or one group of them, *size) to a distribution over
            (batch, channels or one group of them, *size).
    """

    name: Output
    parameters: int
    groups: int
    uniforms: int
    channels: int
    levels: int
    mixtures: int
    build: Callable[[Tensor], AnyOutput]

    def __call__(self, parameters: Tensor) -> AnyOutput:
        """Build the distribution, at least in float32: probabilities in half precision would not sum to 1."""
        half = parameters.dtype in (torch.bfloat16, torch.float16)
        return self.build(parameters.float() if half else parameters)


def output_family(output: Output, channels: int, levels: int, mixtures: int = 10) -> OutputFamily:
    """Choose an output distribution by name.

    Args:
        output: name of the family: `bernoulli` (2 levels), `categorical`, `logistic_mixture`, or `gaussian`.
        channels: channels of the data.
        levels: whole levels of the data, such as 256 for 8 bits.
        mixtures: components of the mixture.

    Raises:
        ValueError: the name is unknown, or the levels do not fit it.
    """
    if levels < 2 or (output == "bernoulli" and levels != 2):
        raise ValueError(f"output '{output}' does not fit {levels} levels")
    family = partial(OutputFamily, output, channels=channels, levels=levels)
    each = partial(family, groups=channels, uniforms=1, mixtures=1)
    if output == "bernoulli":
        return each(channels, build=Bernoulli)
    if output == "categorical":
        return each(channels * levels, build=partial(_categorical, levels=levels))
    if output == "gaussian":
        return each(2 * channels, build=partial(_gaussian, levels=levels))
    if output == "logistic_mixture":
        per_component = 1 + 2 * channels + channels * (channels - 1) // 2
        build = partial(_mixture, channels=channels, levels=levels, mixtures=mixtures)
        return family(mixtures * per_component, groups=1, uniforms=1 + channels, mixtures=mixtures, build=build)
    raise ValueError(f"unknown output '{output}'; known: {', '.join(get_args(Output))}")


def _categorical(parameters: Tensor, levels: int) -> Categorical:
    return Categorical(parameters.unflatten(1, (-1, levels)).movedim(2, -1))


def _mixture(parameters: Tensor, channels: int, levels: int, mixtures: int) -> DiscretizedLogisticMixture:
    sizes = [1, channels, channels, channels * (channels - 1) // 2]
    logits, means, log_scales, coefficients = parameters.unflatten(1, (mixtures, -1)).split(sizes, dim=2)
    scales = _bounded(log_scales, levels)
    return DiscretizedLogisticMixture(logits[:, :, 0], means, scales, torch.tanh(coefficients), levels)


def _gaussian(parameters: Tensor, levels: int) -> DiscretizedGaussian:
    mean, log_scale = parameters.unflatten(1, (-1, 2)).unbind(2)
    return DiscretizedGaussian(mean, _bounded(log_scale, levels), levels)


def _bounded(log_scales: Tensor, levels: int) -> Tensor:
    """Keep scales from collapsing onto one level, by PixelCNN++'s floor for 256 levels and its equivalent for more; at
    the ceiling nearly all of a distribution lies in the tails, which belong to the first and the last level."""
    return log_scales.clamp(least_log_scale(levels), 7)


def least_log_scale(levels: int) -> float:
    """Return the floor of the log scales."""
    return -7 - max(0.0, math.log((levels - 1) / 255))
