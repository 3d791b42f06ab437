"""Adversarial losses and penalties against closed forms."""

import math

import pytest
import torch
from torch import nn

from condgen.training.losses import discriminator_loss, generator_loss, gradient_penalty, r1_penalty

REAL, FAKE = torch.tensor([2.0, -0.5], dtype=torch.float64), torch.tensor([0.3, -3.0], dtype=torch.float64)


def mean(function, scores):
    return sum(function(float(s)) for s in scores) / len(scores)


@pytest.mark.parametrize(
    ("loss", "real", "fake", "generator"),
    [
        ("non_saturating", lambda s: -math.log(1 / (1 + math.exp(-s))), lambda s: -math.log(1 - 1 / (1 + math.exp(-s))),
         lambda s: -math.log(1 / (1 + math.exp(-s)))),
        ("hinge", lambda s: max(0, 1 - s), lambda s: max(0, 1 + s), lambda s: -s),
        ("least_squares", lambda s: (s - 1) ** 2 / 2, lambda s: s**2 / 2, lambda s: (s - 1) ** 2 / 2),
        ("wasserstein", lambda s: -s, lambda s: s, lambda s: -s),
    ],
)  # fmt: skip
def test_losses_are_what_the_papers_say(loss, real, fake, generator):
    expected = mean(real, REAL) + mean(fake, FAKE)
    assert float(discriminator_loss(loss, REAL, FAKE)) == pytest.approx(expected)
    assert float(generator_loss(loss, FAKE)) == pytest.approx(mean(generator, FAKE))


@pytest.mark.parametrize("loss", ["non_saturating", "hinge", "least_squares", "wasserstein"])
def test_each_side_gains_where_the_other_loses(loss):
    """The generator's loss falls as fakes score higher, where the discriminator's rises."""
    fake = torch.tensor([0.2, 0.4], requires_grad=True)
    (ours,) = torch.autograd.grad(generator_loss(loss, fake), fake)
    (theirs,) = torch.autograd.grad(discriminator_loss(loss, torch.zeros(2), fake), fake)
    assert (ours < 0).all()
    assert (theirs > 0).all()


def test_penalties_of_a_linear_discriminator_are_those_of_its_weights():
    linear = nn.Linear(12, 1).double()
    norm = float(linear.weight.detach().norm())

    def judge(x):
        return linear(x.flatten(1))[:, 0]

    real, fake = torch.randn(5, 3, 2, 2, dtype=torch.float64), torch.randn(5, 3, 2, 2, dtype=torch.float64)
    real.requires_grad_()
    assert float(r1_penalty(judge(real), real).detach()) == pytest.approx(norm**2 / 2)
    share = torch.rand(5, dtype=torch.float64)
    assert float(gradient_penalty(judge, real, fake, share).detach()) == pytest.approx((norm - 1) ** 2)


def test_penalties_reach_the_weights():
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1)).double()
    real = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    share = torch.rand(3, dtype=torch.float64)
    penalties = (r1_penalty(network(real)[:, 0], real),
                 gradient_penalty(lambda x: network(x)[:, 0], real, torch.zeros_like(real), share))  # fmt: skip
    for penalty in penalties:
        grads = torch.autograd.grad(penalty, [network[1].weight, network[3].weight])
        assert all(g.abs().max() > 0 for g in grads)


def test_the_gradient_penalty_looks_between_real_and_fake_by_the_shares_given():
    seen = []

    def judge(x):
        seen.append(x.detach().clone())
        return x.flatten(1).sum(1)

    real, fake = torch.ones(3, 2), torch.zeros(3, 2)
    gradient_penalty(judge, real, fake, torch.tensor([0.0, 0.25, 1.0]))
    assert torch.equal(seen[0], torch.tensor([[0.0, 0.0], [0.25, 0.25], [1.0, 1.0]]))


def test_an_unknown_loss_is_refused():
    with pytest.raises(ValueError, match="unknown loss 'vanilla'; known: non_saturating, hinge"):
        generator_loss("vanilla", FAKE)
