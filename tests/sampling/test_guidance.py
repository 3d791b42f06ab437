"""Guidance: what is drawn is what its equation says, by every engine, and scored as the model's own."""

from functools import partial

import pytest
import torch

from condgen.engines import compiled
from condgen.sampling import sample, stream, uniform_noise

sampled = partial(sample, progress=False)
DROPPED = {"image": {"label": 0.1, "columns": 0.1}, "audio": {"speaker": 0.2}}
LENGTH = 9


@pytest.fixture(params=["bernoulli", "colours", "audio"])
def guided(request, make_model, make_conditions, make_wavenet, make_melodies):
    """A model that knows some of its conditions' absence, conditions of four rows, and options of sampling."""
    if request.param == "audio":
        model = make_wavenet(dropped=DROPPED["audio"], norm="channel")
        return model, make_melodies(model, 4, LENGTH), {"length": LENGTH}
    output, colours = ("bernoulli", 1) if request.param == "bernoulli" else ("categorical", 3)
    model = make_model(output, colours, dropped=DROPPED["image"])
    return model, make_conditions(model, 4), {}


def by_hand(model, conditions, weight, seed, length=None):
    """Draw by the equation, with the whole network twice a step."""
    network, present = model.network, model.film(conditions)
    absent = model.film_generator.without(conditions)
    x = torch.full((4, *network.canvas(length, present)), network.blank)
    steps = network.num_steps(x.shape[1:])
    noise = uniform_noise([seed] * 4, range(4), (steps, network.output.uniforms))
    for step in range(steps):
        position, channels, parameters = network.locate(step)
        at = (slice(None), parameters, *position)
        with_, without = network(x, present)[at], network(x, absent)[at]
        values = network.output((1 + weight) * with_ - weight * without).from_uniform(noise[:, step])
        x[(slice(None), channels, *position)] = values
    return x


@pytest.mark.parametrize("engine", ["naive", "cached", "graph"])
@pytest.mark.parametrize("weight", [-1.0, 0.7, 4.0])
def test_every_engine_draws_what_the_equation_says_and_scores_it_as_the_models_own(guided, engine, weight):
    model, conditions, options = guided
    with torch.no_grad():
        expected = by_hand(model, conditions, weight, seed=5, **options)
        log_prob = model.log_prob(expected, conditions)
    found = sampled(model, conditions, guidance=weight, seed=5, engine=engine, **options)
    assert found.engine == engine
    assert torch.equal(found.x, expected)
    torch.testing.assert_close(found.log_prob, log_prob, rtol=0, atol=1e-9)
    assert not torch.equal(expected, sampled(model, conditions, seed=5, **options).x)  # it does something


@pytest.mark.parametrize("threads", [1, 5])
def test_compiled_kernels_draw_what_cached_draws(guided, threads, monkeypatch):
    monkeypatch.setattr(compiled, "LEAST_WORK", 1)  # a thread for every sample, none for half of one
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    model, conditions, options = guided
    model = model.float()
    conditions = {n: v.float() if v.is_floating_point() else v for n, v in conditions.items()}
    asked = {"guidance": 1.5, "seed": 2, "num_samples": 3, **options}  # twelve samples
    expected, found = (sampled(model, conditions, engine=e, **asked) for e in ("cached", "compiled"))
    assert found.engine == "compiled"
    same = (expected.x == found.x).flatten(1).all(1)
    assert same.float().mean() > 0.9  # rounding decides a tie once in a long while
    torch.testing.assert_close(found.log_prob[same], expected.log_prob[same], rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(("samples", "threads"), [(12, 5), (1, 4), (7, 2), (3, 3)])
def test_threads_share_samples_and_never_halves_of_one(samples, threads, monkeypatch):
    monkeypatch.setattr(compiled, "LEAST_WORK", 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    parts = compiled.blocks(2 * samples, 10**6, each=2)
    assert len(parts) == min(samples, threads)
    assert [row for part in parts for row in range(2 * samples)[part]] == [*range(2 * samples)]
    assert all(part.start % 2 == part.stop % 2 == 0 and part.start < part.stop for part in parts)


@pytest.mark.parametrize("engine", ["naive", "cached"])
def test_a_guided_sample_does_not_depend_on_its_batch(guided, engine):
    model, conditions, options = guided
    together = sampled(model, conditions, guidance=2, seed=1, engine="naive", **options)
    apart = sampled(model, conditions, guidance=2, seed=1, engine=engine, batch_size=3, **options)
    assert torch.equal(together.x, apart.x)


def test_one_row_of_conditions_serves_all_samples(guided):
    model, conditions, options = guided
    row = {name: value[:1] for name, value in conditions.items()}
    many = sampled(model, row, num_samples=3, guidance=2, seed=1, **options)
    each = sampled(model, {n: v.repeat_interleave(3, 0) for n, v in row.items()}, guidance=2, seed=1, **options)
    assert torch.equal(many.x, each.x)


def test_weight_minus_one_draws_without_the_conditions(guided):
    model, conditions, options = guided
    absent = model.film_generator.without(conditions)
    expected = sampled(model, absent, seed=3, **options)
    assert torch.equal(sampled(model, conditions, guidance=-1, seed=3, **options).x, expected.x)
    assert torch.equal(sampled(model, conditions, film_guidance=-1, seed=3, **options).x, expected.x)


def test_guidance_of_the_parameters_is_one_step_from_none_through_the_condition(guided):
    model, conditions, options = guided
    present, absent = model.film(conditions), model.film_generator.without(conditions)
    moved = absent + (present - absent) * 2.5
    expected = sampled(model, moved, seed=3, **options)
    found = sampled(model, conditions, film_guidance=1.5, seed=3, **options)
    assert torch.equal(found.x, expected.x)
    torch.testing.assert_close(found.log_prob, expected.log_prob)
    both = sampled(model, conditions, film_guidance=1.5, guidance=1, seed=3, **options)
    assert not torch.equal(both.x, found.x)


def test_completion_and_lengths_of_their_own(make_wavenet, make_melodies):
    model = make_wavenet(dropped=0.1)
    conditions, given = make_melodies(model, 3, LENGTH), torch.randint(6, (3, 1, 2))
    options = {"guidance": 1.5, "seed": 4, "given": given, "length": [9, 4, 6]}
    naive, cached = (sampled(model, conditions, engine=e, **options) for e in ("naive", "cached"))
    assert torch.equal(naive.x, cached.x)
    assert torch.equal(naive.x[..., :2], given)
    torch.testing.assert_close(naive.log_prob, cached.log_prob)
    for row, end in enumerate(options["length"]):
        assert (naive.x[row, 0, end:] == model.network.blank).all()
        own = {name: value[row : row + 1] for name, value in conditions.items()}
        alone = sampled(model, own, **{**options, "given": given[row : row + 1], "length": end}, first_index=row)
        assert torch.equal(alone.x[0], naive.x[row, :, :end])


@pytest.mark.parametrize("temper", [{"temperature": 0.6}, {"top_k": 2}, {"top_p": 0.7}])
def test_tempering_acts_on_guided_logits(make_wavenet, make_melodies, temper):
    model = make_wavenet(dropped=0.1).float()
    conditions = {n: v.float() if v.is_floating_point() else v for n, v in make_melodies(model, 6, LENGTH).items()}
    options = {"guidance": 2, "length": LENGTH, **temper}
    cached, kernels = (sampled(model, conditions, engine=e, **options) for e in ("cached", "compiled"))
    assert torch.equal(cached.x, kernels.x)
    assert not torch.equal(cached.x, sampled(model, conditions, guidance=2, length=LENGTH).x)


@pytest.mark.parametrize(("output", "options", "message"), [
    ("logistic_mixture", {"guidance": 1.0}, "guidance is for categorical and Bernoulli outputs.*use film_guidance"),
    ("categorical", {"guidance": -1.5}, r"guidance -1\.5 is not at least -1"),
    ("categorical", {"guidance": float("nan")}, "guidance nan"),
    ("categorical", {"guidance": float("inf")}, "guidance inf"),
    ("categorical", {"film_guidance": float("nan")}, "film_guidance nan is not a finite number"),
])  # fmt: skip
def test_what_cannot_be_guided_is_refused(make_model, make_conditions, output, options, message):
    model = make_model(output, dropped=0.1)
    with pytest.raises(ValueError, match=message):
        sampled(model, make_conditions(model, 2), **options)


def test_continuous_outputs_are_guided_by_their_parameters(make_model, make_conditions):
    model = make_model("logistic_mixture", dropped=0.1)
    conditions = make_conditions(model, 2)
    assert not torch.equal(sampled(model, conditions, film_guidance=2).x, sampled(model, conditions).x)


@pytest.mark.parametrize("option", ["guidance", "film_guidance"])
def test_guidance_needs_a_model_that_knows_none_and_conditions(make_model, make_conditions, option):
    plain, model = make_model(), make_model(dropped=0.1)
    with pytest.raises(ValueError, match=r"train it with --model\.condition_dropout"):
        sampled(plain, make_conditions(plain, 2), **{option: 1.0})
    with pytest.raises(ValueError, match="guidance needs conditions and not FiLM parameters"):
        sampled(model, model.film(make_conditions(model, 2)), **{option: 1.0})


def test_parameters_are_guided_as_conditions_are_where_it_is_given_what_is_without_them(guided):
    model, conditions, options = guided
    film, without = model.film(conditions), model.film_generator.without(conditions)
    asked = {"guidance": 1.5, "film_guidance": 0.5, "seed": 3, "batch_size": 3, **options}
    expected = sampled(model, conditions, num_samples=2, **asked)
    assert torch.equal(sampled(model, film, without=without, num_samples=2, **asked).x, expected.x)
    several = sampled(model, film.select(0), without=without, **asked).x
    for i in range(4):
        alone = sampled(model, film.select(0), without=without.select(i), first_index=i, **asked)
        assert torch.equal(alone.x[0], several[i])
    with pytest.raises(ValueError, match="4 rows of conditions and 3 rows of `without`"):
        sampled(model, film, without=without.select([0, 1, 2]), **asked)


def test_streams_are_drawn_without_guidance(make_wavenet, make_melodies):
    model = make_wavenet(dropped=0.1)
    with pytest.raises(TypeError, match="guidance"):
        next(stream(model, make_melodies(model, 1, LENGTH), guidance=1.0))
