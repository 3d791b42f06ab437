"""Adaptation to another domain by the statistics of batch norm alone: FiLM whose parameters nobody learns."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

Model = TypeVar("Model", bound=nn.Module)


@torch.no_grad()
def adapt_batch_statistics(model: Model, loader: Iterable[Tensor | tuple[Tensor, ...]]) -> Model:
    """Return a copy of a model whose batch norms have the means and variances of other data; no weight differs.

    With source and target statistics m and v, weight w and bias b, each batch norm is what it was, followed by FiLM
    with γ = √((v_s + ε)/(v_t + ε)) and β = b (1 − γ) + w (m_s − m_t)/√(v_t + ε).

    Source: Li et al., "Revisiting Batch Normalization for Practical Domain Adaptation", 2017, algorithm 1.

    Args:
        model: model with batch norms; it is not changed.
        loader: batches of the other domain, best all of one size, since each counts alike: what the model is called
            with, a tensor or a tuple of arguments.

    Returns:
        A model in the mode (training or evaluation) of the one given.

    Raises:
        ValueError: the model has no batch norm that keeps statistics, or there is no batch.
    """
    adapted = copy.deepcopy(model).eval()
    norms = [m for m in adapted.modules() if isinstance(m, _BatchNorm) and m.running_mean is not None]
    if not norms:
        raise ValueError(
            f"{type(model).__name__} has no batch norm that keeps statistics, so there is nothing to adapt"
        )
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # all batches count alike
        norm.train()
    for batch in loader:
        adapted(*batch) if isinstance(batch, tuple) else adapted(batch)
    if not int(cast(Tensor, norms[0].num_batches_tracked)):
        raise ValueError("there is no batch to take the statistics of batch norm from")
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    for own, given in zip(adapted.modules(), model.modules(), strict=True):
        own.training = given.training
    return adapted
