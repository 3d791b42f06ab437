"""Engines: each keeps the contract, refuses what is not right as all others do, and gives way where it does not fit."""

import importlib
import os
import subprocess
import sys
import warnings
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from tqdm import tqdm

from condgen.conditioning import FiLMParameters, GammaBeta
from condgen.conditioning.contract import missing
from condgen.distributions import output_family
from condgen.engines import compiled, compiled_wavenet
from condgen.engines.choice import ENGINES, FASTEST, Engine, Run, choose
from condgen.engines.draw import Draw
from condgen.engines.graph_wavenet import GraphWaveNet
from condgen.models import ConditionalModel, WaveNet
from condgen.sampling import sample, stream, uniform_noise

sampled = partial(sample, progress=False)


EVERY = ["naive", "cached", "compiled", "graph"]


every = pytest.mark.parametrize("engine", EVERY)


def floats(conditions):
    return {name: value.float() if value.is_floating_point() else value for name, value in conditions.items()}


# The contract.

ENGINE_CLASSES = sorted({path for paths in ENGINES.values() for path in paths.values()})


def class_at(path):
    module, _, name = path.rpartition(".")
    pytest.importorskip("triton" if "triton" in module else module, reason="Triton is not installed")
    return getattr(importlib.import_module(module), name)


@pytest.mark.parametrize("path", ENGINE_CLASSES)
def test_every_engine_keeps_the_contract(path):
    assert missing(class_at(path), Engine) == []


@pytest.mark.parametrize("name", [name for name in ENGINES if name not in ("naive", "triton")])
def test_every_run_is_a_value_and_knows_the_networks_state(make_wavenet, make_melodies, name):
    model = make_wavenet(hop=3, levels=32, kernel_size=3).float()
    film = model.film(floats(make_melodies(model, 2, 4)))
    noise = uniform_noise(0, range(2), (12, 1))
    with torch.inference_mode():
        engine, own = choose(name, model.network).engine, Draw(model.network, noise, {}, None, None, tqdm(disable=True))
        assert choose(name, model.network).name == name
        begun = engine.resume(film, model.network.start(2), None)
        assert missing(begun, Run) == []
        first, run = begun.advance(range(5), own)
        state = run.state()
        rest, twice = (run.advance(range(5, 12), own)[0] for _ in range(2))
        assert torch.equal(rest, twice)
        assert torch.equal(begun.advance(range(5), own)[0], first)
        handed, _ = engine.resume(film, state, first[..., -1]).advance(range(5, 12), own)
        assert torch.equal(handed, rest)
    assert state.step == 5


def test_an_engine_reads_a_network_once_a_call(monkeypatch, make_wavenet, make_melodies):
    model, read = make_wavenet(hop=3).float(), []
    original = compiled.pack
    monkeypatch.setattr(compiled, "pack", lambda *args: read.append(len(args[0])) or original(*args))
    sampled(model, floats(make_melodies(model, 5, 4)), batch_size=2, engine="compiled")
    assert len(read) == 1
    list(stream(model, floats(make_melodies(model, 2, 4)), chunk=1, engine="compiled"))
    assert len(read) == 2


def test_parameters_without_frames_are_folded_once_a_stream(monkeypatch, make_wavenet):
    model, folded, original = make_wavenet(conditioning="none").float(), [], compiled.pack_film
    monkeypatch.setattr(compiled, "pack_film", lambda *args: folded.append(args) or original(*args))
    list(stream(model, length=30, chunk=5, engine="compiled"))
    assert len(folded) == 1


@pytest.mark.parametrize("window", [1, 3000, 2**22])
def test_frames_are_folded_some_at_a_time(monkeypatch, make_wavenet, make_melodies, window):
    monkeypatch.setattr(compiled_wavenet, "WINDOW", window)
    model = make_wavenet(hop=3, levels=32).float()
    conditions = floats(make_melodies(model, 3, 20))
    expected = sampled(model, conditions, engine="cached").x
    for options in ({}, {"given": expected[..., :7]}):
        assert torch.equal(sampled(model, conditions, engine="compiled", **options).x, expected)
    chunks = stream(model, conditions, chunk=7, engine="compiled")
    assert torch.equal(torch.cat([chunk.x for chunk in chunks], -1), expected)


@pytest.mark.parametrize("engine", ["auto", "cached", "naive"])
def test_the_choice_travels_with_the_samples(make_wavenet, engine):
    model = make_wavenet(conditioning="none").float()
    got, chosen = sampled(model, length=3, engine=engine), choose(engine, model.network)
    assert (got.engine, got.why) == (chosen.name, chosen.why)
    assert chosen.name == (engine if engine != "auto" else "compiled")


# Every engine.


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
            sampled(model, film, engine=engine, **({"length": 12} if model is audio else {}))
    with pytest.raises(ValueError, match="another network"):
        next(stream(audio, narrow(heard), length=12, engine=engine if engine != "naive" else "cached"))


@every
def test_parameters_of_another_type_become_the_models(make_wavenet, make_melodies, engine):
    model = make_wavenet().float()
    film = model.film(floats(make_melodies(model, 2, 12)))
    assert torch.equal(sampled(model, film.to(torch.float64), engine=engine).x, sampled(model, film, engine=engine).x)


@every
def test_engines_know_no_autocast(make_wavenet, make_model, engine):
    for model, options in (
        (make_wavenet(conditioning="none").float(), {"length": 20}),
        (make_model(conditioning="none").float(), {}),
    ):
        expected = sampled(model, num_samples=3, engine=engine, **options)
        with torch.autocast("cpu", torch.bfloat16):
            got = sampled(model, num_samples=3, engine=engine, **options)
        assert torch.equal(got.x, expected.x)
        assert torch.equal(got.log_prob, expected.log_prob)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("size", [(7, 4), (3, 4), (5, 6), (5, 3)])
def test_a_map_of_another_size_than_the_image_is_refused(make_model, make_conditions, engine, size):
    model, other = make_model(), make_model(size=size)
    film = other.film(make_conditions(other, 2))
    with pytest.raises(ValueError, match="do not fit images"):
        sampled(model, film, engine=engine)


@pytest.mark.parametrize("engines", [("compiled", "compiled"), ("compiled", "cached"), ("cached", "compiled")])
def test_a_stream_goes_on_with_any_engine(make_wavenet, make_melodies, engines):
    model = make_wavenet(hop=3, levels=32, channels=16, dilations=[3, 2, 8], kernel_size=3).float()
    conditions = floats(make_melodies(model, 3, 20))
    expected = sampled(model, conditions, engine="cached").x
    chunks, state = [], None
    for engine in engines:
        chunk = next(iter(stream(model, conditions, chunk=29, state=state, engine=engine)))
        chunks.append(chunk.x)
        state = chunk.state
    assert torch.equal(torch.cat(chunks, -1), expected[..., :58])


# The choice.


def test_auto_takes_the_compiled_engine_and_says_so(make_wavenet, make_model, caplog):
    for model in (make_wavenet(conditioning="none").float(), make_model(conditioning="none").float()):
        chosen = choose("auto", model.network)
        assert (chosen.name, "numba" in chosen.why) == ("compiled", True)
    with caplog.at_level("INFO", "condgen"):
        sampled(make_model(conditioning="none").float())
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
        got = sampled(double, conditions, engine="compiled")
    assert torch.equal(got.x, sampled(double, conditions, engine="cached").x)


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


def test_an_engine_on_trial_that_draws_as_cached_does_is_chosen(monkeypatch, make_wavenet, make_model):
    monkeypatch.setitem(FASTEST, "cpu", "graph")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for model in (make_wavenet(hop=3), make_wavenet("gaussian"), make_model(), make_model("logistic_mixture")):
            assert choose("auto", model.float().network).name == "graph"


@pytest.mark.parametrize("fault", ["values", "log_prob", "error", "film"])
def test_an_engine_on_trial_that_draws_otherwise_gives_way_with_a_line(monkeypatch, make_wavenet, fault):
    class Wrong(GraphWaveNet):
        def fill(self, film, canvas, steps, draw):
            if fault == "error":
                raise RuntimeError("no kernel image is available\nmore")
            if fault == "film":
                film = {name: GammaBeta(gamma, -beta) for name, (gamma, beta) in film.items()}
            x = super().fill(film, canvas, steps, draw)
            draw.log_prob = draw.log_prob + 0.1 * (fault == "log_prob")
            return x if fault != "values" else (x + (x == x[..., 3:4])) % self.network.levels

    model = make_wavenet(hop=3).float()
    monkeypatch.setitem(FASTEST, "cpu", "graph")
    monkeypatch.setattr("condgen.engines.graph_wavenet.GraphWaveNet", Wrong)
    reason = "trial failed: no kernel image is available" if fault == "error" else "first 24 steps are not those of"
    with pytest.warns(UserWarning, match=f"engine 'graph' is not used on this device: its {reason}"):
        chosen = choose("auto", model.network)
    assert chosen.name == "cached"
    assert f"'graph' is out: its {reason}" in chosen.why
    assert choose("graph", model.network).name == "graph"


def test_the_graph_engine_is_wanted_on_a_gpu():
    on_gpu = SimpleNamespace(device=torch.device("cuda", 0), dtype=torch.float32)
    network = SimpleNamespace(parameters=lambda: iter([on_gpu]), named_modules=list)
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setitem(ENGINES, "graph", {SimpleNamespace: "condgen.engines.graph_pixelcnn.GraphPixelCNN"})
        monkeypatch.setattr("condgen.engines.choice.difference", lambda *args: None)
        chosen = choose("auto", network)
    assert str(chosen) == "engine 'graph' (CUDA graphs on cuda:0)"


def test_an_engine_that_does_not_fit_gives_way(make_wavenet, make_model):
    wavenet = make_wavenet()
    cases = [
        ("triton", make_model().float(), {}, "no kernel for PixelCNN"),
        ("triton", wavenet, {}, "computes in float32"),
        ("triton", make_wavenet("gaussian").float(), {}, "categorical outputs"),
        ("triton", make_wavenet(norm="channel").float(), {}, "without a normalisation"),
        ("triton", make_wavenet().float(), {"temperature": 1.0, "top_k": 3, "top_p": None}, "top_k"),
        ("triton", make_wavenet().float(), {}, "CUDA device|not installed"),
    ]
    for name, model, temper, reason in cases:
        with pytest.warns(UserWarning, match=f"engine '{name}' cannot sample this model .*{reason}.*; using 'cached'"):
            assert choose(name, model.network, temper).name == "cached"
    wavenet.network.head.register_forward_hook(lambda *args: None)
    with pytest.warns(UserWarning, match="hooks on the network's modules would not run"):
        assert choose("graph", wavenet.network).name == "cached"


# Networks that keep no state, and engines of one's own.


class Whole(torch.nn.Module):
    """A likelihood network, of four pixels, that has neither `start` nor `step`."""

    levels, sample_rate, agrees_with_data, film_layers = 4, None, ("levels",), {}
    dim, blank, output = "dim", 0, output_family("categorical", 1, 4)

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.weight = torch.nn.Parameter(torch.randn(16, 4))

    def film_of(self, film, layer):
        return GammaBeta()

    def checked(self, film):
        return film or {}

    def canvas(self, length=None, film=None):
        return 1, 2, 2

    def num_steps(self, canvas):
        return 4

    def locate(self, step):
        """Column by column."""
        return (step % 2, step // 2), slice(0, 1), slice(None)

    def forward(self, x, film=None):
        order = x[:, 0].transpose(1, 2).flatten(1).to(self.weight.dtype)
        earlier = torch.ones(4, 4).tril(-1).repeat_interleave(4, 0)
        logits = (order @ (self.weight * earlier).T).unflatten(1, (4, 4))
        return logits.transpose(1, 2).unflatten(2, (2, 2)).transpose(2, 3)


@pytest.mark.parametrize("engine", ["auto", "cached", "compiled", "graph"])
def test_a_network_without_steps_is_drawn_from_by_the_naive_engine(engine):
    model = ConditionalModel(Whole(), {}, "none")
    expected = sampled(model, num_samples=8, engine="naive")
    assert expected.x.unique().numel() > 1
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        got = sampled(model, num_samples=8, engine=engine)
    assert got.engine == "naive"
    assert "Whole has no start, step" in (got.why if engine == "auto" else str(told[0].message))
    assert len(told) == (engine != "auto")
    assert torch.equal(got.x, expected.x)
    assert torch.allclose(got.log_prob, model.log_prob(got.x, {}).double(), atol=1e-5)


class Stepping(Whole):
    """The same with steps: its state is the canvas and the step."""

    def start(self, batch):
        return torch.zeros(batch, 1, 2, 2).long(), 0

    def step(self, values, film, state):
        x, step = state
        if values is not None:
            (row, column), _, _ = self.locate(step - 1)
            x = x.clone()
            x[:, :, row, column] = values
        (row, column), _, _ = self.locate(step)
        return self(x, film)[:, :, row, column], (x, step + 1)


def test_a_network_whose_steps_go_another_way_is_drawn_from_as_it_says():
    model = ConditionalModel(Stepping(), {}, "none")
    got = sampled(model, num_samples=8)
    assert got.engine == "cached"
    assert torch.equal(got.x, sampled(model, num_samples=8, engine="naive").x)


MINE = """
from condgen.engines.plain import Cached

class Mine(Cached):
    how = "as I like it"

    @classmethod
    def obstacle(cls, network, temper):
        return "it draws no faster than one temperature" if temper else None

class Not: ...
"""


def test_an_engine_of_ones_own_is_one_file(monkeypatch, tmp_path, make_wavenet):
    (tmp_path / "my_engine.py").write_text(MINE)
    monkeypatch.syspath_prepend(tmp_path)
    model = make_wavenet(conditioning="none")
    got = sampled(model, num_samples=2, length=5, engine="my_engine.Mine")
    assert (got.engine, got.why) == ("my_engine.Mine", "as asked")
    assert torch.equal(got.x, sampled(model, num_samples=2, length=5, engine="cached").x)
    with pytest.warns(UserWarning, match=r"'my_engine.Mine' cannot .*one temperature.*; using 'cached'"):
        assert sampled(model, length=5, engine="my_engine.Mine", temperature=0.5).engine == "cached"
    with pytest.warns(UserWarning, match=r"it has no fill, how, obstacle, prepare, resume.*; using 'cached'"):
        sampled(model, length=5, engine="my_engine.Not")
