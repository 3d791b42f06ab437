"""Conditioning: the FiLM layer, its parameters as a value, the FiLM generator, and condition encoders."""

from condgen.conditioning.audio_reference import AudioReference
from condgen.conditioning.class_map import ClassMap
from condgen.conditioning.contract import DataCondition, Encoder, TokenEncoder
from condgen.conditioning.encoders import (
    ClassEmbedding,
    FeatureMap,
    FeatureVector,
    FrameSequence,
    LinguisticSequence,
)
from condgen.conditioning.film import FiLM, Film, GammaBeta, film, film_layers, require_causal
from condgen.conditioning.film_generator import FiLMGenerator
from condgen.conditioning.image_encoder import ImageEncoder
from condgen.conditioning.multi_hop import MultiHopGenerator
from condgen.conditioning.parameters import FiLMParameters
from condgen.conditioning.token_sequence import TokenSequence

__all__ = [
    "AudioReference",
    "ClassEmbedding",
    "ClassMap",
    "DataCondition",
    "Encoder",
    "FeatureMap",
    "FeatureVector",
    "FiLM",
    "FiLMGenerator",
    "FiLMParameters",
    "Film",
    "FrameSequence",
    "GammaBeta",
    "ImageEncoder",
    "LinguisticSequence",
    "MultiHopGenerator",
    "TokenEncoder",
    "TokenSequence",
    "film",
    "film_layers",
    "require_causal",
]
