"""Pictures from outside: every usual format, upright and in plain colours; bombs and damage are refused (SEC-4, REL-4)."""

from __future__ import annotations

import contextlib
import io
import random
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from lorasmith.core.errors import DataProblem
from lorasmith.families._pictures import mask_of, picture_of, pictures_of, png

_RED, _BLUE = (250, 10, 10), (10, 10, 250)


def _file(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _halves(width=40, height=20):
    """Red on the left, blue on the right."""
    image = Image.new("RGB", (width, height), _RED)
    image.paste(_BLUE, (width // 2, 0, width, height))
    return image


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP"])
def test_every_usual_format_is_read_in_its_colours(kind):
    """SRV-6"""
    read = picture_of(_file(_halves(), kind), what="Image 1")
    assert (read.mode, read.size) == ("RGB", (40, 20))
    assert np.abs(np.array(read.getpixel((5, 10))) - _RED).max() < 12
    assert np.abs(np.array(read.getpixel((35, 10))) - _BLUE).max() < 12


def test_a_mask_is_white_where_it_is_white_or_transparent():
    """SRV-3, SRV-7: black and white as diffusers wants it, or holes as OpenAI's clients send them."""
    plain = Image.new("L", (40, 20), 0)
    plain.paste(255, (20, 0, 40, 20))
    holed = _halves().convert("RGBA")
    holed.putalpha(Image.eval(plain, lambda value: 255 - value))
    opaque = plain.convert("RGBA")
    for given in (plain, holed, opaque):
        mask = mask_of(_file(given), what="The mask")
        assert (mask.mode, mask.getpixel((5, 10)), mask.getpixel((35, 10))) == ("L", 0, 255)


def test_of_a_moving_picture_the_first_frame_is_read():
    """SRV-6"""
    frames = [Image.new("RGB", (8, 8), color) for color in (_RED, _BLUE)]
    read = picture_of(_file(frames[0], "GIF", save_all=True, append_images=frames[1:]), what="Image 1")
    assert read.getpixel((4, 4)) == _RED


def test_a_picture_is_turned_as_its_camera_says():
    """SRV-6: orientation 6 is a camera held upright, its top on the right of what it wrote."""
    exif = Image.Exif()
    exif[0x0112] = 6
    read = picture_of(_file(_halves(), "JPEG", exif=exif, quality=95), what="Image 1")
    assert read.size == (20, 40)
    assert np.abs(np.array(read.getpixel((10, 5))) - _RED).max() < 12
    assert np.abs(np.array(read.getpixel((10, 35))) - _BLUE).max() < 12


def test_what_is_transparent_lies_on_white():
    """SRV-6"""
    clear = Image.new("RGBA", (4, 4), (200, 0, 0, 0))
    half = Image.new("LA", (4, 4), (0, 128))
    assert picture_of(_file(clear), what="Image 1").getpixel((1, 1)) == (255, 255, 255)
    assert picture_of(_file(half), what="Image 1").getpixel((1, 1)) == (127, 127, 127)
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([9, 9, 9, *_RED])
    assert picture_of(_file(palette), what="Image 1").getpixel((1, 1)) == _RED
    assert picture_of(_file(palette, transparency=1), what="Image 1").getpixel((1, 1)) == (255, 255, 255)


def test_deep_and_printed_colours_are_scaled():
    """SRV-6: 16 bits are not cut to the lowest eight."""
    deep = Image.fromarray(np.array([[0, 32768, 65535]], dtype="uint16"))
    assert [picture_of(_file(deep), what="Image 1").getpixel((x, 0))[0] for x in range(3)] == [0, 128, 255]
    floats = Image.fromarray(np.array([[0.0, 0.5, 1.0]], dtype="float32"))
    assert [picture_of(_file(floats, "TIFF"), what="Image 1").getpixel((x, 0))[0] for x in range(3)] == [0, 128, 255]
    ints = Image.fromarray(np.array([[-100, 0, 100]], dtype="int32"))
    assert [picture_of(_file(ints, "TIFF"), what="Image 1").getpixel((x, 0))[0] for x in range(3)] == [0, 128, 255]
    printed = _halves().convert("CMYK")
    assert np.abs(np.array(picture_of(_file(printed, "TIFF"), what="Image 1").getpixel((5, 5))) - _RED).max() < 12


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"\0" * 5000])
def test_what_is_no_picture_is_refused(data):
    """SEC-4"""
    with pytest.raises(DataProblem, match="Image 3 is no picture that can be read") as told:
        picture_of(data, what="Image 3")
    assert told.value.why
    assert told.value.fix


def test_a_file_that_is_cut_off_is_refused():
    """SEC-4"""
    whole = _file(Image.effect_noise((64, 64), 60).convert("RGB"), "JPEG")
    with pytest.raises(DataProblem, match="Image 1 cannot be read"):
        picture_of(whole[: len(whole) // 2], what="Image 1")


_BOMBS = """
import io, resource, time
from PIL import Image
from lorasmith.core.errors import DataProblem
from lorasmith.families._pictures import picture_of

def file(size, mode, kind, **options):
    file = io.BytesIO()
    Image.new(mode, size).save(file, kind, **options)
    return file.getvalue()

Image.MAX_IMAGE_PIXELS, limit = None, Image.MAX_IMAGE_PIXELS
small = [file((8, 8), "1", "PNG"), file((8, 8), "L", "GIF"), file((8, 8), "1", "TIFF")]
header = bytearray(file((8, 8), "1", "PNG"))
import struct, zlib
def large(width, height):  # the header alone says so
    head = b"IHDR" + struct.pack(">II", width, height) + bytes(header[24:29])
    return bytes(header[:12]) + head + struct.pack(">I", zlib.crc32(head)) + bytes(header[33:])
tiff = bytearray(small[2])
def tall(data):
    at = data.index(struct.pack("<HH", 0x0101, 3)) if struct.pack("<HH", 0x0101, 3) in data else data.index(struct.pack("<HH", 0x0101, 4))
    data[at + 2 : at + 12] = struct.pack("<HII", 4, 1, 10_000_000)
    return bytes(data)
gif = bytearray(small[1])
gif[6:10] = struct.pack("<HH", 65000, 65000)
bombs = [large(10_000, 10_000), large(2**31 - 1, 2**31 - 1), large(7100, 7100), tall(tiff), bytes(gif)]
Image.MAX_IMAGE_PIXELS = limit
for one in small: picture_of(one, what="Image 1")
before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
for bomb in bombs:
    try: picture_of(bomb, what="Image 2")
    except DataProblem as problem: print(problem.what)
assert time.perf_counter() - started < 1
assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000, "KiB"
"""


def test_a_bomb_is_refused_by_its_header_without_memory():
    """SEC-4: more than 50 megapixels; a hundred megapixels are 300 MB once they are decoded."""
    done = subprocess.run([sys.executable, "-c", _BOMBS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["Image 2 is too large"] * 5


def test_pictures_together_have_a_limit(monkeypatch):
    """SEC-4"""
    monkeypatch.setattr("lorasmith.families._pictures.MOST_PIXELS_TOGETHER", 2000)
    assert len(pictures_of([_file(_halves())] * 2)) == 2
    with pytest.raises(DataProblem, match="The first 3 images"):
        pictures_of([_file(_halves())] * 3)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP"])
def test_damaged_files_are_read_or_refused(kind):
    """REL-4: never another error."""
    whole, draw = _file(_halves(), kind), random.Random(1)
    for _ in range(150):
        damaged = bytearray(whole[: draw.randrange(8, len(whole) + 1)])
        for _ in range(draw.randrange(4)):
            damaged[draw.randrange(len(damaged))] = draw.randrange(256)
        with contextlib.suppress(DataProblem):
            assert picture_of(bytes(damaged), what="Image 1").mode == "RGB"


def test_masks_are_written_with_one_bit_and_depth_with_eight():
    """UI-5"""
    mask = np.eye(6, 4, dtype=bool)
    read = Image.open(io.BytesIO(png(mask)))
    assert (read.mode, read.size) == ("1", (4, 6))
    assert (np.array(read) == mask).all()
    grey = np.arange(24, dtype="uint8").reshape(6, 4)
    assert (np.array(Image.open(io.BytesIO(png(grey)))) == grey).all()
