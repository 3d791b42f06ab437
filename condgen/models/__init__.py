"""Models, without Lightning: one file per paper."""

from condgen.models.conditional import (
    ConditionalDiscriminator,
    ConditionalGenerator,
    ConditionalModel,
    concat_to_bias,
)
from condgen.models.dcgan import Discriminator, Generator
from condgen.models.pixelcnn import PixelCNN
from condgen.models.wavenet import WaveNet

__all__ = [
    "ConditionalDiscriminator",
    "ConditionalGenerator",
    "ConditionalModel",
    "Discriminator",
    "Generator",
    "PixelCNN",
    "WaveNet",
    "concat_to_bias",
]
