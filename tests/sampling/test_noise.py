"""Noise: a stream of its own for each seed and index, which may begin anywhere."""

import itertools

import pytest
import torch

from condgen.conditioning import ClassEmbedding
from condgen.models import ConditionalGenerator, Generator
from condgen.sampling import push_forward, sample, stream, uniform_noise


def test_longer_noise_begins_with_the_shorter():
    longer = uniform_noise(7, [3, 0], (20, 2))
    assert torch.equal(longer[:, :6], uniform_noise(7, [3, 0], (6, 2)))
    assert torch.equal(longer[1:], uniform_noise(7, [0], (20, 2)))
    assert longer.dtype == torch.float64
    assert 0 <= longer.min() <= longer.max() < 1


def test_noise_of_every_seed_and_index_is_another():
    noise = torch.cat([uniform_noise(seed, range(10), (3,)) for seed in range(10)])
    assert noise.flatten().unique().numel() == noise.numel()


@pytest.mark.parametrize(("seed", "indices", "name"), [
    (-1, [0], "seed -1"), (0, [2, -1], "sample index -1"), (0, [2**63], "sample index 9223372036854775808"),
    (0.5, [0], "seed 0.5"),
])  # fmt: skip
def test_negative_seeds_and_indices_are_refused(seed, indices, name):
    with pytest.raises(ValueError, match=f"^{name} is not a whole number from 0"):
        uniform_noise(seed, indices, (1,))


@pytest.mark.parametrize("shape", [(7,), (9, 1), (9, 2), (9, 3), (9, 4), (9, 5), (6, 2, 3), (8, 1, 1)], ids=str)
def test_noise_may_begin_anywhere(shape):
    whole = uniform_noise(7, [3, 0], shape)
    for skip in range(shape[0]):
        tail = uniform_noise(7, [3, 0], (shape[0] - skip, *shape[1:]), skip=skip)
        assert torch.equal(tail, whole[:, skip:])


def test_noise_far_on_is_that_of_a_long_draw():
    assert torch.equal(uniform_noise(1, [2], (5, 3), skip=100_000), uniform_noise(1, [2], (100_005, 3))[:, 100_000:])


# Noise: a stream for each pair of seed and index, and it reaches whoever draws from it.


def test_every_pair_of_seed_and_index_has_noise_of_its_own():
    """Also pairs whose sums or weighted sums are equal, such as (0, 1000) and (1, 0)."""
    numbers = [0, 1, 2, 10, 100, 256, 1000, 1001, 2**16, 10**6, 2**32, 2**32 + 1, 2**62]
    drawn = {(seed, i): uniform_noise(seed, [i], (4,))[0] for seed, i in itertools.product(numbers, numbers)}
    assert len({tuple(noise.tolist()) for noise in drawn.values()}) == len(drawn)


@pytest.mark.parametrize("truncation", [0.1, 1.0])
def test_truncation_reaches_the_generator(truncation):
    model = ConditionalGenerator(Generator((1, 8, 8), 50, 4), {"label": ClassEmbedding(4, num_classes=3)}, "film")
    seen = []
    model.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    push_forward(model, {"label": torch.tensor([1])}, num_samples=9, truncation=truncation, batch_size=4)
    assert [len(z) for z in seen] == [4, 4, 1]
    assert 0.9 * truncation < torch.cat(seen).abs().max() <= truncation


def test_a_stream_and_a_sample_of_one_index_are_one(make_wavenet, make_melodies):
    model = make_wavenet()
    conditions = make_melodies(model, 1, 12)
    options = {"seed": 4, "first_index": 3, "engine": "cached"}
    (chunk,) = stream(model, conditions, chunk=12, **options)
    assert torch.equal(chunk.x, sample(model, conditions, progress=False, **options).x)
    assert not torch.equal(chunk.x, sample(model, conditions, progress=False, **{**options, "first_index": 0}).x)
