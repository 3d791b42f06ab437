"""The course of the learning rate over a run."""

import pytest

from condgen.training.schedule import learning_rate_factor


def test_learning_rate_rises_then_falls_to_zero():
    factor = [learning_rate_factor(step, 100, 10, "cosine") for step in range(101)]
    assert factor[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert factor[10:] == sorted(factor[10:], reverse=True)
    assert factor[100] == pytest.approx(0, abs=1e-9)
    assert learning_rate_factor(99, 100, 10, "constant") == 1


def test_without_an_end_nothing_falls():
    assert learning_rate_factor(10**6, float("inf"), 10, "cosine") == 1
