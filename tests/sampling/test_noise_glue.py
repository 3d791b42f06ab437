"""Noise: a stream for each pair of seed and index, and it reaches whoever draws from it."""

import itertools

import pytest
import torch

from condgen.conditioning import ClassEmbedding
from condgen.models import ConditionalGenerator, Generator
from condgen.sampling import push_forward, sample, stream, uniform_noise


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
