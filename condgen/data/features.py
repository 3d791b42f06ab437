"""Frame features: what is measured in a clip, frame by frame, to serve as a local condition."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, Protocol, cast

import numpy as np
import torch
from torch import Tensor

from condgen.data.clips import Clip
from condgen.described import described

FeatureGiven = Literal["audio", "text", "length", "reference"]
SHORTEST = 5  # frames of a recording that shows a voice


class FrameFeature(Protocol):
    """Measures something in every frame of a clip. Frame i covers the samples from i · hop to (i + 1) · hop.

    Attributes:
        size: numbers per frame.
        hop: samples per frame.
        given: source that `condgen sample` makes it from: an `audio` file, a `text`, only the `length`, or a
            `reference`, a recording that is not the one to be drawn; see `ReferenceFeature`.
        names: phonemes, in the order of the ids that frames hold; `None` if they hold none.
    """

    size: int
    hop: int
    given: FeatureGiven

    @property
    def names(self) -> list[str] | None: ...

    @classmethod
    def completed(cls, arguments: Mapping[str, object], phonemes: list[str]) -> dict[str, object]:
        """Return the constructor's arguments, with those that are left out filled in from the clips' phonemes."""
        ...

    def measure(self, waveform: Tensor, sample_rate: int, clip: Clip | None) -> Tensor:
        """Map a waveform, (samples,) with samples = frames × hop, to (size, frames)."""
        ...


class ReferenceFeature(FrameFeature, Protocol):
    """Measures what is shown of an example in *another* one of the same class, such as a recording of its speaker.

    Attributes:
        of: class condition that both have in common.
        longest: frames that are shown at the most, from the beginning.
    """

    of: str
    longest: int


def as_reference(feature: FrameFeature) -> ReferenceFeature | None:
    """Return a feature as one of another example; `None` if it is of the example itself."""
    return cast(ReferenceFeature, feature) if feature.given == "reference" else None


@described
class MelSpectrogram:
    """The log-mel spectrogram: log10 of mel-band amplitudes (Slaney's scale and norm), floored at 1e-5.

    Args:
        bands: mel bands.
        hop: samples per frame.
        window: samples per window, centred on its frame; `None` for four hops.
        low: lower edge of the lowest band, in Hz.
        high: upper edge of the highest band, in Hz; `None` for half the sample rate.
    """

    given: FeatureGiven = "audio"
    names = None

    def __init__(
        self, bands: int = 80, hop: int = 80, window: int | None = None, low: float = 0.0, high: float | None = None
    ) -> None:
        self.size, self.hop, self.window, self.low, self.high = bands, hop, window or 4 * hop, low, high
        if bands < 1 or hop < 1:
            raise ValueError(f"MelSpectrogram: bands {bands} and hop {hop} must be at least 1")
        if not (0 <= low < math.inf and (high is None or low < high < math.inf)):
            raise ValueError(f"MelSpectrogram: low {low} and high {high} are no range of frequencies from 0 Hz up")
        if self.window < hop or (self.window - hop) % 2:
            raise ValueError(f"MelSpectrogram: window {self.window} must be longer than hop {hop} by an even number")

    @classmethod
    def completed(cls, arguments: Mapping[str, object], phonemes: list[str]) -> dict[str, object]:
        """Return the arguments as they are."""
        return dict(arguments)

    def measure(self, waveform: Tensor, sample_rate: int, clip: Clip | None = None) -> Tensor:
        """See `FrameFeature`."""
        side = (self.window - self.hop) // 2
        padded = torch.nn.functional.pad(waveform.float(), (side, side))
        spectrum = torch.stft(padded, self.window, self.hop, window=torch.hann_window(self.window), center=False,
                              return_complex=True).abs()  # fmt: skip
        return (self.filters(sample_rate).T @ spectrum).clamp(min=1e-5).log10()

    def filters(self, sample_rate: int) -> Tensor:
        """Return the weight of each frequency of the window's spectrum in each band, (window // 2 + 1, bands)."""
        from torchaudio.functional import melscale_fbanks

        # torchaudio lets the spectrum end at half the rate, cut to a whole number, which is wrong if the rate or the
        # window is odd. Of a window twice as long at twice the rate, the lower half has just our frequencies.
        high = sample_rate / 2 if self.high is None else self.high
        if not self.low < high <= sample_rate / 2:
            raise ValueError(f"MelSpectrogram: low {self.low:g} and high {high:g} Hz do not lie within half of the "
                             f"sample rate, {sample_rate / 2:g} Hz")  # fmt: skip
        both = melscale_fbanks(self.window + 1, self.low, high, self.size, 2 * sample_rate, "slaney", "slaney")
        return both[: self.window // 2 + 1]


@described
class ReferenceSpectrogram(MelSpectrogram):
    """The log-mel spectrogram of another recording of the same speaker: a voice that is shown and not named.

    Which recording, is drawn for each example: anew whenever it is trained on, and once and for all in validation and
    testing. It is one of the same split, and never the example itself.

    Source: Ghiasi et al., 2017, whose style is that of a picture that is shown, and not one of a list.

    Args:
        of: class condition that the recordings have in common.
        bands: mel bands.
        hop: samples per frame.
        window: samples per window, centred on its frame; `None` for four hops.
        low: lower edge of the lowest band, in Hz.
        high: upper edge of the highest band, in Hz; `None` for half the sample rate.
        longest: frames that are shown at the most, from the beginning.
    """

    given: FeatureGiven = "reference"

    def __init__(
        self,
        of: str = "speaker",
        bands: int = 40,
        hop: int = 80,
        window: int | None = None,
        low: float = 0.0,
        high: float | None = None,
        longest: int = 100,
    ) -> None:
        super().__init__(bands, hop, window, low, high)
        self.of, self.longest = of, longest
        if longest < SHORTEST:
            raise ValueError(f"ReferenceSpectrogram: longest {longest} is not at least {SHORTEST} frames")

    def measure(self, waveform: Tensor, sample_rate: int, clip: Clip | None = None) -> Tensor:
        """See `FrameFeature`.

        Raises:
            ValueError: the recording is too short to show a voice.
        """
        frames = len(waveform) // self.hop
        if frames < SHORTEST:
            raise ValueError(f"{clip.origin if clip else 'the recording'} lasts {len(waveform) / sample_rate:.3f} s, "
                             f"and a recording that shows a voice must last at least "
                             f"{SHORTEST * self.hop / sample_rate:g} s")  # fmt: skip
        return super().measure(waveform, sample_rate, clip)


@described
class Position:
    """The position of a frame in the clip: cos(k π p) for k = 1 … waves, where p from 0 to 1 is the share of the clip
    that has passed; then the seconds since the start and to the end.

    It is known before anything is drawn, once the length is. A network whose receptive field is shorter than a word
    cannot otherwise tell how far it has got.

    Args:
        hop: samples per frame.
        waves: number of cosines, which decides how finely the share is resolved.
    """

    given: FeatureGiven = "length"
    names = None

    def __init__(self, hop: int = 80, waves: int = 8) -> None:
        self.hop, self.waves, self.size = hop, waves, waves + 2

    @classmethod
    def completed(cls, arguments: Mapping[str, object], phonemes: list[str]) -> dict[str, object]:
        """Return the arguments as they are."""
        return dict(arguments)

    def measure(self, waveform: Tensor, sample_rate: int, clip: Clip | None = None) -> Tensor:
        """See `FrameFeature`."""
        frames = len(waveform) // self.hop
        middle = torch.arange(frames) + 0.5
        share = middle / max(1, frames)
        waves = torch.cos(math.pi * torch.arange(1, self.waves + 1)[:, None] * share)
        seconds = torch.stack([middle, frames - middle]) * (self.hop / sample_rate)
        return torch.cat([waves, seconds])


@described
class Linguistic:
    """Phonemes and melody: ids of the phoneme before, at and after the frame; the seconds that the present one has
    lasted and will last; log F0; and voicing, 0 or 1.

    Source: van den Oord et al., "WaveNet", 2016, section 3.2 and appendix B.

    Args:
        phonemes: phonemes that occur, in the order of their ids. Left out on the command line, they are taken from the
            data.
        hop: samples per frame; the paper's frame is 5 ms.
        low: lowest fundamental frequency, in Hz.
        high: highest fundamental frequency, in Hz.
    """

    given: FeatureGiven = "text"
    size = 7

    def __init__(
        self, phonemes: list[str] | None = None, hop: int = 40, low: float = 60.0, high: float = 400.0
    ) -> None:
        self.phonemes, self.hop, self.low, self.high = list(phonemes or []), hop, low, high

    @property
    def names(self) -> list[str]:
        """The phonemes."""
        return self.phonemes

    @classmethod
    def completed(cls, arguments: Mapping[str, object], phonemes: list[str]) -> dict[str, object]:
        """Take the phonemes from the clips if they are not given."""
        return {**arguments, "phonemes": arguments.get("phonemes") or phonemes}

    def measure(self, waveform: Tensor, sample_rate: int, clip: Clip | None = None) -> Tensor:
        """See `FrameFeature`.

        Raises:
            ValueError: the clip has no phonemes, or an unknown one.
        """
        if clip is None or not clip.phonemes:
            raise ValueError(f"{clip.origin if clip else 'the clip'} has no phonemes, which linguistic features need")
        unknown = sorted({p.symbol for p in clip.phonemes} - set(self.phonemes))
        if unknown:
            raise ValueError(f"{clip.origin}: phonemes that the data do not have: {' '.join(unknown)}; known: "
                             f"{' '.join(self.phonemes)}")  # fmt: skip
        frames = len(waveform) // self.hop
        middle = (np.arange(frames) + 0.5) * self.hop / sample_rate
        starts = np.array([p.start for p in clip.phonemes])
        ends = np.array([p.end for p in clip.phonemes])
        ids = np.array([self.phonemes.index(p.symbol) for p in clip.phonemes])
        at = np.clip(np.searchsorted(starts, middle, side="right") - 1, 0, len(ids) - 1)
        context = np.stack([ids[np.maximum(at - 1, 0)], ids[at], ids[np.minimum(at + 1, len(ids) - 1)]])
        times = np.stack([middle - starts[at], ends[at] - middle]).clip(0)
        pitch = np.stack(fundamental(waveform.numpy(), sample_rate, self.hop, self.low, self.high))
        return torch.from_numpy(np.concatenate([context, times, pitch])).float()


def fundamental(
    waveform: np.ndarray, sample_rate: int, hop: int, low: float, high: float
) -> tuple[np.ndarray, np.ndarray]:
    """Measure log F0, interpolated over unvoiced frames, and voicing (0 or 1), each (frames,), by pYIN."""
    import librosa

    frames, window = len(waveform) // hop, 1 << math.ceil(math.log2(3 * sample_rate / low))
    centred = np.pad(waveform.astype(np.float64), (window // 2, window // 2))[hop // 2 :]
    # No voice holds its pitch to a quarter of a semitone; the default, a tenth, takes four times as long.
    f0, voiced, _ = librosa.pyin(
        centred, fmin=low, fmax=high, sr=sample_rate, frame_length=window, hop_length=hop, center=False, resolution=0.25
    )
    f0, voiced = f0[:frames], voiced[:frames]
    if not voiced.any():
        return np.full(frames, math.log((low * high) ** 0.5)), np.zeros(frames)
    at = np.arange(frames)
    return np.interp(at, at[voiced], np.log(f0[voiced])), voiced.astype(np.float64)
