"""Picture files: upright, without transparency, with 8 bits per channel, in colour or in grey, of one size.

A photograph is turned as its EXIF orientation says. Where a picture is transparent, the background shows through. Of an
animation, the first picture is taken. CMYK and others become RGB as Pillow converts them. Of 16 bits per channel the
upper 8 are kept, in grey and in colour, and so of the 12 bits of a TIFF. Pixels of 32 bits and floating point numbers
are refused, and so are numbers with a sign: which of them is white, the file does not say.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

import numpy as np

from condgen.paths import content_of, require_file

if TYPE_CHECKING:
    from PIL import Image

Fit = Literal["crop", "squash"]
# Formats that Pillow reads and that are usual for pictures; other files may lie beside them.
SUFFIXES = {
    ".avif", ".bmp", ".dib", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm",
    ".tga", ".tif", ".tiff", ".webp",
}  # fmt: skip
HEIF = frozenset({".heic", ".heif", ".hif"})  # photographs of telephones, for which Pillow needs a plugin
RAW = (".arw", ".cr2", ".cr3", ".dng", ".nef", ".orf", ".raf", ".rw2")
REMEDIES = dict.fromkeys(HEIF, "pip install pillow-heif") | dict.fromkeys((*RAW, ".psd", ".svg"), "export them as .jpg")
DEEP = re.compile(r"(L|LA|RGB|RGBA|RGBX|CMYK);16")  # what Pillow calls such pixels in a file
SIDEWAYS = (5, 6, 7, 8)  # orientations of EXIF in which height and width change places
ORIENTATION = 0x0112


class Framing(NamedTuple):
    """How pictures of any size and transparency become pictures of one size.

    Attributes:
        fit: way to another size: `crop` cuts the middle out in the ratio of the size and scales that; `squash` scales
            the whole picture without keeping its ratio.
        background: colour that shows where a picture is transparent.
    """

    fit: Fit = "crop"
    background: str = "white"

    def checked(self) -> Framing:
        """Return the framing itself.

        Raises:
            ValueError: the fit is not known; or the background is not a colour that Pillow knows, or is transparent.
        """
        from PIL import ImageColor

        if self.fit not in get_args(Fit):
            raise ValueError(f"fit '{self.fit}' is not known; known: {', '.join(get_args(Fit))}")
        try:
            if len(ImageColor.getrgb(self.background)) == 3:
                return self
        except ValueError:
            pass
        raise ValueError(f"background '{self.background}' is no colour; give a name, such as black, or #rrggbb")


USUAL = Framing()


class Picture(NamedTuple):
    """A picture.

    Attributes:
        image: picture of 8 bits per channel.
        is_transparent: transparency, true if the background shows through it anywhere.
        depth: bits per channel of the file.
    """

    image: Image.Image
    is_transparent: bool
    depth: int


def suffixes() -> set[str]:
    """Return the suffixes of pictures that can be read: HEIF's too, where the package pillow-heif is installed."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return SUFFIXES
    register_heif_opener()
    return SUFFIXES | HEIF


def read_picture(file: Path, channels: int, background: str = "white") -> Picture:
    """Read a picture, upright, in colour (3 channels) or in grey (1).

    Args:
        file: file of the picture.
        channels: number of channels: 3 or 1.
        background: colour that shows where the picture is transparent.

    Raises:
        ValueError: the file is not a readable picture of at most 16 bits per channel; the message names it.
    """
    from PIL import ImageOps

    with _opened(file) as (image, depth):
        upright = ImageOps.exif_transpose(image)
        opaque, is_transparent = _opaque(_of_8_bits(upright, depth), background)
        return Picture(opaque.convert("L" if channels == 1 else "RGB"), is_transparent, depth)


def check_header(file: Path) -> None:
    """Read the header of a picture alone, which is quick.

    Raises:
        ValueError: the file is not a picture of at most 16 bits per channel; the message names it.
    """
    with _opened(file):
        pass


def upright_size(file: Path) -> tuple[int, int]:
    """Return the height and width of a picture once it is upright, without decoding more than that needs.

    Raises:
        ValueError: the file is not a picture of at most 16 bits per channel; the message names it.
    """
    with _opened(file) as (image, _):
        turned = image.format != "TIFF" and image.getexif().get(ORIENTATION) in SIDEWAYS  # Pillow turns a TIFF's itself
        return image.size if turned else image.size[::-1]


@contextmanager
def _opened(file: Path) -> Iterator[tuple[Image.Image, int]]:
    """Open a picture, and give it with its bits per channel; what goes wrong with it is said in one line."""
    from PIL import Image, UnidentifiedImageError

    require_file(file, "a picture")
    try:
        # By its path, Pillow would map a TIFF of no compression into memory, and turn it wrongly.
        with open(file, "rb") as content, Image.open(content) as image:
            depth = _depth(image)
            if depth is not None:
                yield image, depth
                return
            mode = image.mode
    except UnidentifiedImageError:
        found = content_of(file)
        cause = f"it is {found}" if found else "its content is none that Pillow knows"
    except (OSError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError) as error:
        cause = " ".join(str(error).split())
    else:
        raise ValueError(f"{file} has pixels of 32 bits or with a sign (mode {mode}), of which the file does not say "
                         "which is white: convert it to 8 or 16 bits")  # fmt: skip
    raise ValueError(f"{file} is not a readable image ({cause}); remove or replace it")


def _depth(image: Image.Image) -> int | None:
    """Return the bits per channel of an opened file: 8, 12 or 16; `None` where its range is not known."""
    from PIL.ImageFile import ImageFile

    tiles = image.tile if isinstance(image, ImageFile) else []
    words = {str(word) for tile in tiles for word in (tile[3] if isinstance(tile[3], tuple) else (tile[3],))}
    # Of the modes of 32 bits, that of portable grey maps holds 16, whatever their maximum is.
    if image.mode == "F" or (image.mode == "I" and image.format != "PPM"):
        return None
    if "I;12" in words:
        return 12
    return 16 if image.mode.startswith("I") or any(DEEP.match(word) for word in words) else 8


def _of_8_bits(image: Image.Image, depth: int) -> Image.Image:
    """Keep the upper 8 bits of grey; in colour, Pillow has kept these already."""
    from PIL import Image

    if not image.mode.startswith("I"):
        return image
    values = np.asarray(image).astype(np.uint16)
    grey = Image.fromarray((values >> (depth - 8)).astype(np.uint8))
    if "transparency" not in image.info:
        return grey
    return Image.merge("LA", (grey, Image.fromarray(np.uint8(255) * (values != image.info["transparency"]))))


def _opaque(image: Image.Image, background: str) -> tuple[Image.Image, bool]:
    """Let the background show through; tell whether it does."""
    from PIL import Image

    if not image.has_transparency_data:
        return image, False
    picture = image.convert("RGBA")
    composed = Image.alpha_composite(Image.new("RGBA", picture.size, background), picture)
    return composed, picture.getchannel("A").tobytes().strip(b"\xff") != b""


def fitted(image: Image.Image, height: int, width: int, fit: Fit = "crop") -> np.ndarray:
    """Bring a picture to a size, smoothly; return its levels, (channels, height, width), uint8.

    Args:
        image: picture.
        height: rows wanted.
        width: columns wanted.
        fit: way to another ratio; see `Framing`.
    """
    from PIL import Image, ImageOps

    if image.size != (width, height):
        # Both average over all pixels that fall on one.
        image = (ImageOps.fit(image, (width, height)) if fit == "crop"
                 else image.resize((width, height), Image.Resampling.BICUBIC))  # fmt: skip
    return np.array(image).reshape(height, width, len(image.getbands())).transpose(2, 0, 1)
