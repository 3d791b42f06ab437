"""Data: Lightning data modules and where their examples come from.

`Images` takes its images from a source:

| `data.source` | images | split |
| --- | --- | --- |
| `Digits` | scikit-learn's handwritten digits, 8 × 8, 17 levels; embedded | 1,197 / 100 / 500 |
| `MNIST` | 28 × 28; 256 levels, dynamically binarized, or the fixed binarized file | 50,000 / 10,000 / 10,000 |
| `FashionMNIST` | 28 × 28, 256 levels | 50,000 / 10,000 / 10,000 |
| `CIFAR10` | 32 × 32 in colour, up to 8 bits | 45,000 / 5,000 / 10,000 |
| `Folder` | your own: a folder of images per class | 8 : 1 : 1 by a hash of the path, within each class |
| `CaptionedDigits` | digits on a canvas, "a small seven on the left"; made on the spot | as `Digits` or `MNIST` |
| `CaptionedFolder` | your own: pictures with captions in a table, or a text file each | its column, or 8 : 1 : 1 |

`Speech` prepares the clips of a source once and maps the result into memory:

| `data.source` | clips | split |
| --- | --- | --- |
| `Espeak` | texts spoken by eSpeak NG, with aligned phonemes | 8 : 1 : 1 of the texts |
| `FreeSpokenDigits` | 6 speakers, 10 digits, 8 kHz | 2,640 / 60 / 300, the official test takes |
| `SpeechCommands` | SC09, or other words of Speech Commands | the official lists |
| `VCTK` | 109 speakers | by the utterance's number, alike for all speakers |
| `LJSpeech` | one speaker | 8 : 1 : 1 |
| `Manifest` | your own: a CSV or JSONL table | its column, or a hash of the path within each class |
| `AudioFolder` | your own: a folder of recordings per class, or a table in their folder | as `Folder` |

Local conditions are frame features of the clips: `MelSpectrogram`, `Linguistic` (phonemes, log F0, voicing), and
`Position`, which says how much of a clip has passed. `ReferenceSpectrogram` is of *another* recording of the speaker.

The names are imported when they are asked for: what measures conditions or lists clips needs no Lightning.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from condgen.data.batch import Batch
    from condgen.data.captions import CaptionedDigits, CaptionedFolder
    from condgen.data.clips import Clip, Phoneme, SpeechSource
    from condgen.data.espeak import Espeak
    from condgen.data.features import FrameFeature, Linguistic, MelSpectrogram, Position, ReferenceSpectrogram
    from condgen.data.image_sources import CIFAR10, MNIST, Digits, FashionMNIST, Folder
    from condgen.data.images import CaptionedSource, Images, ImageSource, Labelled
    from condgen.data.manifest import Manifest
    from condgen.data.speech import Speech
    from condgen.data.speech_sources import VCTK, AudioFolder, FreeSpokenDigits, LJSpeech, SpeechCommands

__all__ = [
    "CIFAR10",
    "MNIST",
    "VCTK",
    "AudioFolder",
    "Batch",
    "CaptionedDigits",
    "CaptionedFolder",
    "CaptionedSource",
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
    "ReferenceSpectrogram",
    "Speech",
    "SpeechCommands",
    "SpeechSource",
]

# Those that need Lightning come last.
MODULES = ("batch", "clips", "features", "manifest", "espeak", "speech_sources", "images", "image_sources", "captions",
           "speech")  # fmt: skip

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name in __all__:
            for module in MODULES:
                found = vars(import_module(f"condgen.data.{module}")).get(name)
                if found is not None:
                    return found
        raise AttributeError(f"module 'condgen.data' has no attribute '{name}'")
