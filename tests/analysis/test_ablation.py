"""Ablations: of a network that ignores its condition nothing is lost, and what carries it is found."""

import pytest
import torch

from condgen.analysis import Representation, ablate, groups_of, mixed, noisy, over_rows
from condgen.conditioning import FiLMParameters, GammaBeta


@pytest.fixture
def of():
    torch.manual_seed(0)
    film = FiLMParameters({
        "early": GammaBeta(torch.randn(40, 2), torch.randn(40, 2)),
        "late": GammaBeta(torch.randn(40, 3), torch.randn(40, 3)),
    })  # fmt: skip
    mean, spread = over_rows(film)
    return Representation(film, mean, spread, film.select(torch.randperm(40)))


def loss_of(of, error):
    return lambda change: float(error(change(of)))


def test_a_network_that_ignores_its_condition_loses_nothing(of):
    found = ablate(loss_of(of, lambda film: 3.0), of.film, groups_of(of.film))
    losses = [found.own, found.mean, found.shuffled, *found.parts.values(), *found.only.values(),
              *found.without.values(), *found.noise.values()]  # fmt: skip
    assert set(losses) == {3.0}
    same = FiLMParameters({name: pair.rows([0]) for name, pair in of.film.items()})
    equal = Representation(same, *over_rows(same), same)
    found = ablate(loss_of(equal, lambda film: film.flatten().pow(2).sum()), same, groups_of(same))
    assert found.mean == found.own == found.noise[4.0] == found.without["late"]


def test_what_carries_the_condition_is_found(of):
    """A loss that is the squared error of β of the late layer."""
    target = of.film["late"].beta
    found = ablate(loss_of(of, lambda film: (film["late"].beta - target).pow(2).mean()), of.film, groups_of(of.film))
    variance = float(target.var(0, correction=0).mean())
    assert found.own == 0
    assert found.mean == pytest.approx(variance)
    assert found.parts == pytest.approx({"gamma": 0, "beta": variance})
    assert found.only == pytest.approx({"early": variance, "late": 0})
    assert found.without == pytest.approx({"early": 0, "late": variance})
    assert found.shuffled == pytest.approx(2 * variance, rel=0.2)
    assert found.noise == pytest.approx({size: size**2 * variance for size in (0.25, 0.5, 1, 2, 4)}, rel=0.25)


def test_frames_and_fixed_parts_are_kept_as_they_are():
    frames = torch.randn(4, 2, 5)
    film = FiLMParameters({"a": GammaBeta(beta=frames, inner=frames), "b": GammaBeta()})
    mean, spread = over_rows(film)
    gone = mixed(film, mean, lambda layer, part: False)
    assert torch.equal(gone["a"].inner, frames.mean(0, keepdim=True).expand(4, -1, -1))
    of = Representation(film, mean, spread, film)
    moved = (noisy(of, 1.0)["a"].beta - frames) / spread["a"].beta
    assert torch.allclose(moved, moved[..., :1].expand(4, 2, 5), atol=1e-4)
    found = ablate(loss_of(of, lambda film: film.flatten().sum()), film, groups_of(film))
    assert found.parts == found.only == {}


def test_what_is_one_for_all_rows_takes_a_mean_per_row():
    film = FiLMParameters({"a": GammaBeta(torch.ones(1, 2), torch.zeros(4, 2))})
    mean = FiLMParameters({"a": GammaBeta(torch.full((4, 2), 3.0), torch.full((1, 2), 5.0))})
    gone = mixed(film, mean, lambda layer, part: part == "beta")
    assert gone["a"].gamma.tolist() == [[3, 3]] * 4
    assert gone["a"].beta.tolist() == [[0, 0]] * 4
