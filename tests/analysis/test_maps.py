"""FiLM parameters laid out by feature map."""

import numpy as np
import pytest
import torch

from condgen.analysis import Representation, choose_layers, feature_maps, over_rows, pooled
from condgen.analysis.ablation import mixed, noisy
from condgen.conditioning import FiLMParameters, GammaBeta


@pytest.fixture
def film():
    torch.manual_seed(0)
    return FiLMParameters({
        "first": GammaBeta(torch.randn(4, 3), torch.randn(4, 3)), "second": GammaBeta(None, torch.randn(4, 2)),
    }, {"word": list("abab")})  # fmt: skip


def test_a_column_holds_a_map_and_fixed_parts_their_number(film):
    maps = feature_maps(film)
    assert maps.names == ["first 0", "first 1", "first 2", "second 0", "second 1"]
    assert np.array_equal(maps.gamma[:, :3], film["first"].gamma.double())
    assert (maps.gamma[:, 3:] == 1).all()
    assert np.array_equal(maps.beta[:, 3:], film["second"].beta.double())
    assert (maps.rows, maps.labels) == (4, {"word": list("abab")})


def test_layers_and_maps_are_taken_by_name_and_number(film):
    assert feature_maps(film, ["second"]).gamma is None
    assert feature_maps(film, ["first"], [2, 0]).names == ["first 2", "first 0"]
    assert list(choose_layers(film, ["second"])) == ["second"]


@pytest.mark.parametrize(("layers", "maps", "words"), [
    (["third"], [], "no FiLM layer is called 'third'; layers: first, second"),
    (["second"], [2], "layer 'second' has no feature map 2; its maps: 0 to 1"),
    (["second"], [-1], "no feature map -1"),
])  # fmt: skip
def test_what_is_unknown_is_named(film, layers, maps, words):
    with pytest.raises(ValueError, match=words):
        feature_maps(film, layers, maps)


def test_without_conditions_there_is_nothing():
    with pytest.raises(ValueError, match="every γ and β is fixed"):
        feature_maps(FiLMParameters({"first": GammaBeta()}))


def test_frames_and_positions_are_averaged_and_an_offset_before_the_norm_is_beta():
    frames, area = torch.randn(2, 3, 5), torch.randn(2, 3, 4, 6)
    film = FiLMParameters({"a": GammaBeta(beta=frames), "b": GammaBeta(beta=torch.zeros(1, 3), inner=area)})
    assert torch.equal(pooled(film)["a"].beta, frames.mean(2))
    maps = feature_maps(film)
    assert maps.gamma is None
    assert maps.beta == pytest.approx(torch.cat([frames.mean(2), area.mean((2, 3))], 1).numpy(), abs=1e-6)


def test_the_most_varied_maps_come_in_their_order():
    beta = torch.tensor([[0.0, 9.0, 1.0, 5.0], [3.0, 9.0, 1.5, 4.0]])
    assert feature_maps(FiLMParameters({"a": GammaBeta(beta=beta)})).most_varied(2).numbers == [0, 3]


def test_gamma_and_beta_of_different_scopes_are_pooled_ablated_and_kept_like_others(tmp_path):
    """As with `conditioning: {digit: scale, mask: bias}`: γ has a row per digit, β one map for all of them."""
    torch.manual_seed(0)
    gamma, beta = torch.randn(4, 3), torch.randn(1, 3, 5, 5)
    film = FiLMParameters({"layer": GammaBeta(gamma, beta)}, {"digit": list("0123")})
    maps = feature_maps(film)
    assert np.allclose(maps.gamma, gamma)
    assert np.allclose(maps.beta, beta.mean((2, 3)).expand(4, -1))
    mean, spread = over_rows(film)
    assert [part.shape for part in mean.tensors] == [(1, 3), (1, 3, 5, 5)]
    assert not spread["layer"].beta.any()  # of one row, nothing differs
    swapped = mixed(film, mean, lambda layer, part: part == "beta")
    assert torch.equal(swapped["layer"].gamma, gamma.mean(0).expand(4, -1))
    assert torch.equal(swapped["layer"].beta, beta)
    noise = noisy(Representation(film, mean, spread, film), 1.0)
    assert torch.equal(noise["layer"].beta.expand(4, -1, -1, -1), beta.expand(4, -1, -1, -1))
    assert not torch.equal(noise["layer"].gamma, gamma)
    film.save(tmp_path / "film")
    assert torch.equal(FiLMParameters.load(tmp_path / "film").flatten(), film.flatten())
    assert FiLMParameters.stack([film, film.select([1])]).batch_size == 5
    assert film.select(digit="2").interpolate(film, 0.5).batch_size == 4
