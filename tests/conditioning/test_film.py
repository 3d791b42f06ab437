"""FiLM(x) = γ ⊙ x + β: its algebra, its scopes, its errors, and its place behind a normalisation."""

import re

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from condgen.conditioning import FiLM, GammaBeta, film, film_layers, require_causal

SCOPES = {"global": (2, 3), "local": (2, 3, 8), "spatial": (2, 3, 4, 8), "one row for all": (1, 3)}


def draw(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


X, GAMMA, BETA = draw(2, 3, 4, 8), draw(2, 3, seed=1), draw(2, 3, seed=2)


def test_fixed_parts_are_exact_identities():
    assert torch.equal(film(X), X)
    assert torch.equal(FiLM(3)(X, GammaBeta()), X)
    assert torch.equal(film(X, beta=BETA), film(X, torch.ones_like(BETA), BETA))
    assert torch.equal(film(X, GAMMA), film(X, GAMMA, torch.zeros_like(GAMMA)))


@pytest.mark.parametrize(("gamma", "beta"), [(GAMMA, None), (None, BETA), (GAMMA, BETA)])
def test_the_result_is_a_new_tensor(gamma, beta):
    assert film(X, gamma, beta).data_ptr() != X.data_ptr()


def test_two_films_in_a_row_are_one_film():
    gamma, beta = draw(2, 3, seed=3), draw(2, 3, seed=4)
    both = film(film(X, GAMMA, BETA), gamma, beta)
    assert torch.allclose(both, film(X, gamma * GAMMA, gamma * BETA + beta), atol=1e-12)


def test_global_film_commutes_with_permuting_positions():
    order = torch.randperm(32, generator=torch.Generator().manual_seed(0))
    permuted = X.flatten(2)[..., order]
    assert torch.equal(film(permuted, GAMMA, BETA), film(X, GAMMA, BETA).flatten(2)[..., order])


@pytest.mark.parametrize("scope", SCOPES)
def test_each_scope_acts_where_its_shape_says(scope):
    gamma, beta = draw(*SCOPES[scope], seed=5), draw(*SCOPES[scope], seed=6)
    result = film(X, gamma, beta)
    for i, c, row, column in torch.cartesian_prod(*map(torch.arange, X.shape)):
        place = {"global": (i, c), "local": (i, c, column), "spatial": (i, c, row, column)}.get(scope, (0, c))
        assert result[i, c, row, column] == X[i, c, row, column] * gamma[place] + beta[place]


@pytest.mark.parametrize("hop", [1, 2, 4, 8])
def test_a_frame_covers_hop_positions(hop):
    frames = draw(2, 3, 8 // hop, seed=5)
    result = film(X[:, :, 0], frames, frames, hop)
    for position in range(8):
        frame = frames[..., position // hop]
        assert torch.equal(result[..., position], X[:, :, 0, position] * frame + frame)


@pytest.mark.parametrize("shape", [(3,), (2, 4), (3, 3), (2, 3, 7), (2, 3, 8, 4), (2, 3, 1, 4, 8)])
@pytest.mark.parametrize("name", ["gamma", "beta"])
def test_shapes_that_do_not_fit_are_refused_with_both(name, shape):
    with pytest.raises(ValueError, match=f"{name} is {re.escape(str(shape))}.*{re.escape(str(tuple(X.shape)))}"):
        film(X, **{name: torch.ones(shape)})


@pytest.mark.parametrize(("frames", "hop"), [(3, 4), (2, 2), (8, 2)])
def test_frames_that_do_not_fill_the_positions_are_refused_with_both_numbers(frames, hop):
    with pytest.raises(ValueError, match=f"{frames} frames × hop {hop} ≠ 8 positions"):
        film(X, beta=torch.ones(2, 3, frames), hop=hop)


def test_a_single_frame_does_not_stand_for_every_position():
    with pytest.raises(ValueError, match="1 frames × hop 4 ≠ 8 positions"):
        film(X, beta=torch.ones(2, 3, 1), hop=4)


@pytest.mark.parametrize("norm", ["none", "batch", "instance", "channel"])
def test_nothing_is_changed_in_place(norm):
    inputs = [X, GAMMA, BETA, draw(2, 3, 4, 8, seed=7)]
    before = [tensor.clone() for tensor in inputs]
    FiLM(3, norm).double()(inputs[0], GammaBeta(*inputs[1:]))
    film(*inputs[:3])
    assert all(map(torch.equal, inputs, before))


def test_film_behind_batch_norm_is_a_batch_norm_with_an_affine_of_each_class():
    labels, x = torch.tensor([0, 2, 1, 0]), draw(4, 3, 5, 5)
    gamma, beta = draw(3, 3, seed=1), draw(3, 3, seed=2)
    result = FiLM(3, "batch").double()(x, GammaBeta(gamma[labels], beta[labels]))
    for label in range(3):
        norm = nn.BatchNorm2d(3).double()
        norm.load_state_dict({**norm.state_dict(), "weight": gamma[label], "bias": beta[label]})
        assert torch.allclose(result[labels == label], norm(x)[labels == label], atol=1e-12)


def test_film_behind_instance_norm_is_an_instance_norm_with_an_affine_of_each_sample():
    result = FiLM(3, "instance").double()(X, GammaBeta(GAMMA, BETA))
    for i in range(2):
        assert torch.allclose(result[i], F.instance_norm(X[i : i + 1], weight=GAMMA[i], bias=BETA[i])[0], atol=1e-12)


@pytest.mark.parametrize("groups", [1, 2, 3])
@pytest.mark.parametrize("size", [(), (7,), (4, 5)])
def test_channel_norm_normalises_each_run_of_channels_at_each_position_alone(groups, size):
    x = draw(2, 12, *size)
    result = FiLM(12, "channel", groups=groups)(x, GammaBeta())
    for run, normalised in zip(x.chunk(groups, 1), result.chunk(groups, 1), strict=True):
        variance, mean = torch.var_mean(run, dim=1, correction=0, keepdim=True)
        assert torch.allclose(normalised, (run - mean) / (variance + 1e-5).sqrt(), atol=1e-12)


def test_instance_norm_erases_the_film_before_it_up_to_the_sign_of_gamma():
    x = 1e4 * X  # so that the norm's epsilon does not count
    erased = F.instance_norm(film(x, GAMMA, BETA))
    assert (GAMMA < 0).any()
    assert torch.allclose(erased, GAMMA.sign()[..., None, None] * F.instance_norm(x), atol=1e-6)


def test_the_inner_part_enters_before_the_norm():
    inner = draw(2, 3, 4, 8, seed=3)
    result = FiLM(3, "instance")(X, GammaBeta(GAMMA, BETA, inner))
    assert torch.allclose(result, film(F.instance_norm(X + inner), GAMMA, BETA), atol=1e-12)


def test_layers_are_listed_by_name_in_order():
    network = nn.Sequential(nn.Linear(2, 2), FiLM(2), nn.Sequential(nn.ReLU(), FiLM(3)))
    assert {name: layer.channels for name, layer in film_layers(network).items()} == {"1": 2, "2.1": 3}
    assert list(film_layers(network)) == ["1", "2.1"]


def test_an_unknown_norm_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"'layer'.*none, batch, instance, channel"):
        FiLM(3, "layer")


def test_only_norms_of_one_position_are_causal():
    require_causal("none")
    require_causal("channel")
    for norm in ("batch", "instance"):
        with pytest.raises(ValueError, match=f"'{norm}' takes its statistics over positions"):
            require_causal(norm)


# What is picked out of parameters.


def pair_of(*shapes):
    """γ and β of the shapes given, every number another."""
    return GammaBeta(*(torch.arange(float(torch.Size(shape).numel())).view(shape) for shape in shapes))


def test_fixed_parts_stay_fixed_under_every_pick():
    fixed = GammaBeta()
    for picked in (fixed.map(torch.neg), fixed.rows([0]), fixed.frames(slice(1)), fixed.row(3), fixed.at(2, 1)):
        assert picked == fixed


def test_a_batch_of_one_serves_every_row():
    pair = pair_of((3, 2), (1, 2)).rows([2, 0, 2])
    assert pair.gamma.tolist() == [[4, 5], [0, 1], [4, 5]]
    assert pair.beta.shape == (1, 2)


def test_frames_are_taken_of_local_parts_alone():
    pair = pair_of((2, 3, 5), (2, 3)).frames(slice(1, 3))
    assert torch.equal(pair.gamma, pair_of((2, 3, 5)).gamma[..., 1:3])
    assert pair.beta.shape == (2, 3)


@pytest.mark.parametrize(("shape", "at"), [
    ((2, 3), lambda p, row, column: p),
    ((2, 3, 5), lambda p, row, column: p[:, :, column]),
    ((2, 3, 1), lambda p, row, column: p[:, :, 0]),
    ((2, 3, 4, 5), lambda p, row, column: p[:, :, row, column]),
    ((2, 3, 4, 1), lambda p, row, column: p[:, :, row, 0]),
    ((2, 3, 1, 5), lambda p, row, column: p[:, :, 0, column]),
])  # fmt: skip
def test_a_position_and_a_row_are_what_film_applies_there(shape, at):
    """To a map of 4 × 5: whatever the scope, FiLM of one pixel with the pair at its place is FiLM of the map there."""
    pair, x = pair_of(shape, shape), torch.randn(2, 3, 4, 5)
    whole = film(x, *pair)
    for row in range(4):
        assert torch.equal(film(x[:, :, row : row + 1], *pair.row(row)), whole[:, :, row : row + 1])
        for column in range(5):
            assert torch.equal(pair.at(row, column).gamma, at(pair.gamma, row, column))
            assert torch.equal(film(x[:, :, row, column], *pair.at(row, column)), whole[:, :, row, column])
