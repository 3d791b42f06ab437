"""Losses of adversarial training, from the scores of real and generated data, (batch,) each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

Loss = Literal["non_saturating", "hinge", "least_squares", "wasserstein"]


def discriminator_loss(loss: Loss, real: Tensor, fake: Tensor) -> Tensor:
    """What the discriminator lowers.

    Sources: `non_saturating`: Goodfellow et al., 2014; `hinge`: Lim and Ye, "Geometric GAN", 2017; `least_squares`: Mao
    et al., 2017, with targets 1 and 0; `wasserstein`: Arjovsky et al., 2017.
    """
    return {
        "non_saturating": lambda: F.softplus(-real).mean() + F.softplus(fake).mean(),
        "hinge": lambda: F.relu(1 - real).mean() + F.relu(1 + fake).mean(),
        "least_squares": lambda: ((real - 1).square().mean() + fake.square().mean()) / 2,
        "wasserstein": lambda: fake.mean() - real.mean(),
    }[_known(loss)]()


def generator_loss(loss: Loss, fake: Tensor) -> Tensor:
    """What the generator lowers; see `discriminator_loss`."""
    return {
        "non_saturating": lambda: F.softplus(-fake).mean(),
        "hinge": lambda: -fake.mean(),
        "least_squares": lambda: (fake - 1).square().mean() / 2,
        "wasserstein": lambda: -fake.mean(),
    }[_known(loss)]()


def r1_penalty(score: Tensor, real: Tensor) -> Tensor:
    """Half the mean squared norm of the score's gradient at real data, which must require gradients.

    Source: Mescheder et al., "Which Training Methods for GANs do actually Converge?", 2018, equation 9, with γ = 1.
    """
    return _gradient(score, real).square().flatten(1).sum(1).mean() / 2


def gradient_penalty(judge: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, share: Tensor) -> Tensor:
    """Mean squared deviation from 1 of the gradient's norm, between real and generated data.

    Source: Gulrajani et al., "Improved Training of Wasserstein GANs", 2017, equation 3, with λ = 1.

    Args:
        judge: map from data to scores, (batch,).
        real: real data, (batch, *shape).
        fake: generated data, same shape.
        share: share of the real data in each mixture, (batch,), uniform in [0, 1].
    """
    share = share.reshape(-1, *(1,) * (real.ndim - 1))
    between = (share * real + (1 - share) * fake).detach().requires_grad_()
    return (_gradient(judge(between), between).flatten(1).norm(dim=1) - 1).square().mean()


def _gradient(score: Tensor, x: Tensor) -> Tensor:
    # In float32 at least: sums and squares of half-precision numbers overflow.
    (gradient,) = torch.autograd.grad(
        score.to(torch.promote_types(score.dtype, torch.float32)).sum(), x, create_graph=True
    )
    return gradient.to(torch.promote_types(gradient.dtype, torch.float32))


def _known(loss: Loss) -> Loss:
    if loss not in get_args(Loss):
        raise ValueError(f"unknown loss '{loss}'; known: {', '.join(get_args(Loss))}")
    return loss
