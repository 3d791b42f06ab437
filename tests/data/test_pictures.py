"""Pictures: every kind of pixel by its exact value, the right way up."""

import numpy as np
import pytest
from PIL import Image

from condgen.data.pictures import fitted, read_picture

# Two pixels, in each mode that Pillow writes to a file, and what they are in colour on white.
RGBA = [(255, 0, 0, 255), (10, 20, 30, 0)]
KINDS = {
    "rgb": ("RGB", [(1, 2, 3), (4, 5, 6)], {}, [(1, 2, 3), (4, 5, 6)]),
    "transparent": ("RGBA", RGBA, {}, [(255, 0, 0), (255, 255, 255)]),
    "half": ("RGBA", [(0, 100, 200, 51), (0, 0, 0, 204)], {}, [(204, 224, 244), (51, 51, 51)]),
    "grey": ("L", [0, 77], {}, [(0, 0, 0), (77, 77, 77)]),
    "grey with transparency": ("LA", [(77, 255), (77, 0)], {}, [(77, 77, 77), (255, 255, 255)]),
    "grey with a transparent level": ("L", [5, 77], {"transparency": 5}, [(255, 255, 255), (77, 77, 77)]),
    "colour with a transparent one": ("RGB", [(1, 2, 3), (4, 5, 6)], {"transparency": (1, 2, 3)},
                                      [(255, 255, 255), (4, 5, 6)]),
    "one bit": ("1", [0, 1], {}, [(0, 0, 0), (255, 255, 255)]),
    "palette": ("P", [0, 1], {}, [(9, 8, 7), (60, 50, 40)]),
    "palette with transparency": ("P", [0, 1], {"transparency": b"\x00\xff"}, [(255, 255, 255), (60, 50, 40)]),
}  # fmt: skip


def write(file, mode, pixels, **options):
    image = Image.new(mode, (2, 1))
    if mode == "P":
        image.putpalette([9, 8, 7, 60, 50, 40])
    for x, pixel in enumerate(pixels):
        image.putpixel((x, 0), pixel)
    image.save(file, **options)
    return file


@pytest.mark.parametrize(("mode", "pixels", "options", "expected"), KINDS.values(), ids=KINDS)
def test_every_kind_of_pixel_has_its_exact_value(tmp_path, mode, pixels, options, expected):
    picture = read_picture(write(tmp_path / "a.png", mode, pixels, **options), 3)
    assert np.array(picture.image).tolist() == [[list(pixel) for pixel in expected]]
    see_through = mode in ("RGBA", "LA") or "transparency" in options
    assert picture.is_transparent == see_through


def test_what_is_transparent_shows_the_background_in_grey_too(tmp_path):
    file = write(tmp_path / "a.png", "RGBA", RGBA)
    assert np.array(read_picture(file, 1, "black").image).tolist() == [[76, 0]]  # 0.299 × 255
    assert np.array(read_picture(file, 3, "#010203").image).tolist() == [[[255, 0, 0], [1, 2, 3]]]


def test_an_alpha_channel_that_hides_nothing_changes_nothing(tmp_path):
    picture = read_picture(write(tmp_path / "a.png", "RGBA", [(1, 2, 3, 255), (4, 5, 6, 255)]), 3)
    assert np.array(picture.image).tolist() == [[[1, 2, 3], [4, 5, 6]]]
    assert not picture.is_transparent


def test_inks_become_light(tmp_path):
    file = write(tmp_path / "a.tif", "CMYK", [(0, 255, 255, 0), (0, 0, 0, 255)])
    assert np.array(read_picture(file, 3).image).tolist() == [[[255, 0, 0], [0, 0, 0]]]


def test_of_an_animation_the_first_picture_is_taken(tmp_path):
    frames = [Image.new("RGB", (2, 1), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert np.array(read_picture(tmp_path / "a.gif", 3).image).tolist() == [[[255, 0, 0], [255, 0, 0]]]


@pytest.mark.parametrize(("orientation", "expected"), [
    (1, [[0, 50], [100, 150], [200, 250]]),
    (3, [[250, 200], [150, 100], [50, 0]]),
    (6, [[200, 100, 0], [250, 150, 50]]),
    (8, [[50, 150, 250], [0, 100, 200]]),
])  # fmt: skip
def test_a_photograph_is_turned_upright(tmp_path, orientation, expected):
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(np.array([[0, 50], [100, 150], [200, 250]], np.uint8))
    image.save(tmp_path / "a.png", exif=exif)
    assert np.array(read_picture(tmp_path / "a.png", 1).image).tolist() == expected


@pytest.mark.parametrize(
    "array", [np.zeros((2, 2), np.uint16), np.zeros((2, 2), np.int32), np.zeros((2, 2), np.float32)]
)
def test_more_than_8_bits_are_refused(tmp_path, array):
    Image.fromarray(array).save(tmp_path / "a.tif")
    with pytest.raises(ValueError, match=r"a\.tif has more than 8 bits per channel .*convert it to 8 bits"):
        read_picture(tmp_path / "a.tif", 1)


def test_16_bits_in_colour_are_refused_where_pillow_would_drop_half_of_them(tmp_path):
    import struct
    import zlib

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header, row = struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0), b"\0" + bytes(6)
    parts = [b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(row)), chunk(b"IEND", b"")]
    (tmp_path / "a.png").write_bytes(b"".join(parts))
    with pytest.raises(ValueError, match=r"a\.png has more than 8 bits"):
        read_picture(tmp_path / "a.png", 3)


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_picture_is_named(tmp_path, content):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.png is not a readable image \(.+\); remove or replace it") as caught:
        read_picture(tmp_path / "a.png", 3)
    assert "\n" not in str(caught.value)


def test_a_picture_is_cropped_at_the_centre_and_resized():
    pixels = np.zeros((2, 6, 3), np.uint8)
    pixels[:, 2:4] = 90
    assert fitted(Image.fromarray(pixels), 2, 2).tolist() == [[[90, 90], [90, 90]]] * 3
    assert fitted(Image.fromarray(pixels), 2, 6).shape == (3, 2, 6)
