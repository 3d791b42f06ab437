"""The Triton engine in Triton's interpreter, which runs a kernel in Python on the CPU.

Triton decides on that when it is imported, so `test_triton_wavenet` runs this file in a process of its own.
"""

import os
from functools import partial

import pytest
import torch

from condgen.engines import triton_wavenet
from condgen.engines.choice import choose
from condgen.engines.folding import Folded
from condgen.sampling import sample, stream

sampled = partial(sample, progress=False)


def floats(conditions):
    return {name: value.float() if value.is_floating_point() else value for name, value in conditions.items()}


def assert_same(first, second):
    assert torch.equal(first.x, second.x)
    assert torch.allclose(first.log_prob, second.log_prob, rtol=0, atol=1e-4)


def assert_equal(model, conditions, **options):
    """A tie at rounding, one in a million draws, would show as a failure: seeds are fixed, and there is none."""
    cached, got = (sampled(model, conditions, engine=engine, **options) for engine in ("cached", "triton"))
    assert choose("triton", model.network).name == "triton"  # and has not given way to another
    assert_same(got, cached)
    assert alive(model, conditions)


def alive(model, conditions):
    """Say whether what came before matters to a model: with few random weights, all rectifiers may be shut."""
    network, film = model.network, model.film(conditions)
    at = torch.arange(max(1, network.frames(film)) * network.hop if network.frames(film) else 12)
    x = torch.stack([at % network.levels, (at + 1) % network.levels])[:, None]
    first, second = network(x, film.select(slice(0, 1)))
    return bool((first != second).any())


def test_kernels_are_interpreted():
    assert os.environ["TRITON_INTERPRET"] == "1"
    assert triton_wavenet.interpreted()


@pytest.mark.parametrize(
    ("conditioning", "input", "hop", "kernel_size"),
    [("none", "embedding", 1, 2), ("bias", "scalar", 1, 3), ("scale", "scalar", 3, 3), ("gate", "embedding", 1, 2),
     ("film", "embedding", 3, 3), ("film", "scalar", 1, 2), ("concat", "scalar", 3, 2),
     ({"speaker": "scale", "melody": "bias"}, "embedding", 3, 2),
     ({"speaker": "bias", "melody": "gate"}, "scalar", 1, 2)],
)  # fmt: skip
def test_it_draws_what_the_cached_engine_draws(make_wavenet, make_melodies, conditioning, input, hop, kernel_size):
    model = make_wavenet(
        "categorical", conditioning, "none", input, hop, kernel_size=kernel_size, dilations=[2, 1]
    ).float()
    conditions = floats(make_melodies(model, 3, 12 // hop))
    assert_equal(model, conditions, length=[12, 7, 10], seed=5)


SIZES = [
    {"channels": 20, "hidden": 3, "skip": 17, "head": 33, "levels": 40},
    {"channels": 3, "hidden": 18, "skip": 2, "head": 5, "levels": 2, "kernel_size": 4, "dilations": [1, 3]},
]


@pytest.mark.parametrize("sizes", SIZES)
def test_sizes_are_rounded_up(make_wavenet, make_melodies, sizes):
    model = make_wavenet(hop=3, **sizes).float()
    assert_equal(model, floats(make_melodies(model, 2, 4)))


def test_products_are_cut_into_columns(monkeypatch, make_wavenet, make_melodies):
    monkeypatch.setattr(triton_wavenet, "TILE", 16 * 32)
    model = make_wavenet(hop=3, skip=9, head=33, levels=70).float()
    assert_equal(model, floats(make_melodies(model, 2, 4)))


def test_a_batch_of_more_rows_than_a_program_takes(make_wavenet, make_melodies):
    model = make_wavenet(hop=3).float()
    assert_equal(model, floats(make_melodies(model, 19, 2)), length=[6 - i % 3 for i in range(19)])
    assert_equal(model, floats(make_melodies(model, 1, 2)), num_samples=17)


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("known", [None, [True, True, False, True, False, False, True]])
def test_what_is_given_is_kept(make_wavenet, make_melodies, rows, known):
    model = make_wavenet(hop=3).float()
    given = torch.randint(6, (rows, 1, 7), generator=torch.Generator().manual_seed(0))
    options = {"given": given, "known": None if known is None else torch.tensor(known), "temperature": 0.7}
    assert_equal(model, floats(make_melodies(model, 3, 4)), **options)


def test_a_stream_goes_on_with_another_engine(make_wavenet, make_melodies):
    model = make_wavenet(hop=3, kernel_size=3).float()
    conditions = floats(make_melodies(model, 3, 4))
    whole = sampled(model, conditions, engine="cached")
    for first_engine, second_engine in (("triton", "cached"), ("cached", "triton"), ("triton", "triton")):
        first = next(stream(model, conditions, chunk=5, engine=first_engine))
        rest = list(stream(model, conditions, chunk=4, state=first.state, engine=second_engine))
        assert torch.equal(torch.cat([first.x, *(chunk.x for chunk in rest)], -1), whole.x)


def test_weights_of_16_bits_are_nearly_those_of_32(monkeypatch, make_wavenet, make_melodies):
    """In float16: the interpreter of Triton 3.8 multiplies the bits of bfloat16 as whole numbers."""
    model = make_wavenet(hop=3, levels=16, seed=1).float()
    conditions = floats(make_melodies(model, 3, 4))
    assert alive(model, conditions)
    monkeypatch.setattr(triton_wavenet.TritonWaveNet, "dtype", torch.float16)
    got = sampled(model, conditions, engine="triton")
    score = model.log_prob(got.x, conditions).double()
    assert torch.allclose(got.log_prob, score, rtol=2e-3)
    assert not torch.allclose(got.log_prob, score, rtol=1e-6)


def stale_ring(monkeypatch):
    original = triton_wavenet.wavenet
    stale = {}

    class Kernel:
        def __getitem__(self, grid):
            def launch(rings, *args, **options):  # every turn begins with the rings of the first one
                rings.copy_(stale.setdefault("rings", rings.clone()))
                original[grid](rings, *args, **options)

            return launch

    monkeypatch.setattr(triton_wavenet, "wavenet", Kernel())


def wrong_tap(monkeypatch):
    original = triton_wavenet.pack

    def pack(*args):
        entry, taps, *rest = original(*args)
        return [entry, taps.flip(1).contiguous(), *rest]

    monkeypatch.setattr(triton_wavenet, "pack", pack)


def halves_of_the_gate_swapped(monkeypatch):
    original = triton_wavenet.pack

    def pack(*args):
        entry, taps, *rest = original(*args)
        return [entry, taps.flip(2).contiguous(), *rest]

    monkeypatch.setattr(triton_wavenet, "pack", pack)


def missing_condition(monkeypatch):
    original = triton_wavenet.fold_frames
    monkeypatch.setattr(triton_wavenet, "fold_frames", lambda network, film, turn: original(network, {}, turn))


def condition_of_the_first_turn(monkeypatch):
    original = triton_wavenet.fold_frames
    monkeypatch.setattr(
        triton_wavenet, "fold_frames", lambda network, film, turn: original(network, film, range(len(turn)))
    )


def beta_forgotten(monkeypatch):
    original = triton_wavenet.fold_frames
    monkeypatch.setattr(triton_wavenet, "fold_frames", lambda *args: Folded(*original(*args)[:2], None))


def noise_one_step_late(monkeypatch):
    original = triton_wavenet.inputs
    monkeypatch.setattr(
        triton_wavenet, "inputs", lambda draw, stop: (original(draw, stop)[0].roll(1, 1), *original(draw, stop)[1:])
    )


MUTANTS = [
    stale_ring, wrong_tap, halves_of_the_gate_swapped, missing_condition, condition_of_the_first_turn, beta_forgotten,
    noise_one_step_late,
]  # fmt: skip


@pytest.mark.parametrize("plant", MUTANTS)
def test_the_equality_catches(monkeypatch, make_wavenet, make_melodies, plant):
    model = make_wavenet(hop=3, kernel_size=3).float()
    conditions = floats(make_melodies(model, 2, 4))
    monkeypatch.setattr(triton_wavenet, "turn_size", lambda steps, size: 5)
    assert_equal(model, conditions)
    plant(monkeypatch)
    with pytest.raises(AssertionError):
        assert_equal(model, conditions)
