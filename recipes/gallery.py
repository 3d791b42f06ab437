"""The gallery: what the models that come with condgen draw and say.

    python recipes/gallery.py

Nothing is picked by hand: pictures and sounds are those of seed 0, of every class and every speaker.
The page that shows them is recipes/gallery/README.md.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
from jsonargparse import auto_cli

import condgen
from condgen.evaluation.pictures import save_grid, save_waveforms
from condgen.evaluation.sound import write_wav

IMAGES = ("digits", "mnist", "mnist_gan")
SHOWN = 8  # words whose waveforms and spectrograms are drawn


def main(out: str = "recipes/gallery", models: list[str] | None = None, columns: int = 12) -> None:
    """Draw the gallery.

    Args:
        out: folder for the pictures and sounds.
        models: names of the models; left out, all.
        columns: pictures of each class.
    """
    Path(out).mkdir(parents=True, exist_ok=True)
    for name in models or (*IMAGES, "spoken_digits", "espeak"):
        print(f"{name} …")
        if name in IMAGES:
            pictures(name, Path(out), columns)
        elif name == "spoken_digits":
            words(name, Path(out))
        else:
            voices(name, Path(out))


def pictures(name: str, out: Path, columns: int) -> None:
    """Write a grid of images, a row per class."""
    model = condgen.load(name)
    digits = list(model.conditions["digit"])
    drawn = model.sample(digit=digits, num_samples=columns)
    save_grid(out / f"{name}.png", drawn.x, drawn.levels, columns, digits)


def words(name: str, out: Path, seconds: float = 0.45, guidance: float = 0.7) -> None:
    """Let every speaker say all digits, one after another, and draw the first words of the first ones."""
    model = condgen.load(name)
    pairs = list(product(model.conditions["speaker"], model.conditions["digit"]))
    speakers, digits = zip(*pairs, strict=True)
    drawn = model.sample(speaker=list(speakers), digit=list(digits), seconds=seconds, guidance=guidance)
    said(name, out, drawn.waveforms(), [" ".join(pair) for pair in pairs], drawn.sample_rate or 0)


def voices(name: str, out: Path, word: str = "seven") -> None:
    """Let every voice say a word that is in none of the training texts."""
    model = condgen.load(name)
    speakers = list(model.conditions["speaker"])
    drawn = model.sample(speaker=speakers, text=[word] * len(speakers))
    said(name, out, drawn.waveforms(), [f"{speaker} {word}" for speaker in speakers], drawn.sample_rate or 0)


def said(name: str, out: Path, waveforms: list[np.ndarray], titles: list[str], rate: int) -> None:
    """Write words one after another as a WAV file, and the first, evenly chosen, as pictures."""
    pause = np.zeros(rate // 8, np.float32)
    write_wav(out / f"{name}.wav", np.concatenate([part for wave in waveforms for part in (wave, pause)]), rate)
    count = min(SHOWN, len(waveforms))
    chosen = [i * len(waveforms) // count for i in range(count)]
    save_waveforms(out / f"{name}.png", [waveforms[i] for i in chosen], rate, [titles[i] for i in chosen])


if __name__ == "__main__":
    auto_cli(main)
