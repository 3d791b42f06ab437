"""Glyphs of the fonts that matplotlib carries, drawn a little differently each time."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

CANVAS = 48  # side of the picture that is drawn before it is shrunk


@cache
def _font(name: str, points: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts", "ttf", f"{name}.ttf"), points)


def glyph(character: str, font: str, side: int, scale: float = 1.0, angle: float = 0.0,
          shift: tuple[float, float] = (0.0, 0.0)) -> Tensor:  # fmt: skip
    """Draw a character in the middle of a square picture.

    Args:
        character: character.
        font: font of matplotlib's, such as "DejaVuSans-Bold".
        side: side of the picture.
        scale: size of the letters; at 1, a capital fills about two thirds of the picture's height.
        angle: degrees to the left.
        shift: shares of the picture's side by which the glyph moves to the right and down.

    Returns:
        Ink from 0 to 1, (side, side).
    """
    picture = Image.new("L", (CANVAS, CANVAS))
    middle = (CANVAS * (0.5 + shift[0]), CANVAS * (0.5 + shift[1]))
    ImageDraw.Draw(picture).text(middle, character, 255, _font(font, round(0.9 * CANVAS * scale)), anchor="mm")
    picture = picture.rotate(angle, Image.Resampling.BILINEAR).resize((side, side), Image.Resampling.BOX)
    return torch.from_numpy(np.asarray(picture, np.float32) / 255)


def varied(character: str, font: str, side: int, chance: np.random.Generator, turn: float = 8.0) -> Tensor:
    """Draw a character a little larger or smaller, moved, and turned by up to some degrees; see `glyph`."""
    scale, angle = chance.uniform(0.85, 1.05), chance.uniform(-turn, turn)
    right, down = chance.uniform(-0.05, 0.05, 2)
    return glyph(character, font, side, scale, angle, (right, down))
