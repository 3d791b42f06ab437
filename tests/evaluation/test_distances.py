"""Distances between sets of features: known values."""

import pytest
import torch

from condgen.evaluation.distances import coverage, frechet_distance


def test_frechet_distance_of_gaussians_has_its_closed_form():
    torch.manual_seed(0)
    base = torch.randn(4000, 3, dtype=torch.float64)
    base = (base - base.mean(0)) @ torch.linalg.inv(torch.linalg.cholesky(base.T.cov()).T)  # exactly white
    scale, shift = torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64), torch.tensor([0.0, 1.0, -2.0])
    expected = float((shift**2).sum() + ((1 - scale) ** 2).sum())
    assert frechet_distance(base, base * scale + shift) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(base, base) == pytest.approx(0, abs=1e-6)


def test_coverage_counts_real_examples_with_a_near_sample():
    real = torch.arange(10.0)[:, None]
    assert coverage(real, real, k=1) == 1
    assert coverage(real, torch.tensor([[0.0]]), k=1) == 0.2  # 0 itself, and 1 at its own neighbour's distance
    assert coverage(real, torch.tensor([[100.0]]), k=1) == 0
    with pytest.raises(ValueError, match="more than 5 real examples; got 3"):
        coverage(real[:3], real)
