"""Conditioning: the FiLM layer, its parameters as a value, the FiLM generator, and condition encoders."""

from condgen.conditioning.encoders import ClassEmbedding, FeatureMap, FeatureVector, FrameSequence, LinguisticSequence
from condgen.conditioning.film import FiLM, GammaBeta, film, film_layers, require_causal
from condgen.conditioning.generator import FiLMGenerator
from condgen.conditioning.parameters import FiLMParameters

__all__ = [
    "ClassEmbedding",
    "FeatureMap",
    "FeatureVector",
    "FiLM",
    "FiLMGenerator",
    "FiLMParameters",
    "FrameSequence",
    "GammaBeta",
    "LinguisticSequence",
    "film",
    "film_layers",
    "require_causal",
]
