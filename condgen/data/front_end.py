"""The front end of a trained audio model: local conditions from files, texts and lengths, measured as in training."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from condgen.data.clips import Clip
from condgen.data.decoding import LONGEST, read_audio
from condgen.data.features import FrameFeature, ReferenceFeature, as_reference
from condgen.data.hyperparameters import build
from condgen.data.recordings import RecordingReader


@dataclass(frozen=True)
class FrontEnd:
    """Measures local conditions.

    Attributes:
        features: features by the name of their condition.
        reader: reader that brings waveforms to the rate and level of the training data.
        voice: voice of eSpeak NG for texts, where the model has one speaker only.
        pitch: pitch of texts, 0 to 99: the middle one of the training data.
        rate: speed of texts, in words a minute: that of the training data.
        usual: seconds of audio that is drawn where nothing says how long it is; `None` where that is asked.
    """

    features: dict[str, FrameFeature]
    reader: RecordingReader
    voice: str | None = None
    pitch: int = 50
    rate: int = 175
    usual: float | None = None

    @property
    def sample_rate(self) -> int:
        """Samples per second."""
        return self.reader.sample_rate

    @property
    def unit(self) -> int:
        """Samples of which every length is a multiple, so that all frames are whole."""
        return math.lcm(*(feature.hop for feature in self.features.values()))

    def samples(self, seconds: float) -> int:
        """Return a length in samples, cut to whole frames."""
        length = int(seconds * self.sample_rate + 1e-6) // self.unit * self.unit
        if length < 1:
            raise ValueError(f"{seconds} seconds are less than a frame of {self.unit / self.sample_rate:g} seconds")
        return length

    def ready(self, waveform: Tensor, rate: int, clip: Clip) -> tuple[Tensor, Clip]:
        """Bring a waveform, (samples,), to rate and level, and cut it to whole frames."""
        recording = self.reader.prepare(waveform, rate, clip)
        if recording.silent:
            warnings.warn(f"{clip.origin} is silent, its peak not above −80 dB, and keeps its level", stacklevel=2)
        length = len(recording.waveform) // self.unit * self.unit
        if not length:
            raise ValueError(f"{clip.origin} has fewer samples than the {self.unit} of a whole frame")
        return recording.waveform[:length], recording.clip

    def heard(self, path: Path, mono: bool = False) -> tuple[Tensor, Clip]:
        """Read a recording and bring it to rate and level; see `ready`.

        Args:
            path: file.
            mono: mean of the channels, taken if true even where training had files of one channel alone.
        """
        sound = read_audio(path, mono=mono or self.reader.mono, longest=self.reader.longest)
        return self.ready(sound.waveform, sound.rate, Clip(path, {}, origin=str(path)))

    def shown(self, name: str, waveform: Tensor, clip: Clip) -> Tensor:
        """Measure a condition in a recording that shows a voice, (size, frames), as in training; see `heard`."""
        feature = self.references[name]
        return feature.measure(waveform, self.sample_rate, clip)[:, : feature.longest]

    @property
    def references(self) -> dict[str, ReferenceFeature]:
        """The features that are measured in another recording than the one to be drawn, by condition."""
        found = {name: as_reference(feature) for name, feature in self.features.items()}
        return {name: feature for name, feature in found.items() if feature is not None}


def front_end(settings: Mapping[str, Any]) -> FrontEnd:
    """Rebuild the front end from the arguments of `Speech`, without its source."""
    features = build(dict[str, FrameFeature], settings.get("features") or {})
    source = settings["source"].get("init_args", {})
    voices, pitches = source.get("voices") or [None, None], sorted(source.get("pitches") or [50])
    # Whole files are heard, whatever was trimmed of the training clips.
    reader = RecordingReader(settings["sample_rate"], resample=True, normalise=settings["normalise"],
                             remove_dc=settings["remove_dc"], mono=settings["mono"],
                             longest=settings.get("longest", LONGEST))  # fmt: skip
    voice = voices[0] if len(voices) == 1 else None
    return FrontEnd(dict(features), reader, voice, pitches[len(pitches) // 2], source.get("rate", 175))
