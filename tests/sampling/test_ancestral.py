"""Sampling: engines agree, each sample has noise of its own, samples follow the model, and the model stays as it is."""

import itertools
from dataclasses import replace
from functools import partial

import pytest
import torch
from scipy import stats
from torch import nn

from condgen.conditioning import GammaBeta
from condgen.models import pixelcnn
from condgen.sampling import ENGINES, Samples, sample, uniform_noise

OUTPUTS = [(output, colours) for output in ("bernoulli", "categorical", "logistic_mixture") for colours in (1, 3)]
outputs = pytest.mark.parametrize(("output", "colours"), OUTPUTS)
draw = partial(sample, progress=False)


def same(first, second):
    return torch.equal(first.x, second.x) and torch.allclose(first.log_prob, second.log_prob, rtol=0, atol=1e-10)


def completion(model, rows, share=0.5, seed=0):
    """Random images and a random mask of known pixels."""
    generator = torch.Generator().manual_seed(seed)
    given = torch.randint(model.network.levels, (rows, *model.network.shape), generator=generator)
    return {"given": given, "known": torch.rand(model.network.shape[1:], generator=generator) < share}


def row(conditions, i):
    return {name: condition[i : i + 1] for name, condition in conditions.items()}


# The engines.


@outputs
@pytest.mark.parametrize("conditioning", ["none", "bias", "scale", "gate", "film", "concat"])
def test_cached_equals_naive_sample_for_sample(make_model, make_conditions, output, colours, conditioning):
    model = make_model(output, colours, conditioning, "channel" if colours == 1 else "none")
    options = {"num_samples": 3, "seed": 5}
    conditions = make_conditions(model, 3)
    assert same(draw(model, conditions, engine="cached", **options), draw(model, conditions, engine="naive", **options))


@outputs
@pytest.mark.parametrize("share", [0.2, 0.8])
def test_cached_equals_naive_in_completion(make_model, make_conditions, output, colours, share):
    model = make_model(output, colours)
    conditions, options = make_conditions(model, 3), completion(model, 3, share)
    assert same(draw(model, conditions, engine="cached", **options), draw(model, conditions, engine="naive", **options))


def test_cached_equals_naive_under_tempering(make_model, make_conditions):
    model = make_model("categorical", 3, levels=8)
    conditions, options = make_conditions(model, 3), {"temperature": 0.7, "top_k": 5, "top_p": 0.8}
    assert same(draw(model, conditions, engine="cached", **options), draw(model, conditions, engine="naive", **options))


def rows_above_not_shifted(monkeypatch):
    original = pixelcnn.GatedBlock.step_row

    def step_row(block, v, above, film_v):
        v, linked, _ = original(block, v, above, film_v)
        return v, linked, above

    monkeypatch.setattr(pixelcnn.GatedBlock, "step_row", step_row)


def no_condition_at_the_pixel(monkeypatch):
    monkeypatch.setattr(GammaBeta, "at", lambda pair, row, column: GammaBeta())


def condition_of_the_first_column(monkeypatch):
    original = GammaBeta.at
    monkeypatch.setattr(GammaBeta, "at", lambda pair, row, column: original(pair, row, 0))


def condition_of_the_first_row(monkeypatch):
    original = GammaBeta.row
    monkeypatch.setattr(GammaBeta, "row", lambda pair, row: original(pair, 0))
    at = GammaBeta.at
    monkeypatch.setattr(GammaBeta, "at", lambda pair, row, column: at(pair, 0, column))


def after_each_row(monkeypatch, keep):
    """Let the next row begin with a part of the state that should have been renewed."""
    original = pixelcnn.PixelCNN._take

    def take(network, values, film, state):
        taken = original(network, values, film, state)
        return replace(taken, **{keep: getattr(state, keep)}) if not taken.row else taken

    monkeypatch.setattr(pixelcnn.PixelCNN, "_take", take)


def stale_left_window(monkeypatch):
    after_each_row(monkeypatch, "windows")


def stale_link_from_above(monkeypatch):
    after_each_row(monkeypatch, "linked")


MUTANTS = [
    rows_above_not_shifted,
    no_condition_at_the_pixel,
    condition_of_the_first_column,
    condition_of_the_first_row,
    stale_left_window,
    stale_link_from_above,
]


@pytest.mark.parametrize("plant", MUTANTS)
@pytest.mark.parametrize(("output", "colours"), [("categorical", 3), ("logistic_mixture", 1)])
def test_the_equality_catches(monkeypatch, make_model, make_conditions, plant, output, colours):
    model = make_model(output, colours)
    conditions = make_conditions(model, 3)
    naive = draw(model, conditions, engine="naive")
    assert same(draw(model, conditions, engine="cached"), naive)
    plant(monkeypatch)
    assert not same(draw(model, conditions, engine="cached"), naive)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("size", [(7, 4), (3, 4), (5, 6), (5, 3)])
def test_a_map_of_another_size_than_the_image_is_refused(make_model, make_conditions, engine, size):
    model, other = make_model(), make_model(size=size)
    film = other.film(make_conditions(other, 2))
    with pytest.raises(ValueError, match="do not fit images"):
        draw(model, film, engine=engine)


# Noise: a stream per sample.


@outputs
@pytest.mark.parametrize("engine", ["cached", "naive"])
def test_a_sample_does_not_depend_on_its_batch(make_model, make_conditions, output, colours, engine):
    model = make_model(output, colours)
    conditions = make_conditions(model, 5)
    together = draw(model, conditions, seed=3)
    assert same(draw(model, conditions, seed=3, batch_size=2, engine=engine), together)
    alone = {i: draw(model, row(conditions, i), seed=3, first_index=i, engine=engine) for i in (4, 2, 0, 1, 3)}
    x, log_prob = (torch.cat([alone[i][part] for i in range(5)]) for part in (0, 1))
    assert same(Samples(x, log_prob, engine, ""), together)


def test_a_completed_sample_does_not_depend_on_its_batch(make_model, make_conditions):
    model = make_model()
    conditions, options = make_conditions(model, 5), completion(model, 5)
    assert same(draw(model, conditions, batch_size=2, **options), draw(model, conditions, **options))


def test_the_seed_and_the_index_make_the_sample(make_model, make_conditions):
    model = make_model()
    draw_two = partial(draw, model, make_conditions(model, 1), num_samples=2)
    first = draw_two(seed=1)
    assert same(draw_two(seed=1), first)
    assert not torch.equal(draw_two(seed=2).x, first.x)
    assert not torch.equal(draw_two(seed=1, first_index=2).x, first.x)
    assert not torch.equal(first.x[0], first.x[1])


def test_sampling_leaves_the_global_random_numbers_alone(make_model, make_conditions):
    model = make_model()
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    draw(model, make_conditions(model, 2))
    assert torch.equal(torch.rand(3), expected)


def test_longer_noise_begins_with_the_shorter():
    longer = uniform_noise(7, [3, 0], (20, 2))
    assert torch.equal(longer[:, :6], uniform_noise(7, [3, 0], (6, 2)))
    assert torch.equal(longer[1:], uniform_noise(7, [0], (20, 2)))
    assert longer.dtype == torch.float64
    assert 0 <= longer.min() <= longer.max() < 1


def test_noise_of_every_seed_and_index_is_another():
    noise = torch.cat([uniform_noise(seed, range(10), (3,)) for seed in range(10)])
    assert noise.flatten().unique().numel() == noise.numel()


@pytest.mark.parametrize(("seed", "indices"), [(-1, [0]), (0, [2, -1])])
def test_negative_seeds_and_indices_are_refused(seed, indices):
    with pytest.raises(ValueError, match="whole numbers from 0"):
        uniform_noise(seed, indices, (1,))


# What is drawn follows the model.


@outputs
def test_the_log_probability_of_a_sample_is_the_teacher_forced_one(make_model, make_conditions, output, colours):
    model = make_model(output, colours)
    conditions = make_conditions(model, 3)
    for options in ({}, {"temperature": 0.5}):
        samples = draw(model, conditions, **options)
        assert torch.allclose(samples.log_prob, model.log_prob(samples.x, conditions), atol=1e-10)


@outputs
def test_completion_keeps_the_known_and_scores_the_unknown_pixels(make_model, make_conditions, output, colours):
    model = make_model(output, colours)
    conditions, options = make_conditions(model, 3), completion(model, 3)
    given, known = options["given"], options["known"]
    samples = draw(model, conditions, **options)
    assert torch.equal(samples.x[..., known], given[..., known])
    assert not torch.equal(samples.x[..., ~known], given[..., ~known])
    log_prob = model(samples.x, conditions).log_prob(samples.x)
    assert torch.allclose(samples.log_prob, log_prob[..., ~known].flatten(1).sum(1), atol=1e-10)


def test_completion_of_everything_or_nothing(make_model, make_conditions):
    model = make_model()
    conditions, given = make_conditions(model, 3), completion(model, 1)["given"]
    everything = draw(model, conditions, given=given, known=torch.ones(5, 4).bool())
    assert torch.equal(everything.x, given.expand(3, -1, -1, -1))
    assert (everything.log_prob == 0).all()
    assert same(draw(model, conditions, given=given, known=torch.zeros(5, 4).bool()), draw(model, conditions))


@pytest.mark.parametrize(("output", "levels"), [("categorical", 3), ("bernoulli", 2), ("logistic_mixture", 3)])
def test_frequencies_follow_the_probabilities(make_model, make_conditions, output, levels):
    """Two pixels have few images: Pearson's test, which also must tell the conditions apart."""
    n, model = 4000, make_model(output, size=(1, 2), levels=levels)
    conditions, other = make_conditions(model, 1), make_conditions(model, 1, seed=1)
    images = torch.tensor(list(itertools.product(range(levels), repeat=2))).view(-1, 1, 1, 2)
    expected, wrong = (n * model.log_prob(images, model.film(c)).exp() for c in (conditions, other))
    assert torch.isclose(expected.sum(), torch.tensor(n).double())
    x = draw(model, conditions, num_samples=n, batch_size=n).x.flatten(1)
    observed = (x @ torch.tensor([levels, 1])).bincount(minlength=levels**2)
    assert stats.chisquare(observed, expected.detach()).pvalue > 1e-3
    assert stats.chisquare(observed, wrong.detach()).pvalue < 1e-6


def test_top_k_1_is_greedy(make_model, make_conditions):
    model = make_model(levels=5)
    conditions = make_conditions(model, 3)
    x = draw(model, conditions, top_k=1).x
    assert torch.equal(x, model(x, conditions).logits.argmax(-1))
    assert torch.equal(x, draw(model, conditions, top_k=1, seed=1).x)


# What a call takes, and what it leaves.


@outputs
def test_film_parameters_stand_for_their_conditions(make_model, make_conditions, output, colours):
    model = make_model(output, colours)
    conditions = make_conditions(model, 3)
    assert same(draw(model, model.film(conditions), batch_size=2), draw(model, conditions, batch_size=2))


def test_one_row_of_conditions_serves_all_samples(make_model, make_conditions):
    model = make_model()
    conditions = make_conditions(model, 1)
    repeated = {name: condition.repeat(4, *[1] * (condition.ndim - 1)) for name, condition in conditions.items()}
    assert same(draw(model, conditions, num_samples=4), draw(model, repeated))


def test_an_unconditional_model_needs_no_conditions(make_model):
    model = make_model(conditioning="none")
    assert same(draw(model, num_samples=3), draw(model, {}, num_samples=3))
    assert draw(model).x.shape == (1, 1, 5, 4)


def test_sampling_leaves_modes_and_weights_alone_and_drops_nothing_out(make_model, make_conditions):
    model = make_model(dropout=0.5)
    conditions = make_conditions(model, 3)
    expected = draw(model, conditions)
    model.train()
    model.network.blocks[0].eval()
    modes = {name: module.training for name, module in model.named_modules()}
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for engine in ("cached", "naive"):
        assert same(draw(model, conditions, engine=engine), expected)
    assert {name: module.training for name, module in model.named_modules()} == modes
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())


def test_modes_come_back_after_an_error(make_model, make_conditions):
    model = make_model().train()
    with pytest.raises(ValueError, match="num_samples"):
        draw(model, make_conditions(model, 3), num_samples=2)
    assert all(module.training for module in model.modules())


@pytest.mark.parametrize("engine", ["cached", "naive"])
def test_other_weights_are_used_from_the_next_call_on(make_model, make_conditions, engine):
    model, other = make_model(seed=0), make_model(seed=1)
    conditions = make_conditions(model, 3)
    before = draw(model, conditions, engine=engine)
    model.load_state_dict(other.state_dict())
    assert same(draw(model, conditions, engine=engine), draw(other, conditions, engine=engine))
    assert not torch.equal(draw(model, conditions, engine=engine).x, before.x)


def test_float32_samples_are_on_the_grid(make_model, make_conditions):
    for output, colours in OUTPUTS:
        model = make_model(output, colours).float()
        x = draw(model, {k: v.float() if v.is_floating_point() else v for k, v in make_conditions(model, 3).items()}).x
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
        ({"num_samples": 0}, "num_samples 0 does not fit conditions with 3 rows"),
        ({"num_samples": 4}, "num_samples 4 does not fit conditions with 3 rows"),
        ({"batch_size": 0}, "batch_size 0"),
        ({"engine": "fast"}, "unknown engine 'fast'; known: auto, cached, naive"),
        ({"seed": -1}, "whole numbers from 0"),
        ({"first_index": -1}, "whole numbers from 0"),
    ],
)
def test_an_argument_out_of_range_is_refused(make_model, make_conditions, options, message):
    model = make_model()
    with pytest.raises(ValueError, match=message):
        draw(model, make_conditions(model, 3), **options)


@pytest.mark.parametrize("options", [{"top_k": 1}, {"top_p": 0.5}])
@pytest.mark.parametrize("output", ["bernoulli", "logistic_mixture"])
def test_top_k_and_top_p_are_refused_for_other_outputs(make_model, make_conditions, output, options):
    model = make_model(output)
    with pytest.raises(ValueError, match=f"for categorical outputs; this model's output is '{output}'"):
        draw(model, make_conditions(model, 3), **options)


GIVEN, KNOWN = torch.zeros(3, 1, 5, 4, dtype=torch.long), torch.ones(5, 4).bool()


@pytest.mark.parametrize(
    ("given", "known", "message"),
    [
        (GIVEN, None, "needs both"),
        (None, KNOWN, "needs both"),
        (GIVEN[:2], KNOWN, r"`given` is \(2, 1, 5, 4\); expected \(3 or 1, 1, 5, 4\)"),
        (GIVEN[..., :3], KNOWN, r"`given` is \(3, 1, 5, 3\); expected \(3 or 1, 1, 5, 4\)"),
        (GIVEN, KNOWN[:4], r"`known` is \(4, 4\); expected \(5, 4\)"),
        (GIVEN.float(), KNOWN, "whole levels from 0 to 3"),
        (GIVEN + 4, KNOWN, "whole levels from 0 to 3"),
        (GIVEN - 1, KNOWN, "whole levels from 0 to 3"),
    ],
)
def test_a_completion_that_does_not_fit_is_refused(make_model, make_conditions, given, known, message):
    model = make_model()
    with pytest.raises(ValueError, match=message):
        draw(model, make_conditions(model, 3), given=given, known=known)


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
    draw(model, engine="naive")
    assert seen
    assert "tf32" not in seen
    assert cudnn.conv.fp32_precision == precision
