"""Voices, compared by Resemblyzer: does a clip sound like the speaker asked for?"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from condgen.evaluation.heard import RATE, Clips


class VoiceEncoder(nn.Module):
    """Resemblyzer's network. Its weights come from that package's file; its code, which needs a voice detector that
    recent installations cannot import, is not run."""

    window = 160  # frames of 10 ms that it hears at once

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.linear = nn.LSTM(40, 256, 3, batch_first=True), nn.Linear(256, 256)

    @torch.no_grad()
    def forward(self, waveform: np.ndarray) -> Tensor:
        """Map a waveform of 16 kHz, (samples,), to its voice, (256,), of length 1."""
        import librosa

        loudness = np.sqrt(np.mean(waveform**2))
        waveform = waveform * max(1, 10 ** (-30 / 20) / max(loudness, 1e-5))  # it expects −30 dB at least
        missing = max(0, self.window * 160 - len(waveform))
        mel = librosa.feature.melspectrogram(y=np.pad(waveform, (0, missing)), sr=RATE, n_fft=400, hop_length=160,
                                             n_mels=40)  # fmt: skip
        starts = range(0, max(1, mel.shape[1] - self.window * 3 // 4), self.window // 2)
        parts = [mel[:, i : i + self.window].T for i in starts]
        voices = [F.normalize(self.linear(self.lstm(torch.from_numpy(p)[None])[1][0][-1]).relu(), dim=1)
                  for p in parts]  # fmt: skip
        return F.normalize(torch.cat(voices).mean(0), dim=0)


def resemblyzer() -> VoiceEncoder:
    """Return Resemblyzer's trained network; the file holds tensors, and nothing in it is run."""
    spec = cast(ModuleSpec, importlib.util.find_spec("resemblyzer"))
    saved = torch.load(Path(str(spec.origin)).with_name("pretrained.pt"), map_location="cpu", weights_only=True)
    encoder = VoiceEncoder().eval()
    own = encoder.state_dict()
    encoder.load_state_dict({name: value for name, value in saved["model_state"].items() if name in own})
    return encoder


def voices(
    heard: Mapping[str, Clips], enrolled: Clips, condition: str, encode: Callable[[np.ndarray], Tensor]
) -> dict[str, dict[str, float]]:
    """Compare voices with the mean voice of the speaker asked for, and with those of the others.

    Args:
        heard: clips to judge, by kind.
        enrolled: real training clips of every speaker.
        condition: condition that says who speaks.
        encode: network that maps a waveform to a voice of length 1.
    """
    known = torch.stack([encode(w) for w in enrolled.waveforms])
    speakers = enrolled.classes[condition].unique()
    means = F.normalize(torch.stack([known[enrolled.classes[condition] == s].mean(0) for s in speakers]), dim=1)
    figures: dict[str, dict[str, float]] = {"similarity": {}, "to_others": {}, "nearest": {}}
    for kind, given in heard.items():
        cosines = torch.stack([encode(w) for w in given.waveforms]) @ means.T
        asked = given.classes[condition][:, None] == speakers
        figures["similarity"][kind] = float(cosines[asked].mean())
        figures["to_others"][kind] = float(cosines[~asked].mean())
        figures["nearest"][kind] = float(asked[torch.arange(len(asked)), cosines.argmax(1)].double().mean())
    return figures
