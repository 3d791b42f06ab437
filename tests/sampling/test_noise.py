"""Noise: a stream of its own for each seed and index, which may begin anywhere."""

import pytest
import torch

from condgen.sampling import uniform_noise


def test_longer_noise_begins_with_the_shorter():
    longer = uniform_noise(7, [3, 0], (20, 2))
    assert torch.equal(longer[:, :6], uniform_noise(7, [3, 0], (6, 2)))
    assert torch.equal(longer[1:], uniform_noise(7, [0], (20, 2)))
    assert longer.dtype == torch.float64
    assert 0 <= longer.min() <= longer.max() < 1


def test_noise_of_every_seed_and_index_is_another():
    noise = torch.cat([uniform_noise(seed, range(10), (3,)) for seed in range(10)])
    assert noise.flatten().unique().numel() == noise.numel()


@pytest.mark.parametrize(("seed", "indices"), [(-1, [0]), (0, [2, -1])])
def test_negative_seeds_and_indices_are_refused(seed, indices):
    with pytest.raises(ValueError, match="whole numbers from 0"):
        uniform_noise(seed, indices, (1,))


@pytest.mark.parametrize("shape", [(7,), (9, 1), (9, 2), (9, 3), (9, 4), (9, 5), (6, 2, 3), (8, 1, 1)], ids=str)
def test_noise_may_begin_anywhere(shape):
    whole = uniform_noise(7, [3, 0], shape)
    for skip in range(shape[0]):
        tail = uniform_noise(7, [3, 0], (shape[0] - skip, *shape[1:]), skip=skip)
        assert torch.equal(tail, whole[:, skip:])


def test_noise_far_on_is_that_of_a_long_draw():
    assert torch.equal(uniform_noise(1, [2], (5, 3), skip=100_000), uniform_noise(1, [2], (100_005, 3))[:, 100_000:])
