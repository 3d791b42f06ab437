"""Data as people have them: photographs of many formats, sizes and depths, and recordings of many rates and formats."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image, ImageDraw

FORMATS = ("jpg", "png", "webp", "gif", "bmp", "tif")
SOUNDS = ("wav", "flac", "mp3", "ogg")
ORIENTATION = 0x0112


def photographs(root: Path, classes: dict[str, int], clutter: bool = True) -> Path:
    """Write pictures into a folder for each class.

    Args:
        root: folder of the classes' folders.
        classes: number of pictures by class.
        clutter: files and folders that systems leave beside pictures, added if true.
    """
    for number, (name, count) in enumerate(classes.items()):
        for i in range(count):
            path = root / name / f"{i:03d}.{FORMATS[i % len(FORMATS)]}"
            path.parent.mkdir(parents=True, exist_ok=True)
            _save(path, picture(number, i), i)
        if clutter:
            (root / name / "Thumbs.db").write_bytes(b"x")
    if clutter:
        (root / "__MACOSX" / "._a").mkdir(parents=True)
        (root / "__MACOSX" / "a.jpg").write_bytes(b"x")
        (root / ".DS_Store").write_bytes(b"x")
        (root / "desktop.ini").write_bytes(b"x")
    return root


def picture(number: int, i: int) -> Image.Image:
    """Draw a shape on a gradient with noise, larger or smaller, upright or lying."""
    rng = np.random.default_rng(1000 * number + i)
    height, width = (int(side) for side in rng.integers(40, 90, 2))
    fall = np.linspace(0, 120, height)[:, None, None] + np.linspace(0, 60, width)[None, :, None]
    image = Image.fromarray((fall + rng.integers(0, 40, (height, width, 3))).astype(np.uint8))
    draw = (ImageDraw.Draw(image).ellipse, ImageDraw.Draw(image).rectangle)[number % 2]
    draw((width // 4, height // 4, 3 * width // 4, 3 * height // 4), fill=tuple(rng.integers(100, 256, 3).tolist()))
    return image


def _save(path: Path, image: Image.Image, i: int) -> None:
    """Save a picture; some are turned, transparent, grey, of a palette or of 16 bits."""
    if path.suffix == ".jpg" and i % 4 == 0:
        exif = Image.Exif()
        exif[ORIENTATION] = 6
        image.save(path, exif=exif)
    elif path.suffix == ".png" and i % 4 == 1:
        image.putalpha(Image.linear_gradient("L").resize(image.size))
        image.save(path)
    elif path.suffix == ".png":
        Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257).save(path)
    else:
        (image.convert("P") if path.suffix == ".gif" else image.convert("L") if i % 7 == 0 else image).save(path)


def recordings(root: Path, classes: dict[str, int], rate: int = 44_100, stereo: bool = True) -> Path:
    """Write tones into a folder for each class, every third of two channels, and a table of all beside them.

    Args:
        root: folder of the classes' folders, and of `table.csv`, with the columns `path`, `speaker` and `text`.
        classes: number of recordings by class.
        rate: samples per second.
        stereo: recordings of two channels, some if true.
    """
    rows = []
    for number, (name, count) in enumerate(classes.items()):
        for i in range(count):
            path = root / name / f"{i:03d}.{SOUNDS[i % len(SOUNDS)]}"
            path.parent.mkdir(parents=True, exist_ok=True)
            time = np.arange(round(rate * (0.2 + 0.01 * i))) / rate
            tone = 0.4 * np.sin(2 * np.pi * (200 + 150 * number + 5 * i) * time)
            soundfile.write(path, np.stack([tone, 0.5 * tone], 1) if stereo and i % 3 == 0 else tone, rate)
            rows.append([path.relative_to(root).as_posix(), name, f"take {i}"])
    with open(root / "table.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["path", "speaker", "text"], *rows])
    return root
