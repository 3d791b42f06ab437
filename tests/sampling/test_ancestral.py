"""Sampling: each sample has noise of its own, samples follow the model, and the model stays as it is."""

import itertools
import math
from functools import partial

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from condgen.conditioning import ClassEmbedding, FrameSequence
from condgen.engines.draw import Draw
from condgen.models import ConditionalModel, PixelCNN, WaveNet
from condgen.quantization import Quantization
from condgen.sampling import Interrupted, Samples, ancestral, sample, stream, uniform_noise

OUTPUTS = [(output, colours) for output in ("bernoulli", "categorical", "logistic_mixture") for colours in (1, 3)]


outputs = pytest.mark.parametrize(("output", "colours"), OUTPUTS)


sampled = partial(sample, progress=False)


def same(first, second):
    return torch.equal(first.x, second.x) and torch.allclose(first.log_prob, second.log_prob, rtol=0, atol=1e-10)


def completion(model, rows, share=0.5, seed=0):
    """Random images and a random mask of known pixels."""
    rng = torch.Generator().manual_seed(seed)
    given = torch.randint(model.network.levels, (rows, *model.network.shape), generator=rng)
    return {"given": given, "known": torch.rand(model.network.shape[1:], generator=rng) < share}


def row(conditions, i):
    return {name: condition[i : i + 1] for name, condition in conditions.items()}


# Noise: a stream per sample.


@outputs
@pytest.mark.parametrize("engine", ["cached", "naive"])
def test_a_sample_does_not_depend_on_its_batch(make_model, make_conditions, output, colours, engine):
    model = make_model(output, colours)
    conditions = make_conditions(model, 5)
    together = sampled(model, conditions, seed=3)
    assert same(sampled(model, conditions, seed=3, batch_size=2, engine=engine), together)
    alone = {i: sampled(model, row(conditions, i), seed=3, first_index=i, engine=engine) for i in (4, 2, 0, 1, 3)}
    x, log_prob = (torch.cat([alone[i][part] for i in range(5)]) for part in (0, 1))
    assert same(Samples(x, log_prob, engine, ""), together)


def test_a_completed_sample_does_not_depend_on_its_batch(make_model, make_conditions):
    model = make_model()
    conditions, options = make_conditions(model, 5), completion(model, 5)
    assert same(sampled(model, conditions, batch_size=2, **options), sampled(model, conditions, **options))


def test_the_seed_and_the_index_make_the_sample(make_model, make_conditions):
    model = make_model()
    two = partial(sampled, model, make_conditions(model, 1), num_samples=2)
    first = two(seed=1)
    assert same(two(seed=1), first)
    assert not torch.equal(two(seed=2).x, first.x)
    assert not torch.equal(two(seed=1, first_index=2).x, first.x)
    assert not torch.equal(first.x[0], first.x[1])


def test_sampling_leaves_the_global_random_numbers_alone(make_model, make_conditions):
    model = make_model()
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    sampled(model, make_conditions(model, 2))
    assert torch.equal(torch.rand(3), expected)


# What is got follows the model.


@outputs
def test_the_log_probability_of_a_sample_is_the_teacher_forced_one(make_model, make_conditions, output, colours):
    model = make_model(output, colours)
    conditions = make_conditions(model, 3)
    for options in ({}, {"temperature": 0.5}):
        samples = sampled(model, conditions, **options)
        assert torch.allclose(samples.log_prob, model.log_prob(samples.x, conditions), atol=1e-10)


@outputs
def test_completion_keeps_the_known_and_scores_the_unknown_pixels(make_model, make_conditions, output, colours):
    model = make_model(output, colours)
    conditions, options = make_conditions(model, 3), completion(model, 3)
    given, known = options["given"], options["known"]
    samples = sampled(model, conditions, **options)
    assert torch.equal(samples.x[..., known], given[..., known])
    assert not torch.equal(samples.x[..., ~known], given[..., ~known])
    log_prob = model(samples.x, conditions).log_prob(samples.x)
    assert torch.allclose(samples.log_prob, log_prob[..., ~known].flatten(1).sum(1), atol=1e-10)


def test_completion_of_everything_or_nothing(make_model, make_conditions):
    model = make_model()
    conditions, given = make_conditions(model, 3), completion(model, 1)["given"]
    everything = sampled(model, conditions, given=given, known=torch.ones(5, 4).bool())
    assert torch.equal(everything.x, given.expand(3, -1, -1, -1))
    assert (everything.log_prob == 0).all()
    assert same(sampled(model, conditions, given=given, known=torch.zeros(5, 4).bool()), sampled(model, conditions))


@pytest.mark.parametrize(("output", "levels"), [("categorical", 3), ("bernoulli", 2), ("logistic_mixture", 3)])
def test_frequencies_follow_the_probabilities(make_model, make_conditions, output, levels):
    """Two pixels have few images: Pearson's test, which also must tell the conditions apart."""
    n, model = 4000, make_model(output, size=(1, 2), levels=levels)
    conditions, other = make_conditions(model, 1), make_conditions(model, 1, seed=1)
    images = torch.tensor(list(itertools.product(range(levels), repeat=2))).view(-1, 1, 1, 2)
    expected, wrong = (n * model.log_prob(images, model.film(c)).exp() for c in (conditions, other))
    assert torch.isclose(expected.sum(), torch.tensor(n).double())
    x = sampled(model, conditions, num_samples=n, batch_size=n).x.flatten(1)
    observed = (x @ torch.tensor([levels, 1])).bincount(minlength=levels**2)
    assert stats.chisquare(observed, expected.detach()).pvalue > 1e-3
    assert stats.chisquare(observed, wrong.detach()).pvalue < 1e-6


def test_top_k_1_is_greedy(make_model, make_conditions):
    model = make_model(levels=5)
    conditions = make_conditions(model, 3)
    x = sampled(model, conditions, top_k=1).x
    assert torch.equal(x, model(x, conditions).logits.argmax(-1))
    assert torch.equal(x, sampled(model, conditions, top_k=1, seed=1).x)


# What a call takes, and what it leaves.


@outputs
def test_film_parameters_stand_for_their_conditions(make_model, make_conditions, output, colours):
    model = make_model(output, colours)
    conditions = make_conditions(model, 3)
    assert same(sampled(model, model.film(conditions), batch_size=2), sampled(model, conditions, batch_size=2))


def test_one_row_of_conditions_serves_all_samples(make_model, make_conditions):
    model = make_model()
    conditions = make_conditions(model, 1)
    repeated = {name: condition.repeat(4, *[1] * (condition.ndim - 1)) for name, condition in conditions.items()}
    assert same(sampled(model, conditions, num_samples=4), sampled(model, repeated))


def test_an_unconditional_model_needs_no_conditions(make_model):
    model = make_model(conditioning="none")
    assert same(sampled(model, num_samples=3), sampled(model, {}, num_samples=3))
    assert sampled(model).x.shape == (1, 1, 5, 4)


def test_sampling_leaves_modes_and_weights_alone_and_drops_nothing_out(make_model, make_conditions):
    model = make_model(dropout=0.5)
    conditions = make_conditions(model, 3)
    expected = sampled(model, conditions)
    model.train()
    model.network.blocks[0].eval()
    modes = {name: module.training for name, module in model.named_modules()}
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for engine in ("cached", "naive"):
        assert same(sampled(model, conditions, engine=engine), expected)
    assert {name: module.training for name, module in model.named_modules()} == modes
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())


def test_modes_come_back_after_an_error(make_model, make_conditions):
    model = make_model().train()
    with pytest.raises(ValueError, match="num_samples"):
        sampled(model, make_conditions(model, 3), num_samples=0)
    assert all(module.training for module in model.modules())


@pytest.mark.parametrize("engine", ["cached", "naive"])
def test_other_weights_are_used_from_the_next_call_on(make_model, make_conditions, engine):
    model, other = make_model(seed=0), make_model(seed=1)
    conditions = make_conditions(model, 3)
    before = sampled(model, conditions, engine=engine)
    model.load_state_dict(other.state_dict())
    assert same(sampled(model, conditions, engine=engine), sampled(other, conditions, engine=engine))
    assert not torch.equal(sampled(model, conditions, engine=engine).x, before.x)


def test_float32_samples_are_on_the_grid(make_model, make_conditions):
    for output, colours in OUTPUTS:
        model = make_model(output, colours).float()
        x = sampled(
            model, {k: v.float() if v.is_floating_point() else v for k, v in make_conditions(model, 3).items()}
        ).x
        assert x.dtype == torch.long
        assert x.shape == (3, *model.network.shape)
        assert 0 <= x.min() <= x.max() < model.network.levels


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0}, "temperature 0 is not at least 0.0001"),
        ({"temperature": -1.0}, "temperature -1.0 is not at least 0.0001"),
        ({"temperature": 1e-40}, "temperature 1e-40 is not at least 0.0001"),
        ({"temperature": float("inf")}, "temperature inf"),
        ({"temperature": float("nan")}, "temperature nan"),
        ({"top_k": 0}, "top_k 0 is not a whole number of at least 1"),
        ({"top_k": 2.5}, "top_k 2.5 is not a whole number of at least 1"),
        ({"top_k": float("inf")}, "top_k inf is not a whole number of at least 1"),
        ({"top_k": True}, "top_k True is not a whole number of at least 1"),
        ({"top_p": 0.0}, "top_p 0.0 is not from 0.000001 to 1"),
        ({"top_p": 1e-46}, "top_p 1e-46 is not from 0.000001 to 1"),
        ({"top_p": 1.5}, "top_p 1.5 is not from 0.000001 to 1"),
        ({"num_samples": 0}, "num_samples 0 is not a whole number of at least 1"),
        ({"num_samples": 1.5}, "num_samples 1.5 is not a whole number of at least 1"),
        ({"batch_size": 0}, "batch_size 0"),
        ({"engine": "fast"}, "unknown engine 'fast'; known: auto, cached, naive"),
        ({"seed": -1}, "not a whole number from 0"),
        ({"first_index": -1}, "not a whole number from 0"),
    ],
)
def test_an_argument_out_of_range_is_refused(make_model, make_conditions, options, message):
    model = make_model()
    with pytest.raises(ValueError, match=message):
        sampled(model, make_conditions(model, 3), **options)


@pytest.mark.parametrize("options", [{"top_k": 1}, {"top_p": 0.5}])
@pytest.mark.parametrize("output", ["bernoulli", "logistic_mixture"])
def test_top_k_and_top_p_are_refused_for_other_outputs(make_model, make_conditions, output, options):
    model = make_model(output)
    with pytest.raises(ValueError, match=f"for categorical outputs; this model's output is '{output}'"):
        sampled(model, make_conditions(model, 3), **options)


GIVEN, KNOWN = torch.zeros(3, 1, 5, 4, dtype=torch.long), torch.ones(5, 4).bool()


@pytest.mark.parametrize(
    ("given", "known", "message"),
    [
        (GIVEN, None, "needs both"),
        (None, KNOWN, "needs both"),
        (GIVEN[:2], KNOWN, "3 rows of conditions and 2 rows of `given` do not fit each other"),
        (GIVEN[..., :3], KNOWN, r"`given` is \(3, 1, 5, 3\); expected \(rows or 1, 1, 5, 4\)"),
        (GIVEN, KNOWN[:4], r"`known` is \(4, 4\); expected \(5, 4\)"),
        (GIVEN + 0.5, KNOWN, "whole levels from 0 to 3"),
        (GIVEN + 4, KNOWN, "whole levels from 0 to 3"),
        (GIVEN - 1, KNOWN, "whole levels from 0 to 3"),
    ],
)
def test_a_completion_that_does_not_fit_is_refused(make_model, make_conditions, given, known, message):
    model = make_model()
    with pytest.raises(ValueError, match=message):
        sampled(model, make_conditions(model, 3), given=given, known=known)


def test_the_models_dropout_is_real(make_model, make_conditions):
    """Else `drops_nothing_out` would show nothing."""
    model = make_model(dropout=0.5).train()
    assert any(isinstance(module, nn.Dropout) and module.p == 0.5 for module in model.modules())
    x, film = torch.zeros(2, 1, 5, 4), model.film(make_conditions(model, 2))
    assert not torch.equal(model.network(x, film), model.network(x, film))


@pytest.fixture
def cudnn():
    """Let a test change how convolutions on a GPU round."""
    cudnn = torch.backends.cudnn
    before = cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision
    yield cudnn
    cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision = before


@pytest.mark.parametrize("precision", ["tf32", "ieee"])
def test_convolutions_on_a_gpu_are_kept_from_tf32(cudnn, make_model, precision):
    """Its 10 bits would let the engine decide between levels."""
    cudnn.conv.fp32_precision = cudnn.rnn.fp32_precision = precision
    seen, model = [], make_model(conditioning="none")
    model.network.register_forward_pre_hook(lambda *_: seen.append(cudnn.conv.fp32_precision))
    sampled(model, engine="naive")
    assert seen
    assert "tf32" not in seen
    assert cudnn.conv.fp32_precision == precision


# Interruptions.


def test_an_interruption_between_batches_keeps_those_that_are_finished(monkeypatch, make_wavenet):
    noises = []

    def noise(*arguments, **options):
        if len(noises) == 2:
            raise KeyboardInterrupt
        noises.append(arguments)
        return uniform_noise(*arguments, **options)

    monkeypatch.setattr(ancestral, "uniform_noise", noise)
    with pytest.raises(Interrupted, match="4 samples are finished"):
        sampled(make_wavenet(conditioning="none").float(), num_samples=6, length=5, batch_size=2)


@pytest.mark.parametrize("engine", ["cached", "compiled"])
def test_an_interruption_keeps_the_batches_that_are_finished(monkeypatch, make_wavenet, engine):
    model = make_wavenet(conditioning="none").float()
    options = {"length": [9, 5, 7, 6, 8], "batch_size": 2, "engine": engine}
    whole = sampled(model, **options)
    original, seen = Draw.keep, []

    def keep(self, steps, parameters, values):
        if not any(self.noise is noise for noise in seen):
            seen.append(self.noise)  # kept, lest another come to lie in its place
        if len(seen) == 3:
            raise KeyboardInterrupt
        return original(self, steps, parameters, values)

    monkeypatch.setattr(Draw, "keep", keep)
    with pytest.raises(Interrupted, match="4 samples are finished") as caught:
        sampled(model, **options)
    assert caught.value.rows == [1, 2, 3, 4]
    assert torch.equal(caught.value.samples.x, whole.x[1:, :, :8])
    # The compiled engine is in float32, whose sums depend on where memory lies.
    torch.testing.assert_close(caught.value.samples.log_prob, whole.log_prob[1:], atol=2e-6, rtol=0)


def test_an_interruption_before_any_batch_is_finished_is_a_plain_one(monkeypatch, make_wavenet):
    def keep(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Draw, "keep", keep)
    with pytest.raises(KeyboardInterrupt) as caught:
        sampled(make_wavenet(conditioning="none"), length=3)
    assert not isinstance(caught.value, Interrupted)


# Waveforms: batches of different lengths and speakers.


CONDITIONINGS = ["none", "bias", "scale", "gate", "film", "concat"]


AUDIO_OUTPUTS = ["categorical", "logistic_mixture", "gaussian"]


conditionings = pytest.mark.parametrize("conditioning", CONDITIONINGS)


audio_outputs = pytest.mark.parametrize("output", AUDIO_OUTPUTS)


def levels(model, rows, time, seed=0):
    return torch.randint(model.network.levels, (rows, 1, time), generator=torch.Generator().manual_seed(seed))


def both_engines(model, conditions, **options):
    return tuple(sampled(model, conditions, engine=engine, **options) for engine in ("cached", "naive"))


def one_by_one(model, conditions, lengths, **options):
    """Each row got alone, and silence behind its end."""
    rows = [sampled(model, row(conditions, i), length=n, first_index=i, **options) for i, n in enumerate(lengths)]
    whole = torch.full((len(lengths), 1, max(lengths)), model.network.blank)
    for i, got in enumerate(rows):
        whole[i, :, : lengths[i]] = got.x[0]
    return Samples(whole, torch.cat([got.log_prob for got in rows]), "one by one", "")


@conditionings
@audio_outputs
@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_a_batch_of_speakers_and_lengths_is_its_rows_one_by_one(
    make_wavenet, make_melodies, conditioning, output, batch_size
):
    model, lengths = make_wavenet(output, conditioning, hop=3), [5, 12, 1, 9, 12]
    conditions = make_melodies(model, 5, 4)
    together = sampled(model, conditions, length=lengths, seed=3, batch_size=batch_size)
    assert same(together, one_by_one(model, conditions, lengths, seed=3))


@audio_outputs
def test_a_batch_with_beginnings_is_its_rows_one_by_one(make_wavenet, make_melodies, output):
    model, lengths = make_wavenet(output, hop=3), [5, 12, 7]
    conditions, given = make_melodies(model, 3, 4), levels(model, 3, 4)
    alone = [
        sampled(model, row(conditions, i), length=n, first_index=i, given=given[i : i + 1])
        for i, n in enumerate(lengths)
    ]
    together = sampled(model, conditions, length=lengths, given=given, batch_size=2)
    for i, n in enumerate(lengths):
        assert torch.equal(together.x[i, :, :n], alone[i].x[0])
        assert (together.x[i, :, n:] == model.network.blank).all()
    assert torch.allclose(together.log_prob, torch.cat([got.log_prob for got in alone]), atol=1e-10)


@audio_outputs
def test_the_log_probability_of_a_waveform_is_the_teacher_forced_one(make_wavenet, make_melodies, output):
    model, lengths = make_wavenet(output, hop=3), [12, 7, 10]
    conditions, given = make_melodies(model, 3, 4), levels(model, 3, 2)
    at = torch.arange(12)
    for options, first in (({}, 0), ({"temperature": 0.5}, 0), ({"given": given}, 2)):
        got = sampled(model, conditions, length=lengths, **options)
        scored = (at >= first) & (at < torch.tensor(lengths)[:, None])
        assert torch.allclose(got.log_prob, model.log_prob(got.x, conditions, scored), atol=1e-10)


@pytest.mark.parametrize("length", [12, 8, 1, None])
def test_a_shorter_draw_begins_the_longer_one(make_wavenet, make_melodies, length):
    model = make_wavenet(hop=3)
    conditions = make_melodies(model, 2, 4)
    got = sampled(model, conditions, length=length)
    assert got.x.shape == (2, 1, length or 12)
    assert torch.equal(got.x, sampled(model, conditions).x[..., :length])


def test_a_beginning_is_kept_and_what_follows_it_is_drawn_after_it(make_wavenet, make_melodies):
    model = make_wavenet(hop=3)
    conditions = make_melodies(model, 2, 4)
    whole = sampled(model, conditions)
    again = sampled(model, conditions, given=whole.x[..., :5])
    assert torch.equal(again.x, whole.x)
    other = (whole.x[..., :5] + 1) % model.network.levels
    assert torch.equal(sampled(model, conditions, given=other).x[..., :5], other)


def test_one_beginning_serves_all(make_wavenet, make_melodies):
    model = make_wavenet(hop=3)
    conditions, given = make_melodies(model, 3, 4), levels(model, 1, 5)
    assert same(sampled(model, conditions, given=given), sampled(model, conditions, given=given.expand(3, -1, -1)))


def test_a_beginning_of_nothing_or_of_everything(make_wavenet, make_melodies):
    model = make_wavenet(hop=3)
    conditions, given = make_melodies(model, 2, 4), levels(model, 2, 12)
    everything = sampled(model, conditions, given=given)
    assert torch.equal(everything.x, given)
    assert (everything.log_prob == 0).all()
    assert same(sampled(model, conditions, given=given[..., :0]), sampled(model, conditions))


@pytest.mark.parametrize("length", [8, [8, 6]])
def test_known_samples_may_end_before_the_audio_does(make_wavenet, make_melodies, length):
    """`given` and `known` fit each other; neither has to be as long as what the conditions cover."""
    model = make_wavenet(hop=3)
    conditions, given = make_melodies(model, 2, 4), levels(model, 2, 5)
    known = torch.tensor([True, True, False, True, False])
    cached, naive = both_engines(model, conditions, given=given, known=known, length=length)
    assert same(cached, naive)
    assert cached.x.shape == (2, 1, 8)
    assert torch.equal(cached.x[..., :5][..., known], given[..., known])


# Waveforms: what a call takes, and what it leaves.


def test_the_mode_is_drawn_at_a_low_temperature(make_wavenet, make_melodies):
    model = make_wavenet(hop=3)
    conditions = make_melodies(model, 2, 4)
    x = sampled(model, conditions, temperature=1e-4).x
    assert torch.equal(x, model(x, conditions).logits.argmax(-1))


def test_the_mean_is_drawn_from_a_gaussian_at_a_low_temperature(make_wavenet, make_melodies):
    model = make_wavenet("gaussian", hop=3, levels=17)
    conditions = make_melodies(model, 2, 4)
    x = sampled(model, conditions, temperature=1e-4).x
    means = model(x, conditions).mean_level
    assert torch.equal(x, (means[..., None] - torch.linspace(-1, 1, 17)).abs().argmin(-1))
    assert torch.equal(x, sampled(model, conditions, temperature=1e-4, seed=1).x)


def test_the_mean_of_the_likeliest_component_is_drawn_from_a_mixture_at_a_low_temperature(make_wavenet, make_melodies):
    model = make_wavenet("logistic_mixture", hop=3, levels=17)
    conditions = make_melodies(model, 2, 4)
    x = sampled(model, conditions, temperature=1e-4).x
    found = model(x, conditions)
    means = found.means[:, :, 0].gather(1, found.logits.argmax(1, keepdim=True))
    assert torch.equal(x, (means[..., None] - torch.linspace(-1, 1, 17)).abs().argmin(-1))


def test_film_parameters_stand_for_the_conditions_of_waveforms(make_wavenet, make_melodies):
    for conditioning in CONDITIONINGS[1:]:
        model = make_wavenet(conditioning=conditioning, hop=3)
        conditions = make_melodies(model, 3, 4)
        options = {"length": [12, 5, 8], "batch_size": 2}
        assert same(sampled(model, model.film(conditions), **options), sampled(model, conditions, **options))


@pytest.mark.parametrize("weight_norm", [False, True])
@pytest.mark.parametrize("engine", ["cached", "naive"])
def test_other_weights_of_a_wavenet_are_used_from_the_next_call_on(make_wavenet, make_melodies, weight_norm, engine):
    model, other = (make_wavenet(hop=3, weight_norm=weight_norm, seed=seed) for seed in (0, 1))
    conditions = make_melodies(model, 3, 4)
    before = sampled(model, conditions, engine=engine)
    model.load_state_dict(other.state_dict())
    assert same(sampled(model, conditions, engine=engine), sampled(other, conditions, engine=engine))
    assert not torch.equal(sampled(model, conditions, engine=engine).x, before.x)


@pytest.mark.parametrize("weight_norm", [False, True])
def test_sampling_leaves_a_model_that_can_be_trained(make_wavenet, make_melodies, weight_norm):
    model = make_wavenet(hop=3, weight_norm=weight_norm, dropout=0.5).train()
    conditions = make_melodies(model, 2, 4)
    modes = {name: module.training for name, module in model.named_modules()}
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    first = sampled(model, conditions)
    for _ in stream(model, conditions, chunk=5):
        pass
    assert {name: module.training for name, module in model.named_modules()} == modes
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())
    model.log_prob(first.x.clone(), conditions).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert same(sampled(model, conditions), first)


def test_levels_are_on_the_grid_in_float32(make_wavenet, make_melodies):
    for output, levels in itertools.product(AUDIO_OUTPUTS, (6, 256)):
        model = make_wavenet(output, hop=3, levels=levels).float()
        x = sampled(model, make_melodies(model, 3, 4)).x
        assert x.dtype == torch.long
        assert 0 <= x.min() <= x.max() < levels


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length": 0}, "length 0 is not at least 1 sample"),
        ({"length": -3}, "length -3 is not at least 1 sample"),
        ({"length": [4, 0, 6]}, "length 0 is not at least 1 sample"),
        ({"length": [4, 5]}, "3 rows of conditions and 2 lengths do not fit each other"),
        ({"length": 13}, "length 13 is more than the local conditions cover: 4 frames × hop 3 = 12 samples"),
        ({"length": [4, 5, 13]}, "length 13 is more than the local conditions cover"),
        ({"given": torch.zeros(3, 1, 6).long(), "length": [12, 5, 8]}, "6 positions are given, more than the shortest"),
        ({"given": torch.zeros(3, 1, 13).long()}, r"`given` is \(3, 1, 13\)"),
        ({"given": torch.zeros(2, 1, 4).long()}, "3 rows of conditions and 2 rows of `given` do not fit each other"),
        ({"given": torch.zeros(3, 2, 4).long()}, r"`given` is \(3, 2, 4\)"),
        ({"given": torch.zeros(3, 4).long()}, r"`given` is \(3, 4\)"),
        ({"given": torch.full((3, 1, 4), 0.5)}, "`given` must be whole levels from 0 to 5"),
        ({"given": torch.full((3, 1, 4), 6)}, "`given` must be whole levels from 0 to 5"),
        ({"known": torch.ones(4).bool()}, "needs both `given` and `known`"),
        ({"given": torch.zeros(3, 1, 4).long(), "known": torch.ones(5).bool()}, r"`known` is \(5,\); expected \(4,\)"),
    ],
)
def test_an_argument_that_does_not_fit_a_waveform_is_refused(make_wavenet, make_melodies, options, message):
    model = make_wavenet(hop=3)
    with pytest.raises(ValueError, match=message):
        sampled(model, make_melodies(model, 3, 4), **options)


@pytest.mark.parametrize("options", [{"top_k": 2}, {"top_p": 0.5}])
@pytest.mark.parametrize("output", AUDIO_OUTPUTS[1:])
def test_top_k_and_top_p_are_refused_for_other_outputs_of_a_wavenet(make_wavenet, make_melodies, output, options):
    model = make_wavenet(output, hop=3)
    with pytest.raises(ValueError, match=f"for categorical outputs; this model's output is '{output}'"):
        sampled(model, make_melodies(model, 3, 4), **options)


def test_a_length_is_needed_where_no_local_condition_says(make_wavenet):
    model = make_wavenet(conditioning="none")
    with pytest.raises(ValueError, match="no local condition says how long the audio should be: give a length"):
        sampled(model, num_samples=2)
    assert sampled(model, num_samples=2, length=7).x.shape == (2, 1, 7)


def test_an_image_has_no_length(make_model):
    with pytest.raises(ValueError, match="a length is for audio"):
        sampled(make_model(conditioning="none"), length=5)


# What a network learns is what it plays.


QUANTIZATION = Quantization(256, "linear")


RATE, FRAME, PITCHES = 1000, 50, torch.tensor([50.0, 73.0, 110.0])


def sines(ids, time):
    """Levels of a sine wave per id, at a random phase and with a little noise that teaches to come back to it."""
    phase, t = 2 * math.pi * torch.rand(len(ids), 1), torch.arange(time) / RATE
    wave = 0.8 * torch.sin(2 * math.pi * PITCHES[ids][:, None] * t + phase)
    return QUANTIZATION.encode(wave + 0.05 * torch.randn_like(wave))[:, None]


def constant(ids, time):
    return torch.nn.functional.one_hot(ids, 3).float()[..., None].expand(-1, -1, time // FRAME)


def fitted(output, encoder, hop, conditions):
    """A small WaveNet over-fitted to sine waves; `conditions(ids, time)` tell it which."""
    torch.manual_seed(0)
    network = WaveNet(256, output, 2, "scalar", channels=16, layers=5, stacks=1, sample_rate=RATE, hop=hop,
                      companding="linear")  # fmt: skip
    model, steps = ConditionalModel(network, {"id": encoder}, "film"), 250
    optimizer = torch.optim.Adam(model.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, total_steps=steps)
    ids = torch.arange(12) % 3
    for _ in range(steps):
        loss = -model.log_prob(sines(ids, 300), {"id": conditions(ids, 300)}).mean() / 300
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return model


def pitch(x):
    """The frequency of the highest peak, in Hz, by a parabola through its logarithm and its neighbours'."""
    waveform = QUANTIZATION.decode(x).double()
    spectrum = torch.fft.rfft((waveform - waveform.mean()) * torch.hann_window(len(waveform)), 2**16).abs()
    peak = int(spectrum.argmax())
    left, middle, right = spectrum[peak - 1 : peak + 2].log().tolist()
    return (peak + (left - right) / (left - 2 * middle + right) / 2) * RATE / 2**16


def test_the_measure_of_pitch_knows_a_sine():
    torch.manual_seed(0)
    for x, expected in zip(sines(torch.arange(3), 1000), PITCHES, strict=True):
        assert abs(pitch(x[0]) - expected) < 0.1


@pytest.mark.slow
def test_each_speaker_sings_at_its_own_pitch():
    model = fitted("gaussian", ClassEmbedding(8, num_classes=3), 1, lambda ids, time: ids)
    got = sampled(model, {"id": torch.arange(3)}, length=1200, temperature=0.05)
    assert [pitch(x[0, 200:]) for x in got.x] == pytest.approx(PITCHES.tolist(), abs=1)


@pytest.mark.slow
def test_a_melody_is_sung_as_its_frames_say():
    """Each row sings one pitch for 1.2 s and then the next one."""
    model, ids = fitted("categorical", FrameSequence(3, 8), FRAME, constant), torch.arange(3)
    melody = torch.cat([constant(ids, 1200), constant((ids + 1) % 3, 1200)], dim=-1)
    got = sampled(model, {"id": melody}, temperature=0.05)
    assert [pitch(x[0, 200:1200]) for x in got.x] == pytest.approx(PITCHES.tolist(), abs=1)
    assert [pitch(x[0, 1400:]) for x in got.x] == pytest.approx(PITCHES.roll(-1).tolist(), abs=1)


# Rows: what goes together, and what each row's noise is.


def test_samples_of_a_row_stand_together_and_are_counted_through(make_model, make_conditions):
    model, conditions = make_model(), None
    conditions = make_conditions(model, 2)
    repeated = {name: value.repeat_interleave(3, dim=0) for name, value in conditions.items()}
    for asked, alike in ((conditions, repeated), (model.film(conditions), model.film(repeated))):
        got = sampled(model, asked, num_samples=3, seed=4, first_index=5, batch_size=4)
        assert same(got, sampled(model, alike, seed=4, first_index=5))


def test_each_row_of_a_list_of_lengths_and_of_beginnings_is_repeated(make_wavenet, make_melodies):
    model = make_wavenet(hop=3)
    conditions, given = make_melodies(model, 2, 4), torch.tensor([[[1, 2]], [[3, 4]]])
    got = sampled(model, conditions, num_samples=2, length=[5, 12], given=given).x
    assert got[:, 0, :2].tolist() == [[1, 2], [1, 2], [3, 4], [3, 4]]
    assert (got[:2, 0, 5:] == model.network.blank).all()
    alone = sampled(model, conditions, num_samples=2, length=[5, 12], given=given.numpy(), batch_size=1).x
    assert torch.equal(got, alone)


@pytest.mark.parametrize("engine", ["cached", "naive", "compiled"])
@pytest.mark.parametrize("count", [1, 2])
def test_a_row_with_a_seed_of_its_own_is_what_it_is_alone(make_model, make_conditions, engine, count):
    model = make_model().float()
    conditions = {n: v.float() if v.is_floating_point() else v for n, v in make_conditions(model, 3).items()}
    options = {"num_samples": count, "first_index": 2, "engine": engine}
    together = sampled(model, conditions, seed=[0, 5, 0], **options)
    for i, seed in enumerate([0, 5, 0]):
        alone = sampled(model, row(conditions, i), seed=seed, **options)
        assert torch.equal(together.x[i * count : (i + 1) * count], alone.x)


def test_seeds_may_be_arrays_make_rows_and_must_fit(make_model, make_conditions):
    model = make_model(conditioning="none")
    three = sampled(model, seed=[0, 1, 5])
    assert same(three, sampled(model, seed=torch.tensor([0, 1, 5]), engine="naive"))
    assert same(three, sampled(model, seed=(0, 1, 5), batch_size=2))
    assert torch.equal(three.x[2:], sampled(model, seed=5).x)
    model = make_model()
    for wrong, message in (([1, 2], "3 rows of conditions and 2 seeds do not fit each other"),
                           ([], "0 seeds do not fit each other"), ([1, -2, 3], "seed -2 is not a whole number from 0"),
                           ([0, 0.5, 1], "seed 0.5 is not"), ("one", "seed one is not")):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            sampled(model, make_conditions(model, 3), seed=wrong)


def test_names_lists_and_arrays_are_taken_as_conditions():
    model = ConditionalModel(PixelCNN((1, 3, 3), 4, channels=4, layers=1), {
        "word": ClassEmbedding(4, names=["yes", "no"]), "digit": ClassEmbedding(4, names=["1", "2", "3"]),
    }, "film")  # fmt: skip
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5)
    expected = sampled(model, {"word": torch.tensor([1, 1]), "digit": torch.tensor([0, 2])})
    for word in ("no", ["no", "no"], np.array(["no", "no"]), np.array([1]), torch.tensor(1)):
        for digit in ([1, 3], ["1", "3"], np.array([0, 2]), "1,3"):
            assert same(sampled(model, {"word": word, "digit": digit}), expected)
    log_prob = model.log_prob(expected.x, {"word": "no", "digit": [1, 3]}).double()
    assert torch.allclose(log_prob, expected.log_prob, atol=1e-4)
    assert model.film({"word": "no", "digit": [1, 3]}).labels == {"word": ["no", "no"], "digit": ["1", "3"]}
    with pytest.raises(ValueError, match="condition 'word' has no class 'maybe'; its classes: yes, no"):
        sampled(model, {"word": "maybe", "digit": 1})
