"""Sampling: `sample` and, for audio as it is drawn, `stream`; `push_forward` for generators; engines and noise."""

from condgen.engines.choice import ENGINES, choose
from condgen.sampling.ancestral import Interrupted, Samples, sample
from condgen.sampling.noise import uniform_noise
from condgen.sampling.pushforward import normal_noise, push_forward, sampler
from condgen.sampling.streaming import Chunk, StreamState, stream

__all__ = [
    "ENGINES",
    "Chunk",
    "Interrupted",
    "Samples",
    "StreamState",
    "choose",
    "normal_noise",
    "push_forward",
    "sample",
    "sampler",
    "stream",
    "uniform_noise",
]
