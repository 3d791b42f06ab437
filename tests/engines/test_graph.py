"""The engines for GPUs draw what the cached one draws: here on the CPU, where the graph engine runs the very step that
it captures on a GPU, and where Triton's interpreter runs the kernel."""

from functools import partial
from types import SimpleNamespace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from condgen.conditioning import GammaBeta
from condgen.engines import folding, graph_pixelcnn, graph_wavenet, rings, tape
from condgen.engines.choice import choose
from condgen.engines.draw import Draw
from condgen.engines.graph import WARM, Replayed
from condgen.sampling import sample, stream

sampled = partial(sample, progress=False)
cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device to capture a graph on")
grid = settings(
    max_examples=60,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
CONDITIONINGS = ["none", "bias", "scale", "gate", "film", "concat"]
TEMPERS = [{}, {"temperature": 0.7}, {"top_k": 3, "top_p": 0.8, "temperature": 1.3}]


def tempering(model, temper):
    return temper if model.network.output.name == "categorical" or len(temper) < 2 else {}


def assert_equal(model, conditions, **options):
    """In float64 no rounding decides between two levels."""
    cached, got = (sampled(model, conditions, engine=engine, **options) for engine in ("cached", "graph"))
    assert choose("graph", model.network).name == "graph"  # and has not given way to another
    assert torch.equal(got.x, cached.x)
    assert torch.allclose(got.log_prob, cached.log_prob, rtol=0, atol=1e-9)


# The step of the graph engine.

WAVENETS = st.fixed_dictionaries(
    {
        "output": st.sampled_from(["categorical", "logistic_mixture", "gaussian"]),
        "conditioning": st.sampled_from(CONDITIONINGS),
        "norm": st.sampled_from(["none", "channel"]),
        "input": st.sampled_from(["embedding", "scalar"]),
        "hop": st.sampled_from([1, 3]),
        "seed": st.integers(0, 99),
        "hidden": st.sampled_from([2, 5]),
        "skip": st.sampled_from([3, 7]),
        "kernel_size": st.integers(2, 4),
        "dilations": st.lists(st.sampled_from([1, 2, 3, 5, 8]), min_size=1, max_size=4),
        "weight_norm": st.booleans(),
    }
)
CALLS = st.fixed_dictionaries(
    {
        "rows": st.integers(1, 4),
        "ragged": st.booleans(),
        "given": st.sampled_from([None, "beginning", "scattered"]),
        "temper": st.sampled_from(TEMPERS),
        "turn": st.sampled_from([1, 5, 2048]),
    }
)


@grid
@given(config=WAVENETS, call=CALLS)
def test_a_wavenet_draws_what_the_cached_engine_draws(make_wavenet, make_melodies, config, call):
    model = make_wavenet(**config)
    conditions = make_melodies(model, call["rows"], 15 // config["hop"])
    length = [15 - 2 * (i % 4) for i in range(call["rows"])] if call["ragged"] else 15
    options = {
        "num_samples": 1 if conditions else call["rows"],
        "seed": 7,
        "length": length,
        **tempering(model, call["temper"]),
    }
    if call["given"]:
        options["given"] = torch.randint(6, (1, 1, 8), generator=torch.Generator().manual_seed(1))
        if call["given"] == "scattered":
            options["known"] = torch.tensor([True, False, False, True, True, False, True, False])
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(tape, "MOST", call["turn"])
        assert_equal(model, conditions, **options)


PIXELCNNS = st.fixed_dictionaries(
    {
        "output": st.sampled_from(["bernoulli", "categorical", "logistic_mixture", "gaussian"]),
        "colours": st.sampled_from([1, 3]),
        "conditioning": st.sampled_from(CONDITIONINGS),
        "norm": st.sampled_from(["none", "channel"]),
        "size": st.sampled_from([(5, 4), (1, 6), (6, 1), (3, 5)]),
        "seed": st.integers(0, 99),
        "layers": st.integers(1, 3),
        "dilations": st.one_of(st.none(), st.lists(st.sampled_from([1, 2, 3, 7]), min_size=1, max_size=4)),
        "first_kernel_size": st.sampled_from([3, 7]),
        "kernel_size": st.sampled_from([3, 5]),
    }
)


@grid
@given(config=PIXELCNNS, call=CALLS)
def test_a_pixelcnn_draws_what_the_cached_engine_draws(make_model, make_conditions, config, call):
    model = make_model(**config)
    conditions = make_conditions(model, call["rows"])
    options = {"num_samples": 1 if conditions else call["rows"], "seed": 7, **tempering(model, call["temper"])}
    if call["given"]:
        rng, shape = torch.Generator().manual_seed(1), model.network.shape
        options["given"] = torch.randint(model.network.levels, (1, *shape), generator=rng)
        options["known"] = torch.rand(shape[1:], generator=rng) < 0.4
    assert_equal(model, conditions, **options)


@pytest.mark.parametrize("engines", [("graph", "cached"), ("cached", "graph"), ("graph", "graph")])
def test_a_stream_goes_on_with_another_engine(make_wavenet, make_melodies, engines):
    model = make_wavenet(hop=3, kernel_size=3)
    conditions = make_melodies(model, 3, 6)
    whole = sampled(model, conditions, engine="cached")
    first = next(stream(model, conditions, chunk=7, engine=engines[0]))
    rest = list(stream(model, conditions, chunk=4, state=first.state, engine=engines[1]))
    assert torch.equal(torch.cat([first.x, *(chunk.x for chunk in rest)], dim=-1), whole.x)


def test_one_row_of_conditions_serves_all(make_wavenet, make_melodies, make_model, make_conditions):
    for conditioning in CONDITIONINGS:
        assert_equal(
            model := make_wavenet(conditioning=conditioning, hop=3),
            make_melodies(model, 1, 4),
            num_samples=3,
            length=12,
        )
        assert_equal(
            model := make_model(colours=3, conditioning=conditioning), make_conditions(model, 1), num_samples=3
        )


def test_in_float32_ties_apart_it_draws_the_same(make_wavenet, make_melodies, make_model, make_conditions):
    for model, conditions in ((m := make_wavenet(hop=3), make_melodies(m, 3, 8)),
                              (m := make_model(colours=3), make_conditions(m, 3)),
                              (m := make_model(dilations=[1, 2, 1]), make_conditions(m, 3))):  # fmt: skip
        floats = {name: c.float() if c.is_floating_point() else c for name, c in conditions.items()}
        cached, got = (sampled(model.float(), floats, engine=engine) for engine in ("cached", "graph"))
        assert torch.equal(cached.x, got.x)
        assert torch.allclose(cached.log_prob, got.log_prob, atol=1e-3)


def test_python_hears_from_the_device_again_and_again(monkeypatch, make_wavenet):
    turns, original = [], Draw.keep
    monkeypatch.setattr(Draw, "keep", lambda self, turn, *rest: turns.append(turn) or original(self, turn, *rest))
    monkeypatch.setattr(tape, "TURN", 0.0)
    sampled(make_wavenet(conditioning="none"), num_samples=2, length=40, engine="graph")
    assert turns == [range(i, i + 1) for i in range(40)]


# The equality can fail.


def stale_ring(monkeypatch):
    monkeypatch.setattr(rings.Rings, "write", lambda *args: None)


def wrong_tap(monkeypatch):
    original = rings.Rings.past
    monkeypatch.setattr(rings.Rings, "past", lambda ring, step: original(ring, step + 1))


def past_left_out_of_the_state(monkeypatch):
    monkeypatch.setattr(rings.Rings, "slots", lambda ring, step: [slice(0, reach) for reach in ring.reaches])


def missing_condition(monkeypatch):
    for module in (graph_wavenet, graph_pixelcnn):
        monkeypatch.setattr(module, "fold", lambda pairs, *rest: folding.fold([GammaBeta()] * len(pairs), *rest))


def condition_without_gamma(monkeypatch):
    for module in (graph_wavenet, graph_pixelcnn):
        monkeypatch.setattr(
            module,
            "fold",
            lambda pairs, *rest: folding.fold([GammaBeta(None, pair.beta, pair.inner) for pair in pairs], *rest),
        )


def condition_of_the_first_place(monkeypatch):
    original = folding.Places.at
    monkeypatch.setattr(folding.Places, "at", lambda places, place: original(places, place * 0))


def condition_of_the_first_turn(monkeypatch):
    monkeypatch.setattr(graph_wavenet.Window, "show", lambda *args: None)


def values_left_out(monkeypatch):
    original = tape.chooser
    for module in (graph_wavenet, graph_pixelcnn):
        monkeypatch.setattr(
            module, "chooser", lambda *args: lambda parameters: torch.zeros_like(original(*args)(parameters))
        )


WAVENET_MUTANTS = [
    stale_ring, wrong_tap, past_left_out_of_the_state, missing_condition, condition_without_gamma,
    condition_of_the_first_place, condition_of_the_first_turn, values_left_out,
]  # fmt: skip


@pytest.mark.parametrize("plant", WAVENET_MUTANTS)
@pytest.mark.parametrize("output", ["categorical", "gaussian"])
def test_the_equality_of_wavenets_catches(monkeypatch, make_wavenet, make_melodies, plant, output):
    model = make_wavenet(output, hop=3, levels=16, channels=8, kernel_size=3)
    conditions = make_melodies(model, 3, 6)
    options = {"given": torch.arange(7)[None, None]}
    monkeypatch.setattr(tape, "MOST", 4)
    assert_equal(model, conditions, **options)
    plant(monkeypatch)
    with pytest.raises(AssertionError):
        assert_equal(model, conditions, **options)


def stale_left_columns(monkeypatch):
    original = graph_pixelcnn.Group.write
    monkeypatch.setattr(
        graph_pixelcnn.Group, "write", lambda group, *rest: original(group, *rest) if len(group.inputs) == 1 else None
    )


def columns_off_by_one(monkeypatch):
    original = graph_pixelcnn.Group.seen
    monkeypatch.setattr(graph_pixelcnn.Group, "seen", lambda group, column: original(group, column.clamp(min=1) - 1))


def no_end_of_a_row(monkeypatch):
    monkeypatch.setattr(graph_pixelcnn, "row_ender", lambda *args: lambda: None)


def map_of_the_first_row(monkeypatch):
    original = GammaBeta.row
    monkeypatch.setattr(GammaBeta, "row", lambda pair, row: original(pair, 0))


PIXELCNN_MUTANTS = [
    stale_left_columns, columns_off_by_one, no_end_of_a_row, map_of_the_first_row, missing_condition,
    condition_without_gamma, condition_of_the_first_place, values_left_out,
]  # fmt: skip


@pytest.mark.parametrize("plant", PIXELCNN_MUTANTS)
@pytest.mark.parametrize(("colours", "dilations"), [(1, None), (3, None), (1, [1, 2, 1])])
def test_the_equality_of_pixelcnns_catches(monkeypatch, make_model, make_conditions, plant, colours, dilations):
    model = make_model("categorical", colours, levels=16, dilations=dilations)
    conditions = make_conditions(model, 3)
    assert_equal(model, conditions)
    plant(monkeypatch)
    with pytest.raises(AssertionError):
        assert_equal(model, conditions)


# What a capture needs.


class Recorded(TorchDispatchMode):
    """Refuses what a CUDA graph cannot hold: reading the device from Python, and numbers that Python sends to it."""

    refused = ("aten._local_scalar_dense", "aten.nonzero", "aten.masked_select", "aten.lift_fresh", "aten.equal")

    def __torch_dispatch__(self, function, conditionings, args=(), kwargs=None):
        assert not str(function).startswith(self.refused), function
        marks = args[1] if str(function) in ("aten.index.Tensor", "aten.index_put_.default") else []
        assert all(index is None or index.dtype != torch.bool for index in marks), function
        return function(*args, **(kwargs or {}))


def under_capture(monkeypatch):
    original = Replayed.__call__

    def run(self, count):
        with Recorded():
            original(self, count)

    monkeypatch.setattr(Replayed, "__call__", run)


@pytest.mark.parametrize("temper", TEMPERS, ids=str)
def test_a_step_never_waits_for_the_device(
    monkeypatch, make_wavenet, make_melodies, make_model, make_conditions, temper
):
    under_capture(monkeypatch)
    for output in ("categorical", "logistic_mixture", "gaussian"):
        model = make_wavenet(output, "film", "channel", hop=3)
        given = {"given": torch.zeros(1, 1, 4).long(), "known": torch.tensor([False, True, True, False])}
        options = tempering(model, temper)
        assert_equal(model, make_melodies(model, 2, 3), **given, **options)
    for output in ("bernoulli", "categorical", "logistic_mixture", "gaussian"):
        model = make_model(output, 3, "film")
        assert_equal(model, make_conditions(model, 2), **tempering(model, temper))


def test_what_waits_for_the_device_is_noticed():
    x = torch.tensor([1.0, 2.0])
    with Recorded():
        x.index_select(0, torch.zeros_like(x).long())
        for wait in (lambda: x[0].item(), lambda: x[x > 1], lambda: torch.tensor([3.0]), lambda: bool((x > 0).any())):
            with pytest.raises(AssertionError):
                wait()


def test_buffers_stay_where_they_are(monkeypatch, make_wavenet, make_melodies, make_model, make_conditions):
    """A graph holds addresses: nothing that a step reads of an earlier one may be a new tensor."""
    seen = []

    def run(self, count):
        cells = [cell.cell_contents for cell in self.step.__closure__]
        addresses = [sorted(t.data_ptr() for cell in cells for t in tensors(cell))]
        for _ in range(count):
            self.step()
            addresses.append(sorted(t.data_ptr() for cell in cells for t in tensors(cell)))
        seen.append(len(addresses[0]))
        assert all(a == addresses[0] for a in addresses)

    monkeypatch.setattr(Replayed, "__call__", run)
    model = make_wavenet(hop=3)
    assert_equal(model, make_melodies(model, 2, 4))
    for dilations in (None, [1, 2, 3]):
        model = make_model(colours=3, dilations=dilations)
        assert_equal(model, make_conditions(model, 2))
    assert min(seen) > 4


def tensors(thing):
    """Every tensor in the fields and lists of a thing."""
    if isinstance(thing, torch.Tensor):
        return [thing]
    if isinstance(thing, list | tuple):
        return [t for part in thing for t in tensors(part)]
    parts = vars(thing).values() if type(thing).__module__.startswith("condgen.engines") else []
    return [t for part in parts for t in tensors(part)]


@pytest.mark.parametrize("counts", [[1], [2, 1, 1, 40], [100], [1, 1, 1, 1, 1], [3, 8, 7, 9]], ids=str)
def test_steps_are_warmed_up_captured_once_and_replayed(monkeypatch, counts):
    ran, captured = [], []

    def capture(self, size):
        if size not in self.graphs:
            captured.append(size)
            self.graphs[size] = SimpleNamespace(replay=lambda: ran.append(size))
        return self.graphs[size]

    monkeypatch.setattr(Replayed, "_captured", capture)
    monkeypatch.setattr(Replayed, "_warm_up", lambda self, count: (ran.extend([1] * count), setattr(
        self, "warm", self.warm + count)))  # fmt: skip
    run = Replayed(lambda: None, torch.device("cuda"))
    for count in counts:
        before = sum(ran)
        run(count)
        assert sum(ran) - before == count
    assert len(set(captured)) == len(captured)
    assert set(captured) <= {1, 8}
    assert (not captured) == (sum(counts) <= WARM)


@cuda
@pytest.mark.parametrize("temper", TEMPERS, ids=str)
def test_a_captured_step_draws_what_the_cached_engine_draws(
    make_wavenet, make_melodies, make_model, make_conditions, temper
):
    for output in ("categorical", "logistic_mixture", "gaussian"):
        model = make_wavenet(output, hop=3, kernel_size=3).cuda()
        assert_equal(model, make_melodies(model, 3, 40), length=[120, 100, 77], **tempering(model, temper))
    for output in ("bernoulli", "categorical", "logistic_mixture", "gaussian"):
        for dilations in (None, [1, 2, 3, 1]):
            model = make_model(output, 3, size=(9, 13), dilations=dilations).cuda()
            assert_equal(model, make_conditions(model, 3), **tempering(model, temper))
