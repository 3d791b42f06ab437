"""Sampling: `sample` and, for audio as it is drawn, `stream`; the engines and the noise behind them."""

from condgen.sampling.ancestral import Samples, sample
from condgen.sampling.engines import ENGINES
from condgen.sampling.noise import uniform_noise
from condgen.sampling.streaming import Chunk, StreamState, stream

__all__ = ["ENGINES", "Chunk", "Samples", "StreamState", "sample", "stream", "uniform_noise"]
