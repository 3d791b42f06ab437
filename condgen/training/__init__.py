"""Lightning modules and callbacks that train the models. These names are the public paths that checkpoints store."""

from condgen.training.adversarial import AdversarialTask
from condgen.training.averaging import EMA
from condgen.training.callbacks import SampleAudio, SampleGrid, SampleQuality
from condgen.training.likelihood import LikelihoodTask

__all__ = ["EMA", "AdversarialTask", "LikelihoodTask", "SampleAudio", "SampleGrid", "SampleQuality"]
