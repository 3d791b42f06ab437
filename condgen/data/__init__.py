"""Data: Lightning data modules and where their examples come from.

The names are imported when they are asked for: what measures conditions or lists clips needs no Lightning.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from condgen.data.batch import Batch
    from condgen.data.clips import Clip, Phoneme, SpeechSource
    from condgen.data.espeak import Espeak
    from condgen.data.features import FrameFeature, Linguistic, MelSpectrogram, Position
    from condgen.data.image_sources import CIFAR10, MNIST, Digits, FashionMNIST, Folder
    from condgen.data.images import Images, ImageSource, Labelled
    from condgen.data.manifest import Manifest
    from condgen.data.speech import Speech
    from condgen.data.speech_sources import VCTK, AudioFolder, FreeSpokenDigits, LJSpeech, SpeechCommands

__all__ = [
    "CIFAR10",
    "MNIST",
    "VCTK",
    "AudioFolder",
    "Batch",
    "Clip",
    "Digits",
    "Espeak",
    "FashionMNIST",
    "Folder",
    "FrameFeature",
    "FreeSpokenDigits",
    "ImageSource",
    "Images",
    "LJSpeech",
    "Labelled",
    "Linguistic",
    "Manifest",
    "MelSpectrogram",
    "Phoneme",
    "Position",
    "Speech",
    "SpeechCommands",
    "SpeechSource",
]

# Those that need Lightning come last.
MODULES = ("batch", "clips", "features", "manifest", "espeak", "speech_sources", "images", "image_sources", "speech")

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name in __all__:
            for module in MODULES:
                found = vars(import_module(f"condgen.data.{module}")).get(name)
                if found is not None:
                    return found
        raise AttributeError(f"module 'condgen.data' has no attribute '{name}'")
