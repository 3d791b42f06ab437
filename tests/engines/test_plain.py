"""The cached engine draws what the naive one draws, which is the definition: images, then waveforms."""

from dataclasses import replace
from functools import partial

import pytest
import torch

from condgen.conditioning import GammaBeta
from condgen.models import WaveNet, pixelcnn
from condgen.models.convolutions import CausalConv1d
from condgen.models.wavenet import WaveNetState
from condgen.sampling import sample

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


# Images.


@outputs
@pytest.mark.parametrize("conditioning", ["none", "bias", "scale", "gate", "film", "concat"])
@pytest.mark.parametrize("dilations", [None, [1, 3, 2]], ids=["plain", "dilated"])
def test_cached_equals_naive_sample_for_sample(make_model, make_conditions, output, colours, conditioning, dilations):
    model = make_model(output, colours, conditioning, "channel" if colours == 1 else "none", dilations=dilations)
    conditions = make_conditions(model, 3)
    options = {"num_samples": 1 if conditions else 3, "seed": 5}
    assert same(
        sampled(model, conditions, engine="cached", **options), sampled(model, conditions, engine="naive", **options)
    )


@outputs
@pytest.mark.parametrize("share", [0.2, 0.8])
@pytest.mark.parametrize("dilations", [None, [1, 3, 2]], ids=["plain", "dilated"])
def test_cached_equals_naive_in_completion(make_model, make_conditions, output, colours, share, dilations):
    model = make_model(output, colours, dilations=dilations)
    conditions, options = make_conditions(model, 3), completion(model, 3, share)
    assert same(
        sampled(model, conditions, engine="cached", **options), sampled(model, conditions, engine="naive", **options)
    )


def test_cached_equals_naive_under_tempering(make_model, make_conditions):
    model = make_model("categorical", 3, levels=8)
    conditions, options = make_conditions(model, 3), {"temperature": 0.7, "top_k": 5, "top_p": 0.8}
    assert same(
        sampled(model, conditions, engine="cached", **options), sampled(model, conditions, engine="naive", **options)
    )


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
    after_each_row(monkeypatch, "left")


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
    naive = sampled(model, conditions, engine="naive")
    assert same(sampled(model, conditions, engine="cached"), naive)
    plant(monkeypatch)
    assert not same(sampled(model, conditions, engine="cached"), naive)


# Waveforms.


CONDITIONINGS = ["none", "bias", "scale", "gate", "film", "concat"]


AUDIO_OUTPUTS = ["categorical", "logistic_mixture", "gaussian"]


conditionings = pytest.mark.parametrize("conditioning", CONDITIONINGS)


audio_outputs = pytest.mark.parametrize("output", AUDIO_OUTPUTS)


def levels(model, rows, time, seed=0):
    return torch.randint(model.network.levels, (rows, 1, time), generator=torch.Generator().manual_seed(seed))


def both_engines(model, conditions, **options):
    return tuple(sampled(model, conditions, engine=engine, **options) for engine in ("cached", "naive"))


@conditionings
@audio_outputs
@pytest.mark.parametrize("input", ["embedding", "scalar"])
@pytest.mark.parametrize("hop", [1, 3])
def test_cached_equals_naive_in_waveforms(make_wavenet, make_melodies, conditioning, output, input, hop):
    model = make_wavenet(output, conditioning, "channel" if input == "scalar" else "none", input, hop)
    options = {"length": [12, 7, 10], "seed": 5}
    assert same(*both_engines(model, make_melodies(model, 3, 12 // hop), **options))


@pytest.mark.parametrize("kernel_size", [2, 3, 4])
@pytest.mark.parametrize("dilations", [[1], [5], [1, 2, 4], [3, 1], [2, 2]], ids=str)
@pytest.mark.parametrize("weight_norm", [False, True])
def test_cached_equals_naive_with_every_dilation(make_wavenet, make_melodies, kernel_size, dilations, weight_norm):
    model = make_wavenet("gaussian", hop=4, kernel_size=kernel_size, dilations=dilations, weight_norm=weight_norm)
    assert same(*both_engines(model, make_melodies(model, 2, 4)))


@audio_outputs
@pytest.mark.parametrize("conditioning", ["film", "concat"])
@pytest.mark.parametrize("given", [1, 2, 3, 4, 7])
def test_cached_equals_naive_after_a_beginning(make_wavenet, make_melodies, output, conditioning, given):
    model = make_wavenet(output, conditioning, hop=3)
    options = {"given": levels(model, 3, given), "length": [12, 7, 10]}
    assert same(*both_engines(model, make_melodies(model, 3, 4), **options))


@pytest.mark.parametrize("share", [0.2, 0.8])
def test_cached_equals_naive_around_known_samples(make_wavenet, make_melodies, share):
    model = make_wavenet(hop=3)
    known = torch.rand(12, generator=torch.Generator().manual_seed(0)) < share
    given = levels(model, 3, 12)
    cached, naive = both_engines(model, make_melodies(model, 3, 4), given=given, known=known)
    assert same(cached, naive)
    assert torch.equal(cached.x[..., known], given[..., known])
    assert not torch.equal(cached.x[..., ~known], given[..., ~known])


def test_cached_equals_naive_in_tempered_waveforms(make_wavenet, make_melodies):
    model = make_wavenet(hop=3, levels=8)
    conditions = make_melodies(model, 3, 4)
    assert same(*both_engines(model, conditions, temperature=0.7, top_k=5, top_p=0.8, length=[12, 7, 10]))


@pytest.mark.parametrize("output", AUDIO_OUTPUTS[1:])
def test_cached_equals_naive_at_another_temperature(make_wavenet, make_melodies, output):
    model = make_wavenet(output, hop=3)
    assert same(*both_engines(model, make_melodies(model, 3, 4), temperature=0.7))


def stale_history(monkeypatch):
    original = WaveNet.step

    def step(network, values, film, state):
        parameters, new = original(network, values, film, state)
        return parameters, WaveNetState(new.step, (state.past[0], *new.past[1:]))

    monkeypatch.setattr(WaveNet, "step", step)


def history_in_the_wrong_order(monkeypatch):
    original = CausalConv1d.step
    monkeypatch.setattr(CausalConv1d, "step", lambda conv, x, past: original(conv, x, past[::-1]))


def history_of_another_layer(monkeypatch):
    original = WaveNet.step

    def step(network, values, film, state):
        first = state.past[0]
        return original(network, values, film, WaveNetState(state.step, (first, (*first, *first), *state.past[2:])))

    monkeypatch.setattr(WaveNet, "step", step)


def condition_of_the_first_frame(monkeypatch):
    original = GammaBeta.at
    monkeypatch.setattr(GammaBeta, "at", lambda pair, frame: original(pair, 0))


def condition_of_the_frame_before(monkeypatch):
    original = GammaBeta.at
    monkeypatch.setattr(GammaBeta, "at", lambda pair, frame: original(pair, max(0, frame - 1)))


def condition_forgotten(monkeypatch):
    monkeypatch.setattr(GammaBeta, "at", lambda pair, frame: GammaBeta())


def sample_before_forgotten(monkeypatch):
    original = WaveNet.step
    monkeypatch.setattr(WaveNet, "step", lambda network, values, film, state: original(network, None, film, state))


WAVENET_MUTANTS = [
    stale_history, history_in_the_wrong_order, history_of_another_layer, condition_of_the_first_frame,
    condition_of_the_frame_before, condition_forgotten, sample_before_forgotten,
]  # fmt: skip


@pytest.mark.parametrize("plant", WAVENET_MUTANTS)
@audio_outputs
def test_the_equality_in_waveforms_catches(monkeypatch, make_wavenet, make_melodies, plant, output):
    model = make_wavenet(output, hop=3, kernel_size=3)
    conditions = make_melodies(model, 3, 6)
    naive = sampled(model, conditions, engine="naive")
    assert same(sampled(model, conditions), naive)
    plant(monkeypatch)
    assert not same(sampled(model, conditions), naive)


def primed_one_sample_early(monkeypatch):
    original = WaveNet.prime

    def prime(network, x, film=None):
        return WaveNetState(x.shape[-1], original(network, x[..., :-1], film).past)

    monkeypatch.setattr(WaveNet, "prime", prime)


def primed_without_a_condition(monkeypatch):
    original = WaveNet.prime
    monkeypatch.setattr(WaveNet, "prime", lambda network, x, film=None: original(network, x))


def primed_with_nothing(monkeypatch):
    monkeypatch.setattr(
        WaveNet, "prime", lambda network, x, film=None: WaveNetState(x.shape[-1], network.start(len(x)).past)
    )


@pytest.mark.parametrize("plant", [primed_one_sample_early, primed_without_a_condition, primed_with_nothing])
@audio_outputs
def test_the_equality_after_a_beginning_catches(monkeypatch, make_wavenet, make_melodies, plant, output):
    model = make_wavenet(output, hop=3, kernel_size=3)
    conditions, given = make_melodies(model, 3, 6), levels(model, 3, 7)
    naive = sampled(model, conditions, given=given, engine="naive")
    assert same(sampled(model, conditions, given=given), naive)
    plant(monkeypatch)
    assert not same(sampled(model, conditions, given=given), naive)
