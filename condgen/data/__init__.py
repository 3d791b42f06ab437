"""Data: Lightning data modules and where their examples come from."""

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
