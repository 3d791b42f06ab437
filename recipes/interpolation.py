"""One class turns into another: nothing moves but the (γ, β) of the condition, from those of one class to those of the
other, while the noise stays. A picture with a row per pair of classes.

`python recipes/interpolation.py runs/cdcgan_mnist/version_0/checkpoints/last.ckpt` drew the one in the README.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
from jsonargparse import auto_cli
from PIL import Image

import condgen


def main(
    ckpt_path: str, out: str = "recipes/interpolation.png", rows: int = 5, steps: int = 13, seed: int = 1, zoom: int = 3
) -> None:
    """Draw the picture.

    Args:
        ckpt_path: checkpoint of a model of images with one condition on classes.
        out: file for the picture.
        rows: number of rows, each from one class to the next.
        steps: pictures in a row.
        seed: seed of the first row's noise; each row has the next one.
        zoom: pixels of the picture per pixel of an image.
    """
    model = condgen.load(ckpt_path)
    (condition, classes), *others = model.conditions.items()
    if others or isinstance(classes, str):
        raise ValueError(f"{ckpt_path} has not one condition on classes; its conditions: {', '.join(model.conditions)}")
    film, weights = model.film({condition: classes}), np.linspace(0, 1, steps)
    strips = []
    for row, (one, other) in enumerate(pairwise(classes[(2 * i) % len(classes)] for i in range(rows + 1))):
        path = film.select(**{condition: one}).interpolate(film.select(**{condition: other}), weights)
        strips.append(np.concatenate(model.sample(path, seed=[seed + row] * steps).images(), axis=1))
    picture = Image.fromarray(np.concatenate(strips))
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    picture.resize((picture.width * zoom, picture.height * zoom), Image.Resampling.NEAREST).save(out)


if __name__ == "__main__":
    auto_cli(main)
