"""The data of the mechanism study: digits, shifted digits, tones, and beginnings of spoken digits; all small."""

from __future__ import annotations

import itertools
from functools import cache
from pathlib import Path

import numpy as np
import soundfile
import torch

from condgen.data import Clip, Digits, FreeSpokenDigits, Images, Labelled, Speech, SpeechSource
from condgen.data.batch import Split

RATE = 4000  # samples per second of all sounds
LEVELS = 16  # mu-law levels of all sounds
PITCHES = [160, 190, 226, 269, 320, 380]  # Hz
TIMBRES = {  # amplitudes of the first four harmonics
    "sine": (1, 0, 0, 0), "hollow": (1, 0, 0.8, 0), "bright": (1, 0.8, 0.6, 0.5), "octave": (0.4, 1, 0, 0.6),
    "reed": (0.3, 0.5, 1, 0.3),
}  # fmt: skip
TONES: dict[Split, int] = {"train": 20, "val": 1, "test": 6}  # clips per pitch and timbre
EVERY = 5  # one pair of conditions in five is held out


class ShiftedDigits:
    """Scikit-learn's digits on a ground of 12 × 12, each shifted at random by up to 2 pixels from its middle.

    Args:
        copies: shifts of each training image.
    """

    def __init__(self, copies: int = 8) -> None:
        self.copies, self.shape, self.levels, self.names = copies, (1, 12, 12), 17, Digits().names

    def load(self, split: Split) -> Labelled:
        """Read one split; the shifts are drawn once and for all."""
        x, conditions, *_ = Digits().load(split)
        copies = self.copies if split == "train" else 1
        rng = np.random.default_rng({"train": 0, "val": 1, "test": 2}[split])
        ground = torch.zeros(copies * len(x), *self.shape, dtype=x.dtype)
        for i, (down, right) in enumerate(rng.integers(0, 5, (len(ground), 2)).tolist()):
            ground[i, :, down : down + 8, right : right + 8] = x[i % len(x)]
        return Labelled(ground, {name: ids.repeat(copies) for name, ids in conditions.items()})


def tone(rng: np.random.Generator, pitch: float, timbre: str, samples: int = 480) -> np.ndarray:
    """Make a tone: harmonics of random phases, detuned by up to 2 %, in noise 12 dB below them."""
    time, amplitudes = np.arange(samples) / RATE, np.array(TIMBRES[timbre])
    base = pitch * (1 + rng.uniform(-0.02, 0.02))
    phases = rng.uniform(0, 2 * np.pi, len(amplitudes))
    waves = np.sin(2 * np.pi * base * np.arange(1, 5)[:, None] * time + phases[:, None])
    clean = amplitudes @ waves / np.sqrt((amplitudes**2).sum() / 2)
    return 0.2 * (clean + 0.25 * rng.standard_normal(samples))


class Tones:
    """Tones whose pitch and timbre are independent of each other: WAV files, which are written if they are not there.

    Args:
        root: folder of the files.
    """

    def __init__(self, root: str) -> None:
        self.root, self.phonemes = Path(root), list[str]()
        self.names = {"pitch": list(map(str, PITCHES)), "timbre": list(TIMBRES)}
        for i, (split, count) in enumerate(TONES.items()):
            for clip, file in enumerate(self._files(split, count)):
                if not file[0].is_file():
                    file[0].parent.mkdir(parents=True, exist_ok=True)
                    rng = np.random.default_rng([i, clip])
                    soundfile.write(file[0], tone(rng, float(file[1]), file[2]), RATE, subtype="PCM_16")

    def _files(self, split: Split, count: int) -> list[tuple[Path, str, str]]:
        every = itertools.product(map(str, PITCHES), TIMBRES, range(count))
        return [(self.root / split / f"{pitch}_{timbre}_{i}.wav", pitch, timbre) for pitch, timbre, i in every]

    def clips(self, split: Split) -> list[Clip]:
        """List one split."""
        files = self._files(split, TONES[split])
        return [Clip(path, {"pitch": pitch, "timbre": timbre}, origin=str(path)) for path, pitch, timbre in files]


def cut(fsdd: str, folder: Path) -> str:
    """Write the first 0.3 s of every recording of the Free Spoken Digit Dataset to a folder; return it."""
    source = FreeSpokenDigits(fsdd)
    folder.mkdir(parents=True, exist_ok=True)
    for clip in (clip for split in TONES for clip in source.clips(split)):
        if not (folder / clip.path.name).is_file():
            waveform, rate = soundfile.read(clip.path, always_2d=True)
            soundfile.write(folder / clip.path.name, waveform[: round(0.3 * rate)], rate, subtype="PCM_16")
    return str(folder)


class Pairs:
    """The clips of a source with a third condition, `pair`, its two conditions as one; none of some pairs to train on.

    Args:
        source: source whose clips have two conditions.
    """

    def __init__(self, source: SpeechSource) -> None:
        self.source, self.phonemes = source, source.phonemes
        pairs = ["_".join(pair) for pair in itertools.product(*source.names.values())]
        self.names = {**source.names, "pair": pairs}

    def clips(self, split: Split) -> list[Clip]:
        """List one split; that for testing has all pairs."""
        pairs = [(clip, "_".join(clip.labels[name] for name in self.source.names)) for clip in self.source.clips(split)]
        clips = [clip._replace(labels={**clip.labels, "pair": pair}) for clip, pair in pairs]
        places = {name: {label: i for i, label in enumerate(names)} for name, names in self.source.names.items()}
        ids = [[places[name][clip.labels[name]] for name in places] for clip in clips]
        return [clip for clip, pair in zip(clips, ids, strict=True) if split == "test" or not is_held_out(*pair)]


def is_held_out(first: int, second: int) -> bool:
    """Say whether a pair of class ids is held out: a diagonal, so that every class is seen in most of its pairs."""
    return (first + second) % EVERY == 0


@cache
def load(name: str, folder: Path, fsdd: Path | None, pairs: bool) -> Images | Speech:
    """Return a data module after `setup()`, once per process.

    Args:
        name: name of the data: `digits`, `shifted`, `tones` or `speech`.
        folder: folder for files that are made.
        fsdd: folder of the Free Spoken Digit Dataset.
        pairs: true to hold pairs of conditions out of training.
    """
    data: Images | Speech
    if name in ("digits", "shifted"):
        data = Images(Digits() if name == "digits" else ShiftedDigits(), batch_size=32 if name == "digits" else 24)
    else:
        spoken = None if name == "tones" else cut(str(fsdd), folder / "spoken")
        source: SpeechSource = Tones(str(folder / "tones")) if spoken is None else FreeSpokenDigits(spoken)
        data = Speech(Pairs(source) if pairs else source, RATE, LEVELS, resample=True, batch_size=8,
                      cache=str(folder / "prepared"))  # fmt: skip
    data.setup()
    return data
