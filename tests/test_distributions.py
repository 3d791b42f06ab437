"""Output distributions: they sum to 1, sampling inverts their distribution function, tempering does what it says."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import stats

from condgen.distributions import (
    Bernoulli,
    Categorical,
    DiscretizedGaussian,
    DiscretizedLogisticMixture,
    output_family,
)

FAMILIES = [
    ("bernoulli", 1, 2),
    ("bernoulli", 3, 2),
    ("categorical", 1, 2),
    ("categorical", 1, 17),
    ("categorical", 1, 256),
    ("categorical", 3, 4),
    ("logistic_mixture", 1, 2),
    ("logistic_mixture", 1, 17),
    ("logistic_mixture", 1, 256),
    ("logistic_mixture", 3, 2),
    ("logistic_mixture", 3, 4),
]
families = pytest.mark.parametrize(("output", "channels", "levels"), FAMILIES)
ALMOST_1 = 1 - 2**-53


def draw(rows, family, size=1.0, dtype=torch.float64, seed=0):
    """Random parameters of one position, (rows, parameters)."""
    generator = torch.Generator().manual_seed(seed)
    return size * torch.randn(rows, family.parameters, dtype=torch.float64, generator=generator).to(dtype)


def all_values(channels, levels):
    return torch.tensor(list(itertools.product(range(levels), repeat=channels)))


def log_probabilities(family, parameters, values):
    """Joint log-probability of each of the values, (values, channels), under one row of parameters."""
    return family(parameters.expand(len(values), -1)).log_prob(values).reshape(len(values), -1).sum(1)


def mixture(levels=17, channels=3):
    """Two components whose weights are 1/4 and 3/4; each channel depends on those before it."""
    return DiscretizedLogisticMixture(
        torch.tensor([[0.25, 0.75]], dtype=torch.float64).log(),
        torch.tensor([[[-0.5, 0.2, 0.1], [0.4, -0.1, 0.3]]], dtype=torch.float64)[..., :channels],
        torch.tensor([[[-2.0, -1.5, -1.0], [-1.0, -2.0, -1.5]]], dtype=torch.float64)[..., :channels],
        torch.tensor([[[0.7, -0.4, 0.5], [-0.6, 0.3, 0.8]]], dtype=torch.float64)[
            ..., : channels * (channels - 1) // 2
        ],
        levels,
    )


def repeated(distribution, n):
    """The same mixture n times."""
    parts = (distribution.logits, distribution.means, distribution.log_scales, distribution.coefficients)
    return DiscretizedLogisticMixture(*(part.expand(n, *part.shape[1:]) for part in parts), distribution.levels)


@families
@pytest.mark.parametrize("size", [0.1, 1.0, 20.0])
def test_probabilities_of_all_levels_sum_to_1(output, channels, levels, size):
    family = output_family(output, channels, levels, mixtures=3)
    values = all_values(channels, levels)
    for parameters in draw(4, family, size):
        assert abs(log_probabilities(family, parameters, values).exp().sum().item() - 1) < 1e-10


@families
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [1.0, 30.0, 1000.0])
def test_log_probabilities_and_their_gradients_stay_finite(output, channels, levels, dtype, size):
    family = output_family(output, channels, levels, mixtures=3)
    values = all_values(channels, levels)
    for signs in draw(8, family, dtype=dtype).sign():
        parameters = (size * signs).requires_grad_()
        log_prob = log_probabilities(family, parameters, values)
        log_prob.sum().backward()
        assert log_prob.isfinite().all()
        assert parameters.grad.isfinite().all()


@families
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [1.0, 30.0, 1000.0])
def test_samples_lie_on_the_grid(output, channels, levels, dtype, size):
    family = output_family(output, channels, levels, mixtures=3)
    edges = torch.tensor([0, 0.5, 1 - 2**-24, ALMOST_1], dtype=torch.float64)
    width = family.groups * family.uniforms
    uniforms = torch.cartesian_prod(*[edges] * width).view(-1, width)
    for parameters in draw(8, family, size, dtype):
        sample = family(parameters.expand(len(uniforms), -1)).from_uniform(uniforms)
        assert sample.dtype == torch.long
        assert sample.shape == (len(uniforms), channels)
        assert 0 <= sample.min() <= sample.max() < levels


@pytest.mark.parametrize(("output", "channels", "levels"), FAMILIES[:6])
def test_sampling_inverts_the_distribution_function(output, channels, levels):
    """Over n uniforms spread evenly, each level comes up n times its probability, to within the one at its edge."""
    family = output_family(output, channels, levels)
    n = 20_000
    uniform = ((torch.arange(n) + 0.5) / n).double()[:, None].expand(-1, channels)
    probabilities = torch.stack(
        [family(draw(1, family)).log_prob(torch.full((1, channels), level))[0].exp() for level in range(levels)]
    )
    sample = family(draw(1, family).expand(n, -1)).from_uniform(uniform)
    assert (sample.diff(dim=0) >= 0).all()
    for channel in range(channels):
        counts = sample[:, channel].bincount(minlength=levels)
        assert ((counts / n - probabilities[:, channel]).abs() <= 1.001 / n).all()


@pytest.mark.parametrize("levels", [2, 17, 256])
def test_sampling_inverts_the_distribution_function_of_a_mixture(levels):
    """Four strata of the first uniform draw components of weight 1/4 and 3/4 exactly; the second is spread evenly."""
    n = 20_000
    strata, even = ((torch.arange(count, dtype=torch.float64) + 0.5) / count for count in (4, n))
    uniform, values = torch.cartesian_prod(strata, even), torch.arange(levels)[:, None]
    sample = repeated(mixture(levels, channels=1), 4 * n).from_uniform(uniform)
    frequencies = sample.flatten().bincount(minlength=levels) / (4 * n)
    probabilities = repeated(mixture(levels, channels=1), levels).log_prob(values).exp()
    assert ((frequencies - probabilities).abs() <= 1.001 / n).all()


def test_joint_frequencies_of_three_channels_follow_their_joint_probability():
    levels, n = 4, 100_000
    uniform = torch.rand(n, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    sample = repeated(mixture(levels), n).from_uniform(uniform)
    counts = (sample @ torch.tensor([levels**2, levels, 1])).bincount(minlength=levels**3)
    expected = n * repeated(mixture(levels), levels**3).log_prob(all_values(3, levels)).exp()
    common = expected >= 5
    observed = [*counts[common].tolist(), counts[~common].sum().item()]
    assert stats.chisquare(observed, [*expected[common].tolist(), n - expected[common].sum().item()]).pvalue > 1e-3


def test_later_channels_depend_on_the_rounded_earlier_ones():
    """Moving a uniform within the bin of its level must leave the other channels alone."""
    n = 5_000
    first = torch.linspace(0.001, 0.999, n, dtype=torch.float64)
    for moved, later in ((1, 2), (1, 3), (2, 3)):
        for component in (0.1, 0.9):
            uniform = torch.full((n, 4), 0.4, dtype=torch.float64)
            uniform[:, 0], uniform[:, moved] = component, first
            sample = repeated(mixture(levels=6), n).from_uniform(uniform)
            assert len(sample[:, later - 1].unique()) > 1
            for level in sample[:, moved - 1].unique():
                assert len(sample[sample[:, moved - 1] == level, later - 1].unique()) == 1


def test_two_categories_are_a_bernoulli():
    logits = torch.randn(100, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    uniform = torch.rand(100, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    two = Categorical(torch.stack([torch.zeros_like(logits), logits], dim=-1))
    assert torch.equal(two.from_uniform(uniform), Bernoulli(logits).from_uniform(uniform))
    for value in (0, 1):
        value = torch.full((100, 1), value)
        assert torch.allclose(two.log_prob(value), Bernoulli(logits).log_prob(value), atol=1e-12)


@pytest.mark.parametrize(("output", "channels", "levels"), FAMILIES[:6])
def test_a_low_temperature_draws_the_mode(output, channels, levels):
    family = output_family(output, channels, levels)
    parameters = draw(20, family)
    log_probs = torch.stack([family(parameters).log_prob(torch.full((20, channels), i)) for i in range(levels)])
    for u in (0, 0.5, ALMOST_1):
        uniform = torch.full((20, channels), u, dtype=torch.float64)
        assert torch.equal(family(parameters).tempered(1e-6).from_uniform(uniform), log_probs.argmax(0))


def test_a_mixture_at_a_low_temperature_draws_the_level_next_to_the_mean_of_its_first_component():
    family = output_family("logistic_mixture", 1, 17, mixtures=3)
    distribution = family(draw(50, family))
    mean = distribution.means[torch.arange(50), distribution.logits.argmax(1)]
    nearest = (mean - torch.linspace(-1, 1, 17)).abs().argmin(1, keepdim=True)
    for u in (0, 0.5, ALMOST_1):
        uniform = torch.tensor([[u, 0.3]], dtype=torch.float64).expand(50, 2)
        assert torch.equal(distribution.tempered(1e-6).from_uniform(uniform), nearest)


@families
def test_temperature_1_is_the_distribution_itself(output, channels, levels):
    family = output_family(output, channels, levels, mixtures=3)
    distribution = family(draw(5, family))
    value = torch.randint(levels, (5, channels), generator=torch.Generator().manual_seed(0))
    assert torch.allclose(distribution.tempered(1.0).log_prob(value), distribution.log_prob(value), atol=1e-12)


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_temperature_divides_the_logits_and_multiplies_the_scales(temperature):
    logits = torch.randn(4, 1, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(Categorical(logits).tempered(temperature).probs, (logits / temperature).softmax(-1))
    assert torch.allclose(Bernoulli(logits).tempered(temperature).probs, torch.sigmoid(logits / temperature))
    before, after = mixture(), mixture().tempered(temperature)
    assert torch.allclose(after.logits, before.logits / temperature)
    assert torch.allclose(after.log_scales.exp(), before.log_scales.exp() * temperature)
    assert torch.equal(after.means, before.means)


LOGITS = torch.randn(50, 1, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("k", [1, 2, 7, 11, 12, 20])
def test_top_k_keeps_the_k_most_probable_levels_in_proportion(k, temperature):
    filtered, full = (Categorical(LOGITS).tempered(temperature, top_k).probs for top_k in (k, None))
    kept = filtered > 0
    assert (kept.sum(-1) == min(k, 12)).all()
    assert (full.where(kept, full.new_tensor(1)).amin(-1) >= full.where(~kept, full.new_tensor(0)).amax(-1)).all()
    assert torch.allclose(filtered, (full * kept) / (full * kept).sum(-1, keepdim=True), atol=1e-12)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("p", [0.01, 0.3, 0.9, 0.999, 1.0])
def test_top_p_keeps_the_fewest_levels_that_reach_p_in_proportion(p, temperature):
    filtered, full = (Categorical(LOGITS).tempered(temperature, top_p=top_p).probs for top_p in (p, None))
    kept = filtered > 0
    total = (full * kept).sum(-1)
    assert (total >= p - 1e-12).all()
    assert (total - full.where(kept, full.new_tensor(1)).amin(-1) < p).all()
    assert (full.where(kept, full.new_tensor(1)).amin(-1) >= full.where(~kept, full.new_tensor(0)).amax(-1)).all()
    assert torch.allclose(filtered, (full * kept) / total[..., None], atol=1e-12)


def test_top_p_counts_among_the_levels_that_top_k_left():
    """Of .4 .3 .2 .1, the first two are .57 and .43 of what top_k leaves: only one is needed to reach .5."""
    logits = torch.tensor([[[0.4, 0.3, 0.2, 0.1]]], dtype=torch.float64).log()
    assert (Categorical(logits).tempered(1.0, top_p=0.5).probs > 0).sum() == 2
    assert (Categorical(logits).tempered(1.0, top_k=2, top_p=0.5).probs > 0).sum() == 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("options", [{"top_k": 3}, {"top_p": 0.6}, {"top_k": 5, "top_p": 0.7}])
def test_an_excluded_level_is_never_drawn(options, dtype):
    uniform = torch.linspace(0, 1, 501, dtype=torch.float64).clamp(max=ALMOST_1)
    for logits in LOGITS.to(dtype):
        filtered = Categorical(logits.expand(501, 1, 12)).tempered(1.3, **options)
        drawn = filtered.from_uniform(uniform[:, None])
        assert (filtered.probs[0, 0][drawn] > 0).all()
        assert set(drawn.flatten().tolist()) == set(filtered.probs[0, 0].nonzero().flatten().tolist())


@pytest.mark.parametrize(
    ("output", "levels", "message"),
    [
        ("bernoulli", 3, "'bernoulli' does not fit 3 levels"),
        ("categorical", 1, "'categorical' does not fit 1 levels"),
        ("logistic_mixture", 0, "'logistic_mixture' does not fit 0 levels"),
        ("laplace", 4, "unknown output 'laplace'; known: bernoulli, categorical, logistic_mixture, gaussian"),
    ],
)
def test_levels_and_names_that_do_not_fit_are_refused(output, levels, message):
    with pytest.raises(ValueError, match=message):
        output_family(output, 1, levels)


def test_a_scale_stops_at_its_floor():
    """e^−7 is the floor: a smaller scale is the same distribution."""
    family = output_family("logistic_mixture", 1, 256, mixtures=1)
    low, lower = (torch.tensor([[0.0, 0.1, log_scale]], dtype=torch.float64) for log_scale in (-7, -50))
    values = all_values(1, 256)
    assert torch.equal(log_probabilities(family, low, values), log_probabilities(family, lower, values))
    assert math.isclose(family(lower).log_scales.item(), -7)


@pytest.mark.parametrize("output", ["bernoulli", "categorical", "logistic_mixture"])
@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_probabilities_of_half_precision_parameters_sum_to_one(output, half):
    levels = 2 if output == "bernoulli" else 256
    family = output_family(output, 1, levels, 3)
    torch.manual_seed(0)
    distribution = family(torch.randn(4, family.parameters).to(half))
    values = torch.arange(levels)[:, None, None].expand(levels, 4, 1)
    total = sum(distribution.log_prob(value).reshape(4).exp() for value in values)
    assert torch.allclose(total, torch.ones(4), atol=1e-5)


# Gaussians, and what 16 bits ask of all.

MEANS = [-30.0, -1.2, -1.0, -0.37, 0.0, 0.613, 1.0, 5.0]


def gaussian(mean, log_scale, levels, dtype=torch.float64):
    """One mean or many, (rows, 1), with one scale."""
    mean = torch.as_tensor(mean, dtype=dtype).view(-1, 1)
    return DiscretizedGaussian(mean, torch.full_like(mean, log_scale), levels)


@pytest.mark.parametrize("levels", [2, 3, 256, 65536])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("log_scale", [-7.0, -5.0, -2.0, 0.0, 7.0])
@pytest.mark.parametrize("mean", MEANS)
def test_the_mass_of_a_gaussian_is_1(levels, dtype, log_scale, mean):
    log_prob = gaussian(mean, log_scale, levels, dtype).log_prob(torch.arange(levels)[:, None])
    assert log_prob.dtype == dtype
    assert not log_prob.isnan().any()
    assert (log_prob <= 1e-6).all()
    assert log_prob.double().exp().sum().item() == pytest.approx(1, abs=1e-9 if dtype == torch.float64 else 2e-3)


@pytest.mark.parametrize("output", ["gaussian", "logistic_mixture"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-2), (torch.float64, 1e-9)])
@pytest.mark.parametrize("log_scale", [-50.0, -12.0, -9.0, -5.0, -1.0, 7.0])
@pytest.mark.parametrize("mean", [-1.0, -0.37, 0.0, 0.99])
def test_16_bits_sum_to_1_at_every_scale(output, dtype, tolerance, log_scale, mean):
    """At the floor a bin is a few times the scale wide, and float32 places its edges no better than that allows."""
    family = output_family(output, 1, 65536, mixtures=1)
    parameters = torch.tensor([[mean, log_scale] if output == "gaussian" else [0.0, mean, log_scale]], dtype=dtype)
    total = log_probabilities(family, parameters, torch.arange(65536)[:, None]).double().exp().sum().item()
    assert total == pytest.approx(1, abs=tolerance)


@pytest.mark.parametrize("levels", [2, 17, 256])
@pytest.mark.parametrize("log_scale", [-7.0, -3.0, -1.0, 2.0])
@pytest.mark.parametrize("mean", MEANS)
def test_a_gaussian_is_the_mass_of_each_bin(levels, log_scale, mean):
    """Φ at the upper edge less Φ at the lower, by another library; the first and last bin take the tails."""
    edges = np.linspace(-1 - 1 / (levels - 1), 1 + 1 / (levels - 1), levels + 1)
    edges[0], edges[-1] = -np.inf, np.inf
    z = (edges - mean) / math.exp(log_scale)
    left = stats.norm.cdf(z[1:]) - stats.norm.cdf(z[:-1])
    right = stats.norm.sf(z[:-1]) - stats.norm.sf(z[1:])
    expected = np.where(z[1:] < 0, left, right)
    found = gaussian(mean, log_scale, levels).log_prob(torch.arange(levels)[:, None])[:, 0].exp().numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-15)


@pytest.mark.parametrize("levels", [256, 65536])
@pytest.mark.parametrize("log_scale", [-7.0, -4.0, 0.0])
def test_far_out_bins_of_a_gaussian_have_the_logarithm_of_their_tail(levels, log_scale):
    """Where the mass underflows, its logarithm still follows the tail: about that of the bin's nearer edge."""
    log_prob = gaussian(-1.0, log_scale, levels).log_prob(torch.arange(levels)[:, None])[:, 0].numpy()
    nearer = (np.linspace(-1, 1, levels) - 1 / (levels - 1) + 1) / math.exp(log_scale)
    far = nearer > 0
    assert np.isfinite(log_prob).all()
    assert (np.diff(log_prob[far][:-1]) < 0).all()
    assert (log_prob[far] <= (1 - 1e-9) * stats.norm.logsf(nearer[far]) + 1e-9).all()


@pytest.mark.parametrize("levels", [2, 17, 256])
@pytest.mark.parametrize(("mean", "log_scale"), [(-0.4, -1.0), (0.3, -3.0), (0.9, 0.5), (-1.5, -1.0)])
@pytest.mark.parametrize("temperature", [None, 0.5, 2.0])
def test_sampling_inverts_the_distribution_function_of_a_gaussian(levels, mean, log_scale, temperature):
    n, distribution = 20_000, gaussian(mean, log_scale, levels)
    distribution = distribution if temperature is None else distribution.tempered(temperature)
    uniform = ((torch.arange(n, dtype=torch.float64) + 0.5) / n)[:, None]
    sample = distribution.from_uniform(uniform)
    assert (sample.diff(dim=0) >= 0).all()
    frequencies = sample.flatten().bincount(minlength=levels) / n
    probabilities = distribution.log_prob(torch.arange(levels)[:, None])[:, 0].exp()
    assert ((frequencies - probabilities).abs() <= 1.001 / n).all()


@pytest.mark.parametrize("output", ["gaussian", "logistic_mixture"])
def test_16_bit_samples_invert_the_distribution_function(output):
    """With as many levels as samples: the share up to each level, within the one sample at its edge."""
    n, family = 100_000, output_family(output, 1, 65536, mixtures=1)
    parameters = torch.tensor([[0.2, -6.0] if output == "gaussian" else [0.0, 0.2, -6.0]], dtype=torch.float64)
    uniform = torch.full((n, family.uniforms), 0.5, dtype=torch.float64)
    uniform[:, -1] = (torch.arange(n) + 0.5) / n
    counts = family(parameters.expand(n, -1)).from_uniform(uniform)[:, 0].bincount(minlength=65536)
    mass = log_probabilities(family, parameters, torch.arange(65536)[:, None]).exp()
    assert ((counts.cumsum(0) / n) - mass.cumsum(0)).abs().max() <= 1.001 / n


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_temperature_multiplies_the_deviation_of_a_gaussian(temperature):
    before = gaussian([0.3, -0.2], -2.0, 256)
    after = before.tempered(temperature)
    assert torch.allclose(after.log_scale.exp(), before.log_scale.exp() * temperature)
    assert torch.equal(after.mean_level, before.mean_level)


def test_a_gaussian_at_a_low_temperature_draws_the_level_next_to_its_mean():
    distribution = gaussian([-0.9, -0.31, 0.02, 0.77], -1.0, 17).tempered(1e-4)
    nearest = (distribution.mean_level - torch.linspace(-1, 1, 17)).abs().argmin(1, keepdim=True)
    for u in (2**-60, 0.5, ALMOST_1):
        uniform = torch.full((4, 1), u, dtype=torch.float64)
        assert torch.equal(distribution.from_uniform(uniform), nearest)


@pytest.mark.parametrize("levels", [2, 256, 65536])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [1.0, 30.0, 1000.0])
def test_log_probabilities_and_gradients_of_a_gaussian_stay_finite(levels, dtype, size):
    family = output_family("gaussian", 1, levels)
    values = torch.tensor([[0], [1], [levels // 2], [levels - 1]])
    for signs in draw(8, family, dtype=dtype).sign():
        parameters = (size * signs).requires_grad_()
        log_prob = log_probabilities(family, parameters, values)
        log_prob.sum().backward()
        assert log_prob.isfinite().all()
        assert parameters.grad.isfinite().all()


@pytest.mark.parametrize("levels", [2, 256, 65536])
@pytest.mark.parametrize("log_scale", [-12.0, -9.0, -6.5, -3.0])
def test_far_out_gradients_of_a_gaussian_are_right_in_float32(levels, log_scale):
    """There d log p / d mean is z / σ and d log p / d log σ is z², for z from the mean to the bin's nearer edge.

    They are φ(z) / Φ(−z) apart from small terms, whose logarithms are alike and large.
    """
    family, value = output_family("gaussian", 1, levels), torch.tensor([[levels - 1]])
    parameters = torch.tensor([[-0.9, log_scale]], requires_grad=True)
    distribution = family(parameters)
    distribution.log_prob(value).sum().backward()
    scale = distribution.log_scale.exp().item()
    z = (1.9 - 1 / (levels - 1)) / scale
    assert parameters.grad[0, 0].item() == pytest.approx(z / scale, rel=1e-2)
    bounded = distribution.log_scale.item() > log_scale + 1e-6
    assert parameters.grad[0, 1].item() == pytest.approx(0 if bounded else z**2, rel=1e-2)


@pytest.mark.parametrize("levels", [2, 17, 256, 65536])
def test_gradients_of_a_gaussian_are_those_of_differences(levels):
    values = torch.tensor([0, 1, levels // 2, levels - 2, levels - 1])[:, None]
    parameters = torch.tensor([0.1, -1.0], dtype=torch.float64, requires_grad=True)

    def log_prob(parameters):
        return DiscretizedGaussian(parameters[:1], parameters[1:], levels).log_prob(values)

    assert torch.autograd.gradcheck(log_prob, parameters, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("levels", "floor"), [(2, -7), (256, -7), (65536, -7 - math.log(257))])
@pytest.mark.parametrize("output", ["gaussian", "logistic_mixture"])
def test_the_floor_of_scales_keeps_its_size_in_levels(output, levels, floor):
    family = output_family(output, 1, levels, mixtures=1)
    parameters = torch.full((1, family.parameters), -50.0, dtype=torch.float64)
    scale = family(parameters).log_scale if output == "gaussian" else family(parameters).log_scales
    assert scale.item() == pytest.approx(floor)


@pytest.mark.parametrize("output", ["logistic_mixture", "gaussian"])
def test_at_the_ceiling_of_the_scales_the_first_and_last_level_share_the_whole(output):
    family = output_family(output, 1, 256, mixtures=1)
    parameters = torch.zeros(1, family.parameters, 1, dtype=torch.float64)
    parameters[:, -1] = 1000  # the log scale
    ends = family(parameters.expand(2, -1, -1)).log_prob(torch.tensor([[[0]], [[255]]])).exp().flatten()
    assert ends[0] == pytest.approx(ends[1].item())
    assert 0.999 < ends.sum() < 1
