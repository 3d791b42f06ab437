"""Picture files: upright, without transparency, with 8 bits per channel, in colour or in grey.

A photograph is turned as its EXIF orientation says. Where a picture is transparent, the background shows through. Of an
animation, the first picture is taken. CMYK and others become RGB as Pillow converts them. More than 8 bits per channel
are refused: whether their range is used to the full, the file does not say.
"""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from condgen.paths import content_of, require_file

if TYPE_CHECKING:
    from PIL import Image

# Formats that Pillow reads and that are usual for pictures; other files may lie beside them.
SUFFIXES = {
    ".avif", ".bmp", ".dib", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm",
    ".tga", ".tif", ".tiff", ".webp",
}  # fmt: skip
DEEP = re.compile(r"(L|LA|RGB|RGBA|RGBX|CMYK);16")  # what Pillow calls such pixels in a file


class Picture(NamedTuple):
    """A picture, and whether the background shows through it anywhere."""

    image: Image.Image
    is_transparent: bool


def check_background(background: str) -> str:
    """Return the name of a colour.

    Raises:
        ValueError: it is not one that Pillow knows, or is itself transparent.
    """
    from PIL import ImageColor

    try:
        if len(ImageColor.getrgb(background)) == 3:
            return background
    except ValueError:
        pass
    raise ValueError(f"background '{background}' is no colour; give a name, such as black, or #rrggbb")


def read_picture(file: Path, channels: int, background: str = "white") -> Picture:
    """Read a picture, upright, in colour (3 channels) or in grey (1).

    Args:
        file: file of the picture.
        channels: number of channels: 3 or 1.
        background: colour that shows where the picture is transparent.

    Raises:
        ValueError: the file is not a readable picture of 8 bits per channel; the message names it.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    require_file(file, "a picture")
    try:
        with Image.open(file) as opened:
            deep = opened.mode if _is_deep(opened) else None
            if deep is None:
                upright = ImageOps.exif_transpose(opened)
                opaque, is_transparent = _opaque(upright, background)
                return Picture(opaque.convert("L" if channels == 1 else "RGB"), is_transparent)
    except UnidentifiedImageError:
        content = content_of(file)
        cause = f"it is {content}" if content else "its content is none that Pillow knows"
    except (OSError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError) as error:
        cause = " ".join(str(error).split())
    else:
        raise ValueError(f"{file} has more than 8 bits per channel (mode {deep}); convert it to 8 bits")
    raise ValueError(f"{file} is not a readable image ({cause}); remove or replace it")


def _is_deep(image: Image.Image) -> bool:
    """Tell whether a picture has more than 8 bits per channel; in colour, Pillow would drop the lower ones silently."""
    from PIL.ImageFile import ImageFile

    tiles = image.tile if isinstance(image, ImageFile) else []
    decoders = (tile[3] if isinstance(tile[3], tuple) else (tile[3],) for tile in tiles)
    return image.mode.startswith(("I", "F")) or any(DEEP.match(str(word)) for words in decoders for word in words)


def _opaque(image: Image.Image, background: str) -> tuple[Image.Image, bool]:
    """Let the background show through; tell whether it does."""
    from PIL import Image

    if not image.has_transparency_data:
        return image, False
    picture = image.convert("RGBA")
    composed = Image.alpha_composite(Image.new("RGBA", picture.size, background), picture)
    return composed, picture.getchannel("A").tobytes().strip(b"\xff") != b""


def fitted(image: Image.Image, height: int, width: int) -> np.ndarray:
    """Crop a picture at the centre and resize it; return its levels, (channels, height, width), uint8."""
    from PIL import ImageOps

    fits = image if image.size == (width, height) else ImageOps.fit(image, (width, height))
    return np.array(fits).reshape(height, width, len(image.getbands())).transpose(2, 0, 1)
