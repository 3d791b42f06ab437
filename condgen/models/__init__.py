"""Models, free of Lightning: one paper, one file."""

from condgen.models.adversarial import ConditionalDiscriminator, ConditionalGenerator, concat_to_bias
from condgen.models.conditional import ConditionalModel
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
