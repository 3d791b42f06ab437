"""FiLM parameters in units of the features: what cannot be told apart comes out the same."""

import pytest
import torch
from torch import nn

from condgen.analysis import before_film, feature_spread, standardised
from condgen.conditioning import FiLM, FiLMParameters, GammaBeta, film_layers


class Net(nn.Module):
    """A convolution with FiLM, and a map behind it."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.film, self.out = nn.Conv1d(1, 3, 2), FiLM(3, dims=1), nn.Conv1d(3, 1, 1)

    def forward(self, x, film):
        return self.out(self.film(self.conv(x), film["film"]))


@pytest.fixture
def net():
    return Net().double()


def spread_of(net, x, film):
    return feature_spread(before_film(film_layers(net)), lambda: net(x, film))


def test_the_spread_is_that_of_the_features_before_film(net):
    x = torch.randn(5, 1, 9, dtype=torch.float64)
    film = FiLMParameters(
        {"film": GammaBeta(torch.full((1, 3), 7.0), torch.full((1, 3), -2.0)).map(torch.Tensor.double)}
    )
    expected = net.conv(x).movedim(1, 0).flatten(1).std(1, correction=0)
    assert torch.allclose(spread_of(net, x, film)["film"], expected.detach())
    assert not net.film.normalise._forward_hooks


@pytest.mark.parametrize("free", [True, False])
def test_networks_that_differ_in_scale_alone_have_the_same_parameters_in_units_of_their_features(net, free):
    x, rows = torch.randn(6, 1, 20, dtype=torch.float64), torch.randn(2, 6, 3, dtype=torch.float64)
    film = FiLMParameters({"film": GammaBeta(rows[0] if free else None, rows[1])})
    factors = torch.tensor([2.0, 0.1, 30.0], dtype=torch.float64)
    before, answer = standardised(film, spread_of(net, x, film)), net(x, film)
    with torch.no_grad():
        net.conv.weight *= factors[:, None, None]
        net.conv.bias *= factors
        if not free:
            net.out.weight /= factors[:, None]
    other = FiLMParameters(
        {"film": GammaBeta(rows[0] / factors if free else None, rows[1] if free else rows[1] * factors)}
    )
    assert torch.allclose(net(x, other), answer)
    after = standardised(other, spread_of(net, x, other))
    assert torch.allclose(before.flatten(), after.flatten())
    assert not torch.allclose(before.flatten(), film.flatten())


def test_features_that_do_not_vary_keep_their_parameters_and_a_layer_that_is_not_called_is_named(net):
    film = FiLMParameters({"film": GammaBeta(None, torch.ones(2, 3, 4))})
    assert torch.equal(standardised(film, {"film": torch.tensor([0.0, 2.0, 4.0])})["film"].beta[0, :, 0],
                       torch.tensor([1, 0.5, 0.25]))  # fmt: skip
    with pytest.raises(ValueError, match="the layer 'film' was not called"):
        feature_spread(before_film(film_layers(net)), lambda: None)
