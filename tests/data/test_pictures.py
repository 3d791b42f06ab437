"""Pictures: every kind of pixel by its exact value, the right way up."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from condgen.data.pictures import Framing, check_header, fitted, read_picture, upright_size

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


@pytest.mark.parametrize("options", [{}, {"compression": "tiff_lzw"}])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_tiff_is_turned_as_a_png_is(tmp_path, orientation, options):
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4))
    image.save(tmp_path / "a.png", exif=exif)
    image.save(tmp_path / "a.tif", exif=exif, **options)
    png, tiff = (np.array(read_picture(tmp_path / f"a.{suffix}", 1).image) for suffix in ("png", "tif"))
    assert png.tolist() == tiff.tolist()
    assert upright_size(tmp_path / "a.png") == upright_size(tmp_path / "a.tif") == png.shape


# Numbers of 16 bits and their upper 8.
WIDE, UPPER = [0x0000, 0x00FF, 0x0100, 0x7FFF, 0x8000, 0xFFFF], [0x00, 0x00, 0x01, 0x7F, 0x80, 0xFF]


def write_png(file, colour, width, samples, *chunks):
    """Write a PNG of one row of 16 bits per channel."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header, row = struct.pack(">IIBBBBB", width, 1, 16, colour, 0, 0, 0), b"\0" + np.array(samples, ">u2").tobytes()
    parts = [chunk(b"IHDR", header), *(chunk(*own) for own in chunks), chunk(b"IDAT", zlib.compress(row)),
             chunk(b"IEND", b"")]  # fmt: skip
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


def write_deep(file, kind):
    if kind == "grey map":
        file.write_bytes(b"P5 6 1 65535\n" + np.array(WIDE, ">u2").tobytes())
    elif kind == "grey map of 12 bits":
        file.write_bytes(b"P5 6 1 4095\n" + (np.array(WIDE, ">u2") >> 4).astype(">u2").tobytes())
    elif kind == "grey PNG":
        write_png(file, 0, 6, WIDE)
    else:
        Image.fromarray(np.array([WIDE], "<u2" if kind == "grey TIFF" else ">u2")).save(file, "TIFF")


@pytest.mark.parametrize(
    "kind", ["grey PNG", "grey TIFF", "grey TIFF of big endians", "grey map", "grey map of 12 bits"]
)
def test_of_16_bits_in_grey_the_upper_8_are_kept(tmp_path, kind):
    write_deep(tmp_path / "a.any", kind)
    picture = read_picture(tmp_path / "a.any", 1)
    # Pillow spreads 4095 levels over 65535, by which a number may reach the next of 8 bits.
    assert np.array(picture.image)[0].tolist() == pytest.approx(UPPER, abs=int("12" in kind))
    assert picture.depth == 16


def test_of_16_bits_in_colour_the_upper_8_are_kept(tmp_path):
    write_png(tmp_path / "a.png", 2, 2, WIDE)
    picture = read_picture(tmp_path / "a.png", 3)
    assert np.array(picture.image).tolist() == [[UPPER[:3], UPPER[3:]]]
    assert picture.depth == 16
    write_png(tmp_path / "b.png", 6, 1, [0x1234, 0x5678, 0x9ABC, 0xFFFF])
    assert np.array(read_picture(tmp_path / "b.png", 3).image).tolist() == [[[0x12, 0x56, 0x9A]]]


def test_a_transparent_level_of_16_bits_is_that_level_alone(tmp_path):
    write_png(tmp_path / "a.png", 0, 3, [0x1200, 0x1201, 0x1202], (b"tRNS", struct.pack(">H", 0x1201)))
    picture = read_picture(tmp_path / "a.png", 1)
    assert np.array(picture.image).tolist() == [[0x12, 255, 0x12]]
    assert picture.is_transparent


def test_a_photograph_of_16_bits_is_turned_upright_too(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.array([[0x0100, 0x0200]], np.uint16)).save(tmp_path / "a.png", exif=exif)
    assert np.array(read_picture(tmp_path / "a.png", 1).image).tolist() == [[1], [2]]


@pytest.mark.parametrize("array", [np.zeros((2, 2), np.int32), np.zeros((2, 2), np.float32)])
@pytest.mark.parametrize("read", [check_header, upright_size, lambda file: read_picture(file, 1)])
def test_pixels_of_unknown_range_are_refused(tmp_path, array, read):
    Image.fromarray(array).save(tmp_path / "a.tif")
    with pytest.raises(ValueError, match=r"a\.tif has pixels of 32 bits or with a sign .*: convert it to 8 or 16 bits"):
        read(tmp_path / "a.tif")


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


def test_a_squashed_picture_keeps_its_borders_and_loses_its_ratio():
    pixels = np.zeros((2, 6, 3), np.uint8)
    pixels[:, :2] = 90
    assert fitted(Image.fromarray(pixels), 2, 6, "squash").tolist() == pixels.transpose(2, 0, 1).tolist()
    left, _, right = fitted(Image.fromarray(pixels), 2, 3, "squash")[0, 0].tolist()
    assert left > 80
    assert right < 10


@pytest.mark.parametrize("fit", ["crop", "squash"])
def test_a_fine_pattern_becomes_its_mean_when_it_is_scaled_down(fit):
    pattern = np.indices((256, 256)).sum(0) % 2 * 200
    levels = fitted(Image.fromarray(pattern.astype(np.uint8)), 16, 16, fit)
    assert np.abs(levels.astype(int) - 100).max() <= 1


def test_a_framing_that_means_nothing_is_refused():
    with pytest.raises(ValueError, match="fit 'stretch' is not known; known: crop, squash"):
        Framing("stretch").checked()
    for background in ("plaid", "#11223344"):
        with pytest.raises(ValueError, match=f"background '{background}' is no colour"):
            Framing(background=background).checked()
    assert Framing().checked() == ("crop", "white")
