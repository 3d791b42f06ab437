"""Sampling: `sample` and, for audio as it is drawn, `stream`; `push_forward` for generators; engines and noise."""

from condgen.engines.choice import ENGINES, choose
from condgen.sampling.ancestral import Interrupted, sample, sample_batches
from condgen.sampling.batches import Batch, Samples, batch_count
from condgen.sampling.noise import uniform_noise
from condgen.sampling.pushforward import batch_sampler, normal_noise, push_batches, push_forward, sampler
from condgen.sampling.streaming import Chunk, StreamState, stream

__all__ = [
    "ENGINES",
    "Batch",
    "Chunk",
    "Interrupted",
    "Samples",
    "StreamState",
    "batch_count",
    "batch_sampler",
    "choose",
    "normal_noise",
    "push_batches",
    "push_forward",
    "sample",
    "sample_batches",
    "sampler",
    "stream",
    "uniform_noise",
]
