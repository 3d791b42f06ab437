"""The compiled engine: it draws what the cached one draws in every configuration, but for ties at rounding.

Models are in float32 here, whose rounding decides between two levels about once in a million draws.
"""

import dataclasses
import os
import subprocess
import sys
import warnings
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tqdm import tqdm

from condgen.conditioning import FiLMParameters, GammaBeta
from condgen.engines import compiled, compiled_pixelcnn, compiled_wavenet, kernels, rings, tape
from condgen.engines.choice import choose
from condgen.engines.draw import Draw
from condgen.models import WaveNet
from condgen.models.convolutions import gate
from condgen.sampling import Interrupted, StreamState, ancestral, sample, stream
from condgen.sampling.noise import uniform_noise

draw = partial(sample, progress=False)
grid = settings(
    max_examples=100,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@pytest.fixture(autouse=True)
def threads():
    """Let tests choose threads."""
    yield
    torch.set_num_threads(1)


def floats(conditions):
    return {name: value.float() if value.is_floating_point() else value for name, value in conditions.items()}


def parameters_of(monkeypatch):
    """Record the parameters that every draw is scored by, (batch, parameters, steps) a turn."""
    recorded, original = [], Draw.keep

    def keep(self, steps, parameters, values):
        recorded.append(parameters)
        return original(self, steps, parameters, values)

    monkeypatch.setattr(Draw, "keep", keep)
    return recorded


def recorded_run(model, conditions, engine, options):
    with pytest.MonkeyPatch.context() as monkeypatch:
        recorded = parameters_of(monkeypatch)
        samples = draw(model, conditions, engine=engine, **options)
    parameters = torch.cat(recorded, dim=-1)
    lengths = options.get("length", 0)
    if isinstance(lengths, list):  # drawn in the order of their lengths
        order = sorted(range(len(lengths)), key=lengths.__getitem__)
        parameters = parameters[torch.tensor(order).argsort()].clone()
        for row, end in enumerate(lengths):  # nothing behind an end matters
            parameters[row, :, parameters.shape[-1] - (max(lengths) - end) :] = 0
    return samples, parameters


def assert_equal(model, conditions, **options):
    """Compare two engines: levels, parameters of every step, log-probabilities; rows after a tie are left out."""
    (expected, logits), (got, own) = (recorded_run(model, conditions, e, options) for e in ("cached", "compiled"))
    assert choose("compiled", model.network).name == "compiled"  # and has not given way to the other
    same = (expected.x == got.x).flatten(1).all(1)
    for row in torch.nonzero(~same).flatten().tolist():
        assert_tie(model, logits[row], expected.x[row], got.x[row], row, options)
    scale = logits[same].abs().amax().clamp(min=1) if same.any() else 1
    assert torch.allclose(own[same] / scale, logits[same] / scale, rtol=0, atol=1e-5)
    # A narrow bin's probability magnifies the rounding of its mean.
    assert torch.allclose(got.log_prob[same], expected.log_prob[same], rtol=1e-3, atol=2e-2)
    return same


def assert_tie(model, logits, expected, got, row, options):
    """At the first step at which two samples differ, the uniform number lies within 1e-4 of where levels meet."""
    output, groups = model.network.output, model.network.output.groups
    by_step = [x.flatten(1).unflatten(0, (groups, -1)).permute(2, 0, 1).flatten(0, 1) for x in (expected, got)]
    step = int(torch.nonzero((by_step[0] != by_step[1]).any(1))[0])
    steps = by_step[0].shape[0]
    noise = uniform_noise(options.get("seed", 0), [row], (steps, output.uniforms))[:, step]
    distribution = output(logits[None, :, step - steps])
    temper = {name: options[name] for name in ("temperature", "top_k", "top_p") if name in options}
    distribution = distribution.tempered(**temper) if temper else distribution
    around = [distribution.from_uniform((noise + shift).clamp(0, 1 - 1e-9)) for shift in (-1e-4, 1e-4)]
    assert not torch.equal(*around), (row, step)


# WaveNet.

WAVENETS = st.fixed_dictionaries(
    {
        "output": st.sampled_from(["categorical", "logistic_mixture", "gaussian"]),
        "conditioning": st.sampled_from(["none", "bias", "scale", "gate", "film", "concat"]),
        "norm": st.sampled_from(["none", "channel"]),
        "input": st.sampled_from(["embedding", "scalar"]),
        "hop": st.sampled_from([1, 3]),
        "seed": st.integers(0, 99),
        "levels": st.sampled_from([2, 6, 256]),
        "channels": st.sampled_from([3, 16, 20]),
        "hidden": st.sampled_from([2, 16, 33]),
        "skip": st.sampled_from([1, 16, 40]),
        "head": st.sampled_from([5, 32]),
        "kernel_size": st.integers(2, 4),
        "dilations": st.lists(st.sampled_from([1, 2, 3, 4, 8, 12, 32]), min_size=1, max_size=4),
        "weight_norm": st.booleans(),
    }
)
CALLS = st.fixed_dictionaries(
    {
        "rows": st.integers(1, 11),
        "length": st.integers(20, 60),
        "ragged": st.booleans(),
        "given": st.sampled_from([None, "beginning", "scattered"]),
        "temper": st.sampled_from([{}, {"temperature": 0.7}, {"top_k": 3, "top_p": 0.8, "temperature": 1.3}]),
        "threads": st.sampled_from([1, 2]),
        "turn": st.sampled_from([0.0, 0.1]),
    }
)


def wavenet_call(model, make_melodies, call):
    """Turn a drawn call into conditions and options of `sample`."""
    hop = model.network.hop if model.film_generator.conditioning != "concat" else 3
    frames = -(-call["length"] // hop)
    conditions = floats(make_melodies(model, call["rows"], frames))
    length = call["length"]
    options = {"num_samples": call["rows"], "seed": 7}
    options["length"] = [length - 2 * (i % 5) for i in range(call["rows"])] if call["ragged"] else length
    options |= call["temper"] if model.network.output.name == "categorical" or len(call["temper"]) < 2 else {}
    if call["given"]:
        generator = torch.Generator().manual_seed(1)
        options["given"] = torch.randint(model.network.levels, (1, 1, 9), generator=generator)
        if call["given"] == "scattered":
            options["known"] = torch.rand(9, generator=generator) < 0.5
    return conditions, options


@grid
@given(config=WAVENETS, call=CALLS)
def test_a_compiled_wavenet_draws_what_the_cached_one_draws(make_wavenet, make_melodies, config, call):
    hop = 3 if config["conditioning"] == "concat" else config["hop"]
    model = make_wavenet(**{**config, "hop": hop}).float()
    conditions, options = wavenet_call(model, make_melodies, call)
    torch.set_num_threads(call["threads"])
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(tape, "TURN", call["turn"])
        monkeypatch.setattr(compiled, "LEAST_WORK", 1)
        assert_equal(model, conditions, **options)


def test_a_compiled_wavenet_of_full_size_draws_what_the_cached_one_draws(make_wavenet):
    """30 layers, 64 / 128 / 64 channels, 256 levels: at most one tie in 6,400 samples."""
    torch.manual_seed(0)
    model = make_wavenet(
        conditioning="none", levels=256, channels=64, dilations=[2**i for _ in range(3) for i in range(10)]
    )
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    same = assert_equal(model.float(), {}, num_samples=8, length=800)
    assert same.sum() >= 7


def swapped_taps(monkeypatch):
    original = compiled_wavenet.matrices

    def matrices(network):
        listed = original(network)
        return [listed[1], listed[0], *listed[2:]]

    monkeypatch.setattr(compiled_wavenet, "matrices", matrices)


def past_read_before_it_is_written(monkeypatch):
    monkeypatch.setattr(compiled_wavenet, "steps_ahead", lambda dilations, rows: np.full_like(dilations, 16))


def past_in_the_wrong_place(monkeypatch):
    original = rings.Rings.slots
    monkeypatch.setattr(rings.Rings, "slots", lambda ring, step: original(ring, 0))


def no_condition(monkeypatch):
    original = compiled.pack_film
    monkeypatch.setattr(compiled, "pack_film", lambda pairs, *rest: original([GammaBeta()] * len(pairs), *rest))


def beta_without_gamma(monkeypatch):
    original = compiled.pack_film
    monkeypatch.setattr(
        compiled, "pack_film", lambda pairs, *rest: original([GammaBeta(None, *pair[1:]) for pair in pairs], *rest)
    )


def first_frame(monkeypatch):
    original = compiled_wavenet.Frames.at

    def at(frames, steps, rows):
        first = frames.frames.start * frames.network.hop
        return original(frames, range(first, first + 1), rows)

    monkeypatch.setattr(compiled_wavenet.Frames, "at", at)


def rows_in_another_order(monkeypatch):
    monkeypatch.setattr(compiled, "blocks", lambda rows, work: [slice(0, 1), slice(0, rows - 1)])


def noise_of_the_first_step(monkeypatch):
    original = compiled.standardised
    monkeypatch.setattr(compiled, "standardised", lambda noise, output: original(noise[:, :1], output).repeat(99, 1))


WAVENET_MUTANTS = [
    swapped_taps,
    past_read_before_it_is_written,
    past_in_the_wrong_place,
    no_condition,
    beta_without_gamma,
    first_frame,
    rows_in_another_order,
    noise_of_the_first_step,
]


@pytest.mark.parametrize("plant", WAVENET_MUTANTS)
def test_the_equality_of_wavenets_catches(monkeypatch, make_wavenet, make_melodies, plant):
    model = make_wavenet(hop=3, levels=32, channels=16, dilations=[2, 3, 4]).float()
    conditions = floats(make_melodies(model, 4, 15))
    options = {"given": torch.arange(9)[None, None]}
    monkeypatch.setattr(tape, "TURN", 0.0)
    assert assert_equal(model, conditions, **options).all()
    plant(monkeypatch)
    with pytest.raises((AssertionError, FloatingPointError)):  # what lies behind a buffer may be no number
        assert_equal(model, conditions, **options)


# PixelCNN.

PIXELCNNS = st.fixed_dictionaries(
    {
        "output": st.sampled_from(["bernoulli", "categorical", "logistic_mixture", "gaussian"]),
        "colours": st.sampled_from([1, 3]),
        "conditioning": st.sampled_from(["none", "bias", "scale", "gate", "film", "concat"]),
        "norm": st.sampled_from(["none", "channel"]),
        "size": st.sampled_from([(5, 4), (1, 6), (6, 1), (3, 9)]),
        "seed": st.integers(0, 99),
        "layers": st.integers(1, 4),
        "channels": st.sampled_from([6, 12, 48]),
        "head": st.sampled_from([3, 18]),
        "kernel_size": st.sampled_from([3, 5]),
        "first_kernel_size": st.sampled_from([3, 7]),
        "levels": st.sampled_from([3, 16]),
    }
)


@grid
@given(config=PIXELCNNS, call=CALLS)
def test_a_compiled_pixelcnn_draws_what_the_cached_one_draws(make_model, make_conditions, config, call):
    levels = 2 if config["output"] == "bernoulli" else config["levels"]
    model = make_model(**{**config, "levels": levels}).float()
    conditions = floats(make_conditions(model, call["rows"]))
    options = {"num_samples": call["rows"], "seed": 7}
    options |= call["temper"] if model.network.output.name == "categorical" or len(call["temper"]) < 2 else {}
    if call["given"]:
        generator = torch.Generator().manual_seed(1)
        options["given"] = torch.randint(levels, (1, *model.network.shape), generator=generator)
        options["known"] = torch.rand(model.network.shape[1:], generator=generator) < 0.4
    torch.set_num_threads(call["threads"])
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(compiled, "LEAST_WORK", 1)
        assert_equal(model, conditions, **options)


def swapped_columns(monkeypatch):
    original = compiled_pixelcnn.matrices

    def matrices(network):
        listed = original(network)
        return [listed[1], listed[0], *listed[2:]]

    monkeypatch.setattr(compiled_pixelcnn, "matrices", matrices)


def before_each_row(monkeypatch, change):
    original = compiled_pixelcnn.Block.row

    def row(block, *rest):
        change(block)
        return original(block, *rest)

    monkeypatch.setattr(compiled_pixelcnn.Block, "row", row)


def rows_above_forgotten(monkeypatch):
    before_each_row(monkeypatch, lambda block: block.above.fill(0))


def no_link(monkeypatch):
    before_each_row(monkeypatch, lambda block: block.linked.fill(0))


def swapped_rows_of_a_kernel(monkeypatch):
    original = torch.Tensor.unbind
    monkeypatch.setattr(
        torch.Tensor, "unbind", lambda x, dim=0: original(x, dim)[::-1] if dim == 2 else original(x, dim)
    )


def first_row_of_the_map(monkeypatch):
    original = GammaBeta.row
    monkeypatch.setattr(GammaBeta, "row", lambda pair, row: original(pair, 0))


PIXELCNN_MUTANTS = [
    swapped_columns,
    rows_above_forgotten,
    no_link,
    swapped_rows_of_a_kernel,
    first_row_of_the_map,
    no_condition,
    beta_without_gamma,
    rows_in_another_order,
]


@pytest.mark.parametrize("plant", PIXELCNN_MUTANTS)
@pytest.mark.parametrize("colours", [1, 3])
def test_the_equality_of_pixelcnns_catches(monkeypatch, make_model, make_conditions, plant, colours):
    model = make_model("categorical", colours, levels=16).float()
    conditions = floats(make_conditions(model, 4))
    assert assert_equal(model, conditions).all()
    plant(monkeypatch)
    with pytest.raises((AssertionError, FloatingPointError)):  # what lies behind a buffer may be no number
        assert_equal(model, conditions)


@pytest.mark.parametrize("conditioning", ["film", "concat", "none"])
@pytest.mark.parametrize("colours", [1, 3])
def test_an_image_that_one_engine_begins_another_finishes(make_model, make_conditions, colours, conditioning):
    model = make_model("categorical", colours, conditioning, levels=16).float()
    network, film = model.network, model.film(floats(make_conditions(model, 3)))
    noise = uniform_noise(0, range(3), (network.num_steps(network.shape), 1))
    width = network.shape[2] * colours
    with torch.inference_mode():
        draws = [Draw(network, noise, {}, None, None, tqdm(disable=True)) for _ in range(2)]
        start, steps = network.start(3), network.num_steps(network.shape)
        cached, kernels = (choose(name, network).engine for name in ("cached", "compiled"))
        whole, _ = cached.resume(film, start, None).advance(range(steps), draws[0])
        first, run = kernels.resume(film, start, None).advance(range(2 * width), draws[1])
        # The last values of the row are in the state already.
        second, _ = cached.resume(film, run.state(), None).advance(range(2 * width, steps), draws[1])
    assert torch.equal(torch.cat([first, second], -1), whole)
    assert torch.allclose(draws[1].log_prob, draws[0].log_prob, atol=1e-4)


# What is not right is refused by every engine, or by none.

EVERY = ["naive", "cached", "compiled", "graph"]
every = pytest.mark.parametrize("engine", EVERY)


@every
def test_parameters_of_another_network_are_refused(make_wavenet, make_melodies, make_model, make_conditions, engine):
    audio, images = make_wavenet().float(), make_model().float()
    heard, seen = audio.film(floats(make_melodies(audio, 2, 12))), images.film(floats(make_conditions(images, 2)))
    (first, second), narrow = heard, lambda film: film.map(lambda part: part[:, :1])
    cases = [
        (audio, FiLMParameters({first: heard[first]}), "another network"),
        (audio, FiLMParameters({f"other.{name}": pair for name, pair in heard.items()}), "another network"),
        (audio, narrow(heard), "has 8 channels"),
        (audio, heard.map(lambda part: part[..., None]), "features of 3 axes|cover"),
        (audio, FiLMParameters({first: heard[first], second: GammaBeta(None, heard[second].beta[..., :1])}),
         "of 1, 12 frames"),
        (images, narrow(seen), "has 24 channels"),
    ]  # fmt: skip
    for model, film, words in cases:
        with pytest.raises(ValueError, match=words):
            draw(model, film, engine=engine, **({"length": 12} if model is audio else {}))
    with pytest.raises(ValueError, match="another network"):
        next(stream(audio, narrow(heard), length=12, engine=engine if engine != "naive" else "cached"))


@every
def test_parameters_of_another_type_become_the_models(make_wavenet, make_melodies, engine):
    model = make_wavenet().float()
    film = model.film(floats(make_melodies(model, 2, 12)))
    assert torch.equal(draw(model, film.to(torch.float64), engine=engine).x, draw(model, film, engine=engine).x)


@pytest.mark.parametrize("channels", [12, 16, 20])
@every
def test_what_is_no_number_stays_in_its_row_and_is_named(monkeypatch, make_model, make_conditions, channels, engine):
    model = make_model(channels=channels).float()
    conditions, lost = floats(make_conditions(model, 4)), []
    conditions["map"][1] = torch.nan
    monkeypatch.setattr(Draw, "finished", lambda self, rows=None: self.log_prob)
    lost = draw(model, conditions, engine=engine).log_prob.isnan()
    monkeypatch.undo()
    assert lost.tolist() == [False, True, False, False]
    with pytest.raises(FloatingPointError, match="for sample 1 are no finite numbers"):
        draw(model, conditions, engine=engine)


@pytest.mark.parametrize("output", ["categorical", "logistic_mixture", "gaussian"])
@every
def test_weights_that_are_no_numbers_are_told(make_wavenet, output, engine):
    for number in (torch.nan, torch.inf):
        model = make_wavenet(output, conditioning="none").float()
        with torch.no_grad():
            model.network.head[3].bias[0] = number
        with pytest.raises(FloatingPointError, match="for sample 0, 1 are"):
            draw(model, num_samples=2, length=9, engine=engine)
        if output != "categorical":
            break  # an infinite mean or scale is bounded


@every
def test_engines_know_no_autocast(make_wavenet, make_model, engine):
    for model, options in (
        (make_wavenet(conditioning="none").float(), {"length": 20}),
        (make_model(conditioning="none").float(), {}),
    ):
        expected = draw(model, num_samples=3, engine=engine, **options)
        with torch.autocast("cpu", torch.bfloat16):
            got = draw(model, num_samples=3, engine=engine, **options)
        assert torch.equal(got.x, expected.x)
        assert torch.equal(got.log_prob, expected.log_prob)


@pytest.mark.parametrize("engine", ["cached", "compiled", "graph"])
def test_a_stream_refuses_a_state_with_other_levels_or_of_another_type(make_wavenet, engine):
    many, few = (make_wavenet(conditioning="none", levels=levels).float() for levels in (256, 6))
    state = StreamState(many.network.start(1), None)
    state = StreamState(dataclasses.replace(state.network, step=1), torch.tensor([[200]]))
    for model in (few, many.double()):
        with pytest.raises(ValueError, match="state is of another network"):
            next(stream(model, length=9, state=state, engine=engine))


def test_numbers_of_other_types_draw_the_same_with_the_same_machine_code(make_wavenet):
    model = make_wavenet(conditioning="none").float()
    expected = draw(model, length=20, top_k=3, top_p=0.9, engine="compiled")
    count = len(kernels.wavenet.signatures)
    got = draw(model, length=20, top_k=np.int64(3), top_p=np.float32(0.9), engine="compiled")
    assert torch.equal(got.x, expected.x)
    everything = draw(model, length=20, top_k=10**20, top_p=1, engine="compiled")
    assert torch.equal(everything.x, draw(model, length=20, engine="cached").x)
    assert len(kernels.wavenet.signatures) == count


# The kernels.


def test_the_exponential_is_exact_to_two_units_in_the_last_place():
    x = np.linspace(-87, 88, 200_001).astype(np.float32)
    got = np.array([kernels.exponential(value) for value in x], np.float64)
    assert np.abs(got / np.exp(x.astype(np.float64)) - 1).max() < 2 * 2.0**-23
    assert np.isnan(kernels.exponential(np.float32("nan")))
    assert 0 < kernels.exponential(np.float32(-1e30)) < 1e-37


def test_the_gate_is_that_of_the_model():
    rows, features, ld = 7, 1000, 2016
    x = (np.random.default_rng(0).standard_normal((rows, ld)) * 30).astype(np.float32)
    x[0, :3], x[1, features : features + 3] = (np.inf, -np.inf, np.nan), (np.inf, -np.inf, np.nan)
    gated = np.ones(rows * (features + 1), np.float32)
    kernels.gate(x.ravel(), ld, rows, features, gated)
    got = torch.from_numpy(gated).view(rows, features + 1)
    expected = gate(torch.from_numpy(x).double()[:, : 2 * features])
    assert torch.allclose(got[:, :features].double(), expected, rtol=0, atol=2e-7, equal_nan=True)
    assert (got[:, features] == 1).all()


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 7, 8, 9, 16, 21])
@pytest.mark.parametrize("columns", [16, 32, 48, 128, 144, 272])
def test_tiles_of_every_size_make_a_matrix_product(rows, columns):
    generator = np.random.default_rng(0)
    x, w = generator.standard_normal((rows, 5)), generator.standard_normal((5, columns))
    y = np.zeros((rows, columns + 16))
    flat = [array.astype(np.float32).ravel() for array in (y, x, w)]
    kernels.matmul(flat[0], 0, columns + 16, flat[1], 0, 5, rows, flat[2], 0, columns, 5)
    got = flat[0].reshape(y.shape)
    assert np.allclose(got[:, :columns], x @ w, rtol=0, atol=1e-5)
    assert (got[:, columns:] == 0).all()  # nothing is written beside it


def test_every_configuration_runs_the_same_machine_code(make_wavenet, make_melodies, make_model, make_conditions):
    """One version of each kernel per precision: what was compiled once serves every model, and so does the cache."""
    for engine, rows, conditioning in (
        ("compiled", 1, "film"),
        ("compiled", 3, "none"),
        ("compiled_bfloat16", 2, "concat"),
    ):
        for output in ("categorical", "logistic_mixture"):
            audio, images = (
                make_wavenet(output, conditioning, hop=3).float(),
                make_model(output, 1, conditioning).float(),
            )
            draw(audio, floats(make_melodies(audio, rows, 5)), num_samples=rows, length=15, engine=engine)
            draw(images, floats(make_conditions(images, rows)), num_samples=rows, engine=engine)
    for kernel in (kernels.wavenet, kernels.pixels):
        assert len(kernel.signatures) <= 2, kernel.signatures


@pytest.mark.parametrize("disable", [False, True])
def test_compilation_is_announced_once_where_there_is_a_progress_bar(capsys, disable):
    with compiled.announced(SimpleNamespace(disable=disable)):
        for number in (1, 1.5):
            kernels.numba.njit(lambda x: x + 1)(number)
    assert capsys.readouterr().err.count("compiling the sampling kernels") == (not disable)


def test_where_no_folder_can_be_written_to_kernels_are_compiled_all_the_same(monkeypatch):
    monkeypatch.setattr("numba.core.caching.CacheImpl._locator_classes", [])
    with pytest.warns(UserWarning, match="cannot be kept.*NUMBA_CACHE_DIR"):
        kernel = kernels.compiled(lambda x: x + 1)
    assert kernel(1) == 2


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_weights_of_16_bits_are_the_rounded_weights(make_wavenet, make_melodies, precision):
    """With weights that 16 bits hold exactly, both precisions draw the same."""
    model = make_wavenet(hop=3, levels=32, channels=16, dilations=[1, 2, 4]).float()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.bfloat16())
    conditions = floats(make_melodies(model, 4, 15))
    engine = "compiled" if precision == "float32" else "compiled_bfloat16"
    expected, got = (draw(model, conditions, engine=name) for name in ("cached", engine))
    assert torch.equal(got.x, expected.x)
    assert torch.allclose(got.log_prob, expected.log_prob, rtol=1e-4)


def test_weights_of_16_bits_draw_from_a_model_that_is_a_little_other(make_wavenet, make_melodies):
    model = make_wavenet(hop=3, levels=32, channels=16, dilations=[1, 2, 4]).float()
    conditions, drawn = floats(make_melodies(model, 4, 15)), {}
    for engine in ("compiled", "compiled_bfloat16"):
        drawn[engine] = recorded_run(model, conditions, engine, {"given": torch.arange(20)[None, None]})[1][..., 0]
    difference = (drawn["compiled"] - drawn["compiled_bfloat16"]).abs().max()
    assert 1e-5 < difference < 0.05 * drawn["compiled"].abs().max()


# What a call does with engines.


def test_auto_takes_the_compiled_engine_and_says_so(make_wavenet, make_model, caplog):
    for model in (make_wavenet(conditioning="none").float(), make_model(conditioning="none").float()):
        chosen = choose("auto", model.network)
        assert (chosen.name, "numba" in chosen.why) == ("compiled", True)
    with caplog.at_level("INFO", "condgen"):
        draw(make_model(conditioning="none").float())
    assert "engine 'compiled' (numba, 1 thread(s))" in caplog.text


class Subclass(WaveNet):
    """A network that nobody knows."""


def test_what_the_compiled_engine_cannot_do_falls_back_with_a_line(make_wavenet, make_melodies):
    double, hooked, subclass = make_wavenet(), make_wavenet().float(), Subclass(layers=1, stacks=1)
    hooked.network.layers[0].register_forward_hook(lambda *_: None)
    reasons = [(double.network, "float64"), (hooked.network, "hooks"), (subclass, "no kernel for Subclass")]
    for network, words in reasons:
        assert choose("auto", network).name == "cached"
        assert words in choose("auto", network).why
        with pytest.warns(UserWarning, match=f"cannot sample this model .*{words}.*; using 'cached'"):
            assert choose("compiled", network).name == "cached"
    conditions = make_melodies(double, 2, 5)
    with pytest.warns(UserWarning, match="using 'cached'"):
        got = draw(double, conditions, engine="compiled")
    assert torch.equal(got.x, draw(double, conditions, engine="cached").x)


class Adapted(torch.nn.Linear):
    """A linear map that does more."""

    def forward(self, x):
        return 2 * super().forward(x)


def another_activation(network):
    network.head[0] = torch.nn.LeakyReLU()


def no_activation(network):
    network.head[2] = torch.nn.Identity()


def adapted(network):
    network.layers[0].output.__class__ = Adapted


def patched(network):
    network.layers[1].forward = network.layers[1].forward


def another_norm(network):
    network.layers[0].film.normalise = torch.nn.LayerNorm(8)


@pytest.mark.parametrize("alter", [another_activation, no_activation, adapted, patched, another_norm])
@pytest.mark.parametrize("engine", ["auto", "compiled", "graph"])
def test_a_network_that_was_altered_is_not_taken_for_what_it_was(make_wavenet, alter, engine):
    network = make_wavenet(conditioning="none", weight_norm=alter is patched).float().network
    assert choose(engine, network).name != "cached"
    alter(network)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        chosen = choose(engine, network)
    assert chosen.name == "cached"
    assert "it has been altered" in chosen.why


def test_hooks_on_all_modules_are_heeded(make_wavenet):
    network = make_wavenet(conditioning="none").float().network
    handle = torch.nn.modules.module.register_module_forward_hook(lambda *_: None)
    assert "hooks on all modules" in choose("auto", network).why
    handle.remove()
    assert choose("auto", network).name == "compiled"


@pytest.mark.parametrize(("module", "engine"), [("compiled_wavenet", "compiled"), ("triton_wavenet", "triton")])
def test_a_compiler_that_cannot_be_imported_is_done_without(monkeypatch, make_wavenet, module, engine):
    monkeypatch.setitem(sys.modules, f"condgen.engines.{module}", None)
    with pytest.warns(UserWarning, match=r"cannot be used: .*; using 'cached'"):
        assert choose(engine, make_wavenet(conditioning="none").float().network).name == "cached"


def test_numba_without_compilation_is_done_without():
    code = "from condgen.models import WaveNet; from condgen.sampling import choose; print(choose('auto', WaveNet()))"
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    found = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "engine 'cached' ('compiled' is out: it cannot be used: NUMBA_DISABLE_JIT is set)"


def test_a_subclass_of_a_model_is_not_taken_for_the_model(make_wavenet):
    model = make_wavenet(conditioning="none").float()
    model.network.__class__ = type("Other", (type(model.network),), {})
    assert choose("auto", model.network).name == "cached"


@pytest.mark.parametrize("engines", [("compiled", "compiled"), ("compiled", "cached"), ("cached", "compiled")])
def test_a_stream_goes_on_with_any_engine(make_wavenet, make_melodies, engines):
    model = make_wavenet(hop=3, levels=32, channels=16, dilations=[3, 2, 8], kernel_size=3).float()
    conditions = floats(make_melodies(model, 3, 20))
    expected = draw(model, conditions, engine="cached").x
    chunks, state = [], None
    for engine in engines:
        chunk = next(iter(stream(model, conditions, chunk=29, state=state, engine=engine)))
        chunks.append(chunk.x)
        state = chunk.state
    assert torch.equal(torch.cat(chunks, -1), expected[..., :58])


def test_a_stream_refuses_the_engine_without_a_state(make_wavenet):
    with pytest.raises(ValueError, match="engine 'naive' keeps no state"):
        next(stream(make_wavenet(conditioning="none"), length=3, engine="naive"))


def test_an_interruption_between_batches_keeps_those_that_are_finished(monkeypatch, make_wavenet):
    noises = []

    def noise(*arguments, **options):
        if len(noises) == 2:
            raise KeyboardInterrupt
        noises.append(arguments)
        return uniform_noise(*arguments, **options)

    monkeypatch.setattr(ancestral, "uniform_noise", noise)
    with pytest.raises(Interrupted, match="4 samples are finished"):
        draw(make_wavenet(conditioning="none").float(), num_samples=6, length=5, batch_size=2)


@pytest.mark.parametrize("engine", ["cached", "compiled"])
def test_an_interruption_keeps_the_batches_that_are_finished(monkeypatch, make_wavenet, engine):
    model = make_wavenet(conditioning="none").float()
    options = {"num_samples": 5, "length": [9, 5, 7, 6, 8], "batch_size": 2, "engine": engine}
    whole = draw(model, **options)
    original, seen = Draw.keep, set()

    def keep(self, steps, parameters, values):
        seen.add(id(self.noise))
        if len(seen) == 3:
            raise KeyboardInterrupt
        return original(self, steps, parameters, values)

    monkeypatch.setattr(Draw, "keep", keep)
    with pytest.raises(Interrupted, match="4 samples are finished") as caught:
        draw(model, **options)
    assert caught.value.rows == [1, 2, 3, 4]
    assert torch.equal(caught.value.samples.x, whole.x[1:, :, :8])
    assert torch.equal(caught.value.samples.log_prob, whole.log_prob[1:])


def test_an_interruption_before_any_batch_is_finished_is_a_plain_one(monkeypatch, make_wavenet):
    def keep(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Draw, "keep", keep)
    with pytest.raises(KeyboardInterrupt) as caught:
        draw(make_wavenet(conditioning="none"), length=3)
    assert not isinstance(caught.value, Interrupted)


@pytest.mark.parametrize(("rows", "work", "count"), [(1, 10**9, 1), (7, 10**9, 2), (7, 10, 1), (2, 10**9, 2)])
def test_threads_split_a_batch_where_it_is_worth_it(rows, work, count):
    torch.set_num_threads(2)
    parts = compiled.blocks(rows, work)
    assert len(parts) == count
    assert [row for part in parts for row in range(part.start, part.stop)] == list(range(rows))


def test_turns_cover_all_steps_once(monkeypatch):
    for turn in (0.0, 1e-9, 0.1):
        monkeypatch.setattr(tape, "TURN", turn)
        turns = tape.Turns(range(5, 300), 64, torch.device("cpu"))
        assert [step for turn in turns for step in turn] == list(range(5, 300))
