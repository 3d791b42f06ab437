"""Adapted batch statistics: they are the other domain's, they are FiLM, and the model that is given stays as it was."""

import copy

import pytest
import torch
from torch import nn

from condgen.conditioning import film
from condgen.conditioning.batch_statistics import adapt_batch_statistics


def network():
    torch.manual_seed(0)
    made = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Dropout(0.5), nn.Conv2d(3, 2, 2)).double()
    for parameter in made.parameters():
        nn.init.normal_(parameter)
    made[1].running_mean.normal_()
    made[1].running_var.uniform_(0.5, 2)
    return made.eval()


def batches(count=4):
    generator = torch.Generator().manual_seed(1)
    return [3 * torch.randn(5, 1, 6, 6, dtype=torch.float64, generator=generator) - 1 for _ in range(count)]


def test_an_adapted_batch_norm_is_the_source_s_followed_by_film():
    """Li et al. 2017: γ = √((v_s + ε)/(v_t + ε)), β = b(1 − γ) + w(m_s − m_t)/√(v_t + ε)."""
    source = network()
    target = adapt_batch_statistics(source, batches())
    s, t, x = source[1], target[1], torch.randn(2, 3, 4, 4, dtype=torch.float64)
    gamma = ((s.running_var + s.eps) / (t.running_var + t.eps)).sqrt()
    beta = s.bias * (1 - gamma) + s.weight * (s.running_mean - t.running_mean) / (t.running_var + t.eps).sqrt()
    torch.testing.assert_close(t(x), film(s(x), gamma[None], beta[None]), rtol=0, atol=1e-13)


def test_the_statistics_are_means_over_the_batches():
    source = network()
    target = adapt_batch_statistics(source, batches())[1]
    features = torch.stack([source[0](x) for x in batches()])
    torch.testing.assert_close(target.running_mean, features.mean((0, 1, 3, 4)))
    torch.testing.assert_close(target.running_var, torch.stack([f.var((0, 2, 3)) for f in features]).mean(0))


@pytest.mark.parametrize("training", [True, False])
def test_the_model_given_stays_as_it_was_and_no_weight_of_the_copy_differs(training):
    source = network().train(training)
    before = copy.deepcopy(source.state_dict())
    target = adapt_batch_statistics(source, batches())
    assert all(torch.equal(value, before[name]) for name, value in source.state_dict().items())
    assert all(torch.equal(a, b) for a, b in zip(source.parameters(), target.parameters(), strict=True))
    assert target[1].momentum == source[1].momentum
    assert [m.training for m in target.modules()] == [m.training for m in source.modules()]
    assert not torch.equal(target[1].running_mean, source[1].running_mean)


def test_a_batch_may_be_several_arguments():
    class Sum(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm1d(2)

        def forward(self, a, b):
            return self.norm(a + b)

    a = torch.randn(6, 2)
    found = adapt_batch_statistics(Sum(), [(a, 2 * a)])
    torch.testing.assert_close(found.norm.running_mean, 3 * a.mean(0))


def test_what_cannot_be_adapted_is_refused_in_one_line():
    with pytest.raises(ValueError, match=r"^Linear has no batch norm that keeps statistics"):
        adapt_batch_statistics(nn.Linear(2, 2), batches())
    with pytest.raises(ValueError, match=r"^there is no batch to take the statistics of batch norm from$"):
        adapt_batch_statistics(network(), [])
