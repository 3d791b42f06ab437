"""Sampling: one public call, `sample`, and the engines behind it."""

from condgen.sampling.ancestral import Samples, sample
from condgen.sampling.engines import ENGINES
from condgen.sampling.noise import uniform_noise

__all__ = ["ENGINES", "Samples", "sample", "uniform_noise"]
