"""Folded FiLM parameters whose γ and β are of different scopes: every engine on a CPU draws what the naive one does."""

import itertools
from functools import partial

import pytest
import torch

from condgen.conditioning import GammaBeta
from condgen.engines.choice import choose
from condgen.engines.folding import fold
from condgen.sampling import sample

sampled = partial(sample, progress=False)
ACTING = ["bias", "scale", "gate", "film"]


def floats(conditions):
    return {name: value.float() if value.is_floating_point() else value for name, value in conditions.items()}


def assert_alike(model, conditions, **options):
    naive, cached, graph = (sampled(model, conditions, engine=e, **options) for e in ("naive", "cached", "graph"))
    assert choose("graph", model.network).name == "graph"
    for other in (cached, graph):
        assert torch.equal(other.x, naive.x)
        torch.testing.assert_close(other.log_prob, naive.log_prob, rtol=0, atol=1e-9)
    # In float32, a tie at rounding comes once in a million draws; seeds are fixed, and there is none.
    model, conditions = model.float(), floats(conditions)
    cached, compiled = (sampled(model, conditions, engine=engine, **options) for engine in ("cached", "compiled"))
    assert choose("compiled", model.network).name == "compiled"
    assert torch.equal(compiled.x, cached.x)
    torch.testing.assert_close(compiled.log_prob, cached.log_prob, rtol=0, atol=1e-3)


@pytest.mark.parametrize(("speaker", "melody"), itertools.permutations(ACTING, 2))
def test_a_wavenet_draws_alike_whatever_each_condition_does(make_wavenet, make_melodies, speaker, melody):
    norm = "channel" if "gate" in (speaker, melody) else "none"
    model = make_wavenet(conditioning={"speaker": speaker, "melody": melody}, norm=norm, hop=3)
    assert_alike(model, make_melodies(model, 3, 4), length=[12, 7, 10], seed=5)


@pytest.mark.parametrize(("label", "columns", "map_"), [("scale", "gate", "bias"), ("bias", "bias", "scale"),
                                                        ("gate", "film", "concat")])  # fmt: skip
def test_a_pixelcnn_draws_alike_whatever_each_condition_does(make_model, make_conditions, label, columns, map_):
    model = make_model(conditioning={"label": label, "columns": columns, "map": map_}, norm="channel")
    assert_alike(model, make_conditions(model, 3), seed=5)


def test_biases_alone_fold_into_the_convolutions_whatever_their_scopes():
    pairs = [GammaBeta(beta=torch.randn(2, 3)), GammaBeta(beta=torch.randn(1, 3, 4))]
    folded = fold(pairs, [torch.zeros(3)] * 2, normalised=False)
    assert folded.gamma is None
    assert folded.beta is None
    assert folded.inner.shape == (4, 2, 2, 3)


def test_a_global_gamma_beside_a_local_beta_is_one_place_beside_several():
    folded = fold([GammaBeta(torch.ones(2, 3), torch.zeros(1, 3, 4))], [torch.zeros(3)], normalised=False)
    assert folded.gamma.shape == (1, 1, 2, 3)
    assert folded.beta.shape == (4, 1, 1, 3)
