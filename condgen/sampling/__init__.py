"""Sampling: `sample` and, for audio as it is drawn, `stream`; `push_forward` for generators; engines and noise."""

from condgen.sampling.ancestral import Samples, sample
from condgen.sampling.engines import ENGINES
from condgen.sampling.noise import uniform_noise
from condgen.sampling.pushforward import normal_noise, push_forward, sampler
from condgen.sampling.streaming import Chunk, StreamState, stream

__all__ = [
    "ENGINES",
    "Chunk",
    "Samples",
    "StreamState",
    "normal_noise",
    "push_forward",
    "sample",
    "sampler",
    "stream",
    "uniform_noise",
]
