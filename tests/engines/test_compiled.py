"""The compiled engine: it draws what the cached one draws in every configuration, but for ties at rounding.

Models are in float32 here, whose rounding decides between two levels about once in a million draws.
"""

import os
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tqdm import tqdm

from condgen.conditioning import GammaBeta
from condgen.engines import compiled, compiled_pixelcnn, compiled_wavenet, kernels, rings, tape
from condgen.engines.choice import choose
from condgen.engines.draw import Draw
from condgen.sampling import sample
from condgen.sampling.noise import uniform_noise

sampled = partial(sample, progress=False)
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
        samples = sampled(model, conditions, engine=engine, **options)
    parameters = torch.cat(recorded, dim=-1)
    lengths = options.get("length", 0)
    if isinstance(lengths, list):  # got in the order of their lengths
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
    """Turn a got call into conditions and options of `sample`."""
    hop = model.network.hop if model.film_generator.conditioning != "concat" else 3
    frames = -(-call["length"] // hop)
    conditions = floats(make_melodies(model, call["rows"], frames))
    length = call["length"]
    options = {"num_samples": 1 if conditions or call["ragged"] else call["rows"], "seed": 7}
    options["length"] = [length - 2 * (i % 5) for i in range(call["rows"])] if call["ragged"] else length
    options |= call["temper"] if model.network.output.name == "categorical" or len(call["temper"]) < 2 else {}
    if call["given"]:
        rng = torch.Generator().manual_seed(1)
        options["given"] = torch.randint(model.network.levels, (1, 1, 9), generator=rng)
        if call["given"] == "scattered":
            options["known"] = torch.rand(9, generator=rng) < 0.5
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
        compiled,
        "pack_film",
        lambda pairs, *rest: original([GammaBeta(None, pair.beta, pair.inner) for pair in pairs], *rest),
    )


def first_frame(monkeypatch):
    original = compiled_wavenet.Frames.at

    def at(frames, steps, rows):
        first = frames.frames.start * frames.network.hop
        return original(frames, range(first, first + 1), rows)

    monkeypatch.setattr(compiled_wavenet.Frames, "at", at)


def rows_in_another_order(monkeypatch):
    monkeypatch.setattr(compiled, "blocks", lambda rows, work, each: [slice(0, 1), slice(0, rows - 1)])


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
        "dilations": st.one_of(st.none(), st.lists(st.sampled_from([1, 2, 3, 7]), min_size=1, max_size=4)),
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
    options = {"num_samples": 1 if conditions else call["rows"], "seed": 7}
    options |= call["temper"] if model.network.output.name == "categorical" or len(call["temper"]) < 2 else {}
    if call["given"]:
        rng = torch.Generator().manual_seed(1)
        options["given"] = torch.randint(levels, (1, *model.network.shape), generator=rng)
        options["known"] = torch.rand(model.network.shape[1:], generator=rng) < 0.4
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
@pytest.mark.parametrize(("colours", "dilations"), [(1, None), (3, None), (1, [1, 2, 1])])
def test_the_equality_of_pixelcnns_catches(monkeypatch, make_model, make_conditions, plant, colours, dilations):
    model = make_model("categorical", colours, levels=16, dilations=dilations).float()
    conditions = floats(make_conditions(model, 4))
    assert assert_equal(model, conditions).all()
    plant(monkeypatch)
    with pytest.raises((AssertionError, FloatingPointError)):  # what lies behind a buffer may be no number
        assert_equal(model, conditions)


@pytest.mark.parametrize("conditioning", ["film", "concat", "none"])
@pytest.mark.parametrize(("colours", "dilations"), [(1, None), (3, None), (1, [1, 2, 3]), (3, [2, 1])])
def test_an_image_that_one_engine_begins_another_finishes(
    make_model, make_conditions, colours, conditioning, dilations
):
    model = make_model("categorical", colours, conditioning, levels=16, dilations=dilations).float()
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


def test_compilation_is_announced_once_on_a_line_of_its_own(capsys):
    """Standard error is no terminal here."""
    with compiled.announced():
        for number in (1, 1.5):
            kernels.numba.njit(lambda x: x + 1)(number)
    assert capsys.readouterr().err == "compiling the sampling kernels, once on this machine: some ten seconds ...\n"


def test_only_the_first_process_on_a_machine_compiles_and_says_so(tmp_path):
    """The kernel is a small one of the same kind, kept in a folder that holds nothing yet."""
    (tmp_path / "kernel.py").write_text(
        "import numba\nfrom condgen.engines import compiled\n"
        "@numba.njit(cache=True)\ndef double(x):\n    return 2 * x\n"
        "with compiled.announced():\n    double(1.5)\n"
    )
    options = {"capture_output": True, "text": True, "check": True, "cwd": tmp_path}
    options["env"] = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    said = [subprocess.run([sys.executable, "kernel.py"], **options).stderr for _ in range(2)]
    assert [text.count("compiling the sampling kernels") for text in said] == [1, 0]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_weights_of_16_bits_are_the_rounded_weights(make_wavenet, make_melodies, precision):
    """With weights that 16 bits hold exactly, both precisions draw the same."""
    model = make_wavenet(hop=3, levels=32, channels=16, dilations=[1, 2, 4]).float()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.bfloat16())
    conditions = floats(make_melodies(model, 4, 15))
    engine = "compiled" if precision == "float32" else "compiled_bfloat16"
    expected, got = (sampled(model, conditions, engine=name) for name in ("cached", engine))
    assert torch.equal(got.x, expected.x)
    assert torch.allclose(got.log_prob, expected.log_prob, rtol=1e-4)


def test_weights_of_16_bits_draw_from_a_model_that_is_a_little_other(make_wavenet, make_melodies):
    model = make_wavenet(hop=3, levels=32, channels=16, dilations=[1, 2, 4]).float()
    conditions, got = floats(make_melodies(model, 4, 15)), {}
    for engine in ("compiled", "compiled_bfloat16"):
        got[engine] = recorded_run(model, conditions, engine, {"given": torch.arange(20)[None, None]})[1][..., 0]
    difference = (got["compiled"] - got["compiled_bfloat16"]).abs().max()
    assert 1e-5 < difference < 0.05 * got["compiled"].abs().max()


@pytest.mark.parametrize(("rows", "work", "count"), [(1, 10**9, 1), (7, 10**9, 2), (7, 10, 1), (2, 10**9, 2)])
def test_threads_split_a_batch_where_it_is_worth_it(rows, work, count):
    torch.set_num_threads(2)
    parts = compiled.blocks(rows, work)
    assert len(parts) == count
    assert [row for part in parts for row in range(part.start, part.stop)] == list(range(rows))
