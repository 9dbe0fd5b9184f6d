"""Pictures of every kind that a user may pass: right values, or one line."""

from __future__ import annotations

import dataclasses
import io
import os
import struct
import sys
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from cogmagic import RequestError
from cogmagic._models.pictures.picture import as_picture
from cogmagic._models.request import Request

SIZE = (8, 6)
COLOUR = (200, 100, 50)
GREY = (128, 128, 128)
WHITE = (255, 255, 255)
HALF = tuple((c * 128 + 255 * 127 + 127) // 255 for c in COLOUR)
"""`COLOUR` of alpha 128, on white."""
ADOBE = (227, 100, 42)
"""`COLOUR` in Adobe RGB, as sRGB: by the matrices of both, through linear light."""
RGB = np.full((6, 8, 3), COLOUR, np.uint8)
BASE = Image.fromarray(RGB)
PALE = Image.merge("RGBA", (*BASE.split(), Image.new("L", SIZE, 128)))
"""`COLOUR` of alpha 128."""


def corner(image: Any) -> tuple[int, int, int]:
    """The colour of the corner; the picture is RGB, of the right size and of one colour."""
    picture = as_picture(image)
    assert picture.mode == "RGB"
    assert picture.size == SIZE
    assert len(set(picture.get_flattened_data())) == 1
    return picture.getpixel((0, 0))  # type: ignore[return-value]


def near(colour: tuple[int, ...], other: tuple[int, ...], levels: int = 1) -> bool:
    return all(abs(a - b) <= levels for a, b in zip(colour, other, strict=True))


def error_of(image: Any) -> str:
    with pytest.raises(RequestError) as error:
        as_picture(image)
    assert "\n" not in str(error.value)
    return str(error.value)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(depth: int, colour: int, row: bytes, *chunks: bytes, size: tuple[int, int] = SIZE) -> bytes:
    """A PNG with one row over and over."""
    head = struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, 0)
    rows = zlib.compress((b"\0" + row) * size[1])
    parts = (chunk(b"IHDR", head), *chunks, chunk(b"IDAT", rows), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def wide_gamut() -> bytes:
    """An ICC profile with the primaries of Adobe RGB and its gamma of 2.2."""

    def xyz(*values: float) -> bytes:
        return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(v * 65536) for v in values))

    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(563 / 256 * 256)) + b"\0\0"
    tags = {
        b"rXYZ": xyz(0.60974, 0.31111, 0.01947), b"gXYZ": xyz(0.20528, 0.62567, 0.06087),
        b"bXYZ": xyz(0.14919, 0.06322, 0.74457), b"wtpt": xyz(0.9505, 1.0, 1.0891),
        b"rTRC": curve, b"gTRC": curve, b"bTRC": curve,
    }  # fmt: skip
    table, data = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, tag in tags.items():
        table += name + struct.pack(">II", start + len(data), len(tag))
        data += tag
    size = struct.pack(">I", 128 + len(table) + len(data))
    head = size + b"lcms\x02\x10\0\0mntrRGB XYZ " + bytes(12) + b"acsp" + bytes(28)
    head += struct.pack(">3i", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + table + data


def deep(mode: str, value: int) -> Image.Image:
    dtype = ">u2" if mode == "I;16B" else "<u2"
    return Image.frombytes(mode, SIZE, np.full((6, 8), value, dtype).tobytes())


def with_info(image: Image.Image, **info: Any) -> Image.Image:
    image = image.copy()
    image.info |= info
    return image


def palette(transparency: Any) -> Image.Image:
    image = Image.new("P", SIZE, 1)
    image.putpalette([9, 9, 9, *COLOUR])
    return with_info(image, transparency=transparency)


def lab() -> Image.Image:
    profiles = (ImageCms.createProfile(name) for name in ("sRGB", "LAB"))
    return ImageCms.profileToProfile(BASE, *profiles, outputMode="LAB")


ALPHA = Image.new("L", SIZE, 128)
PALE_GREY = Image.merge("LA", (Image.new("L", SIZE, 128), ALPHA))


def pale_palette() -> Image.Image:
    image = palette(None)
    del image.info["transparency"]
    image = image.convert("PA")
    image.putalpha(ALPHA)
    return image


MODES: dict[str, tuple[Callable[[], Image.Image], tuple[int, ...]]] = {
    "1": (lambda: Image.new("1", SIZE, 1), WHITE),
    "L": (lambda: Image.new("L", SIZE, 128), GREY),
    "L, transparent": (lambda: with_info(Image.new("L", SIZE, 128), transparency=128), WHITE),
    "P": (lambda: with_info(palette(0)), COLOUR),
    "P, index": (lambda: palette(1), WHITE),
    "P, bytes": (lambda: palette(b"\xff\x80"), HALF),
    "PA": (pale_palette, HALF),
    "LA": (lambda: PALE_GREY, (191, 191, 191)),
    "La": (lambda: PALE_GREY.convert("La"), (191, 191, 191)),
    "RGB": (lambda: BASE, COLOUR),
    "RGB, transparent": (lambda: with_info(BASE, transparency=COLOUR), WHITE),
    "RGBA": (lambda: PALE, HALF),
    "RGBA, hidden": (lambda: Image.new("RGBA", SIZE, (*COLOUR, 0)), WHITE),
    "RGBa": (lambda: PALE.convert("RGBa"), HALF),
    "RGBX": (lambda: BASE.convert("RGBX"), COLOUR),
    "CMYK": (lambda: BASE.convert("CMYK"), COLOUR),
    "YCbCr": (lambda: BASE.convert("YCbCr"), COLOUR),
    "LAB": (lab, COLOUR),
    "HSV": (lambda: BASE.convert("HSV"), COLOUR),
    "I": (lambda: Image.new("L", SIZE, 128).convert("I"), GREY),
    "I, 16 bits": (lambda: Image.fromarray(np.full((6, 8), 32896, np.int32)), GREY),
    "F": (lambda: Image.fromarray(np.full((6, 8), 0.5, np.float32)), GREY),
    "I;16": (lambda: deep("I;16", 32896), GREY),
    "I;16L": (lambda: deep("I;16L", 32896), GREY),
    "I;16B": (lambda: deep("I;16B", 32896), GREY),
    "I;16N": (lambda: deep("I;16N", 32896), GREY),
}


@pytest.mark.parametrize("name", MODES)
def test_every_mode_of_pillow_keeps_its_colour(name: str) -> None:
    make, colour = MODES[name]
    image = make()
    assert image.mode == name.partition(",")[0]
    assert near(corner(image), colour)


OTHER = Image.new("RGB", SIZE, "red")

FILES: dict[str, tuple[bytes, tuple[int, ...]]] = {
    "grey of 16 bits": (png(16, 0, b"\x80\x80" * 8), GREY),
    "dark grey of 16 bits": (png(16, 0, b"\x04\x04" * 8), (4, 4, 4)),
    "transparent grey of 16 bits": (png(16, 0, b"\4\4" * 8, chunk(b"tRNS", b"\4\4")), WHITE),
    "grey of 4 bits": (png(4, 0, b"\x55" * 4), (85, 85, 85)),
    "transparent grey of 4 bits": (png(4, 0, b"\x55" * 4, chunk(b"tRNS", b"\0\5")), WHITE),
    "transparent grey of 2 bits": (png(2, 0, b"\xaa" * 2, chunk(b"tRNS", b"\0\2")), WHITE),
    "1 bit": (png(1, 0, b"\xff"), WHITE),
    "transparent 1 bit": (png(1, 0, b"\0", chunk(b"tRNS", b"\0\0")), WHITE),
    "RGB of 16 bits": (png(16, 2, b"\xc8\xc8\x64\x64\x32\x32" * 8), COLOUR),
    "transparent RGB of 16 bits": (
        png(16, 2, b"\xc8\xc8\x64\x64\x32\x32" * 8, chunk(b"tRNS", b"\xc8\xc8\x64\x64\x32\x32")),
        WHITE,
    ),
    "RGBA of 16 bits": (png(16, 6, b"\xc8\xc8\x64\x64\x32\x32\x80\x80" * 8), HALF),
    "gamma": (png(8, 2, bytes(COLOUR) * 8, chunk(b"gAMA", struct.pack(">I", 100_000))), COLOUR),
    "APNG": (encoded(BASE, "PNG", save_all=True, append_images=[OTHER]), COLOUR),
    "GIF": (encoded(BASE, "GIF", save_all=True, append_images=[OTHER]), COLOUR),
    "WebP": (
        encoded(PALE, "WEBP", save_all=True, append_images=[BASE.convert("RGBA")], lossless=True),
        HALF,
    ),
    "TIFF of 16 bits": (encoded(deep("I;16", 32896), "TIFF"), GREY),
    "TIFF of 16 bits, 0 is white": (
        encoded(deep("I;16", 65535 - 32896), "TIFF").replace(
            struct.pack("<HHIHH", 262, 3, 1, 1, 0), struct.pack("<HHIHH", 262, 3, 1, 0, 0)
        ),
        GREY,
    ),
    "TIFF of 12 bits": (
        encoded(Image.frombytes("I;16", SIZE, b"\x80\x88\x08" * 32), "TIFF").replace(
            struct.pack("<HHIH", 258, 3, 1, 16), struct.pack("<HHIH", 258, 3, 1, 12)
        ),
        GREY,
    ),
    "TIFF of floats": (
        encoded(Image.fromarray(np.full((6, 8), 0.5, np.float32)), "TIFF"),
        GREY,
    ),
    "TIFF, CMYK": (encoded(BASE.convert("CMYK"), "TIFF"), COLOUR),
    "TIFF, LAB": (encoded(lab(), "TIFF"), COLOUR),
    "JPEG, inverted CMYK": (encoded(BASE.convert("CMYK"), "JPEG", quality=100), COLOUR),
    "PGM of 16 bits": (b"P5 8 6 65535\n" + b"\x80\x80" * 48, GREY),
    "PGM of 10 bits": (b"P5 8 6 1023\n" + b"\x02\x02" * 48, GREY),
    "JPEG 2000 of 16 bits": (encoded(deep("I;16", 32896), "JPEG2000"), GREY),
    "AVIF": (encoded(BASE, "AVIF", quality=100), COLOUR),
    "sRGB": (
        encoded(
            BASE, "PNG",
            icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
        ),
        COLOUR,
    ),
    "Adobe RGB": (encoded(BASE, "PNG", icc_profile=wide_gamut()), ADOBE),
    "Adobe RGB, half transparent": (
        encoded(PALE, "PNG", icc_profile=wide_gamut()),
        tuple((c * 128 + 255 * 127 + 127) // 255 for c in ADOBE),
    ),
    "broken profile": (encoded(BASE, "PNG", icc_profile=b"nonsense" * 40), COLOUR),
    "broken EXIF": (encoded(BASE, "PNG", exif=b"Exif\0\0MM\0*\0\0\xff\xff"), COLOUR),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_path_bytes_open_file_and_variable_give_the_same_colour(name: str, tmp_path: Path) -> None:
    data, colour = FILES[name]
    path = tmp_path / "picture"
    path.write_bytes(data)
    with path.open("rb") as file:
        ways: list[Any] = [path, str(path), data, bytearray(data), memoryview(data), file]
        ways += [next(os.scandir(tmp_path)), Image.open(io.BytesIO(data))]
        for image in ways:
            assert near(corner(image), colour, 2), type(image)
        assert not file.closed
    assert near(corner(as_picture(path)), colour, 2)  # what is converted stays as it is


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_picture_is_turned_by_its_exif_orientation(kind: str, orientation: int) -> None:
    corners = np.zeros((48, 64, 3), np.uint8)
    corners[:16, :16], corners[:16, -16:] = (255, 0, 0), (0, 255, 0)
    upright = Image.fromarray(corners)
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # 6 is stored turned left
    stored = upright if orientation == 1 else upright.transpose(undo[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(stored, kind, exif=exif)
    for image in (data, Image.open(io.BytesIO(data)), as_picture(data)):
        turned = as_picture(image)
        assert turned.size == (64, 48)
        assert near(turned.getpixel((4, 4)), (255, 0, 0), 8)
        assert near(turned.getpixel((60, 4)), (0, 255, 0), 8)


def _scaled(dtype: str) -> Any:
    if dtype == "bool":
        return np.full((6, 8, 3), True)
    if "f" in dtype or "g" in dtype:
        return (RGB / 255).astype(dtype)
    return (RGB.astype(int) * (257 if dtype in (">u2", "<u2") else 1)).astype(dtype)


DTYPES = ("<u2", ">u2", "u4", "u8", "i2", ">i4", "i8", "f2", "f4", ">f4", "f8", "g", "u1")


@pytest.mark.parametrize("dtype", DTYPES)
def test_numbers_of_every_dtype_keep_their_colour(dtype: str) -> None:
    assert corner(_scaled(dtype)) == COLOUR


READ_ONLY = RGB.copy()
READ_ONLY.flags.writeable = False
PLANES = np.moveaxis(RGB, -1, 0)
FLOATS = torch.from_numpy(RGB).permute(2, 0, 1) / 255

ARRAYS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "bools": (np.ones((6, 8), bool), WHITE),
    "int8": (np.full((6, 8), 100, np.int8), (100, 100, 100)),
    "strided": (RGB.repeat(2, 0).repeat(2, 1)[::2, ::2], COLOUR),
    "negative strides": (RGB[::-1, ::-1], COLOUR),
    "Fortran order": (np.asfortranarray(RGB), COLOUR),
    "read-only": (READ_ONLY, COLOUR),
    "broadcast": (np.broadcast_to(np.uint8(128), (6, 8, 3)), GREY),
    "grey": (np.full((6, 8), 128, np.uint8), GREY),
    "one channel": (np.full((6, 8, 1), 128, np.uint8), GREY),
    "grey and alpha": (np.full((6, 8, 2), 128, np.uint8), (191, 191, 191)),
    "RGBA": (np.asarray(PALE), HALF),
    "RGBA of 16 bits": (np.asarray(PALE).astype(np.uint16) * 257, HALF),
    "one of a batch": (RGB[None], COLOUR),
    "planes": (PLANES, COLOUR),
    "planes of a batch": (PLANES[None], COLOUR),
    "lists": (RGB.tolist(), COLOUR),
    "lists of floats": ((RGB / 255).tolist(), COLOUR),
    "nothing masked": (np.ma.array(RGB), COLOUR),
    "black of 16 bits": (np.zeros((6, 8), np.uint16), (0, 0, 0)),
    "rounding errors": (np.full((6, 8), 1.0000002), WHITE),
    "tensor": (FLOATS, COLOUR),
    "batch of a tensor": (FLOATS[None], COLOUR),
    "bfloat16": (FLOATS.bfloat16(), COLOUR),
    "parameter": (torch.nn.Parameter(FLOATS), COLOUR),
    "tensor of bytes, channels last": (torch.from_numpy(RGB), COLOUR),
    "view of memory": (memoryview(RGB), COLOUR),
    "one PIL image in a list": ([BASE], COLOUR),
    "two steps of conversion": (as_picture(RGB), COLOUR),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_array_keeps_its_colour(name: str) -> None:
    image, colour = ARRAYS[name]
    assert near(corner(image), colour)


def test_levels_between_black_and_white_are_linear() -> None:
    ramp = np.linspace(0, 1, 256)[None].repeat(4, 0)
    expected = list(range(256))
    for image in (ramp, np.rint(ramp * 65535).astype(np.uint16), np.rint(ramp * 255).astype(int)):
        assert np.asarray(as_picture(image))[0, :, 0].tolist() == expected


REFUSED: dict[str, tuple[Any, str]] = {
    "masked": (np.ma.masked_greater(RGB, 150), "masked pixels"),
    "NaN": (np.full((6, 8), np.nan), "NaN or infinity in 48 of 48 values"),
    "infinite": (np.full((6, 8), np.inf), "NaN or infinity in 48 of 48 values"),
    "floats to 255": (RGB * 1.0, "floats from 50 to 200, but black is 0 and white is 1. Divide"),
    "floats to 65535": (RGB * 257.0, "such as 65535"),
    "floats from -1": (RGB / 127.5 - 1, r"pass (image + 1) / 2"),
    "overshoot": (RGB * (1.05 / 200), "np.clip(image, 0, 1)"),
    "far out": (RGB * 1e9, "Scale them"),
    "8 bits in 16": (RGB.astype(np.uint16), "up to 200 in 16 bits, in which white is 65535"),
    "12 bits in 16": (RGB.astype(np.uint16) * 16, "white is 4095"),
    "16 bits in 32": (RGB.astype(np.int32) * 257, "or pass uint16"),
    "negative": (-RGB.astype(np.int16), "from -200 to -50"),
    "zeros and ones": ((RGB > 90).astype(int), "If white is 1"),
    "zeros and ones of 8 bits": ((RGB > 90).astype(np.uint8), "0 to 1 in uint8"),
    "complex": (RGB * 1j, "complex128"),
    "objects": (RGB.astype(object), "dtype object"),
    "structured": (np.zeros((6, 8), [("r", "u1"), ("g", "u1")]), "not bool, integer or float"),
    "text": (np.array([["a"]]), "not bool, integer or float"),
    "no axis": (np.uint8(3), "shape ()"),
    "one axis": (RGB[0, :, 0], "shape (8,)"),
    "five channels": (np.zeros((6, 8, 5), np.uint8), "but must be height × width × 3"),
    "several": (np.stack([RGB, RGB]), "has 2 pictures (shape (2, 6, 8, 3)). Pass one"),
    "several PIL images": ([BASE, BASE], "a list of 2 items. Pass one"),
    "five axes": (RGB[None, None], "shape (1, 1, 6, 8, 3)"),
    "no rows": (RGB[:0], "has no pixels: it is 8×0"),
    "no channels": (RGB[..., :0], "shape (6, 8, 0)"),
    "ragged": ([[1, 2], [3]], "cannot be converted to NumPy"),
    "huge": (np.broadcast_to(np.uint8(1), (10**5, 10**5)), "too large: 100000×100000"),
    "ambiguous tensor": (torch.zeros(3, 8, 3), "first or last"),
    "tensor without data": (torch.zeros(3, 6, 8, device="meta"), "cannot be converted"),
    "sparse tensor": (torch.zeros(6, 8).to_sparse(), "cannot be converted"),
    "tensor from -1": (FLOATS * 2 - 1, "pass (image + 1) / 2"),
    "number": (5, "not int"),
    "open text": (io.StringIO("x"), "open(path, 'rb')"),
    "closed file": (closed := io.BytesIO(b"x"), "cannot be read"),
    "no bytes": (b"", "not an image"),
    "text in a file": (b"hello", "not an image that Pillow can read. Save it"),
    "truncated": (png(8, 2, bytes(range(240)), size=(80, 60))[:-40], "truncated"),
    "bomb": (png(8, 0, b"", size=(20_000, 20_000)), "too large"),
    "70 million pixels": (png(8, 0, b"", size=(10_000, 7_000)), "but at most 61 million may"),
    "PostScript": (encoded(BASE, "EPS"), "PostScript"),
    "floats to 255 in a TIFF": (
        encoded(Image.new("F", SIZE, 128.0), "TIFF"), "floats from 128 to 128",
    ),
    "12 bits in a TIFF": (encoded(deep("I;16", 4095), "TIFF"), "up to 4095 in 16 bits"),
    "32 bits": (Image.fromarray(np.full((6, 8), 10**6, np.int32)), "to 1000000"),
    "size 0": (Image.new("RGB", (0, 5)), "has no pixels: it is 0×5"),
}  # fmt: skip
closed.close()


@pytest.mark.parametrize("name", REFUSED)
def test_picture_in_doubt_is_an_error_of_one_line(name: str) -> None:
    image, message = REFUSED[name]
    error = error_of(image)
    assert message in error
    if isinstance(image, bytes):
        assert error_of(io.BytesIO(image)) == error


@pytest.mark.parametrize("loaded", [True, False])
def test_closed_variable_is_an_error_of_one_line(tmp_path: Path, loaded: bool) -> None:
    BASE.save(tmp_path / "a.png")
    image = Image.open(tmp_path / "a.png")
    if loaded:
        image = image.copy()
    image.close()
    assert "The image cannot be read (Operation on closed image)" in error_of(image)


def test_truncated_variable_is_an_error_of_one_line() -> None:
    data, _ = REFUSED["truncated"]
    assert "truncated" in error_of(Image.open(io.BytesIO(data)))


def test_variable_stays_as_it_is() -> None:
    image = Image.new("P", SIZE, 1)
    image.putpalette([9, 9, 9, *COLOUR])
    image.info["transparency"] = 1
    before = (image.mode, dict(image.info), image.tobytes())
    as_picture(image)
    assert (image.mode, dict(image.info), image.tobytes()) == before
    assert as_picture(BASE) is not BASE


def test_path_that_is_no_file_is_an_error_of_one_line(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "empty").touch()
    (tmp_path / "file").write_text("x")
    expected = {
        "": "is a folder", "loop": "not a usable path", "empty": "the file is empty",
        "file/x": "No image at", "missing": "No image at", "a\0b": "not a usable path",
        "x" * 300: "not a usable path",
    }  # fmt: skip
    for name, message in expected.items():
        assert message in error_of(tmp_path / name)
    assert "Download it first" in error_of("https://example.org/a.png")
    assert "is a folder" in error_of("")


@pytest.mark.skipif(sys.platform == "win32", reason="has no such files")
def test_pipe_and_device_do_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero", "/dev/null"):
        assert "is a pipe or a device" in error_of(path)


def test_picture_may_be_10_000_pixels_wide() -> None:
    wide = png(8, 2, bytes(COLOUR) * 10_000, size=(10_000, 300))
    picture = as_picture(wide)
    assert picture.size == (10_000, 300)
    assert picture.getpixel((9_999, 299)) == COLOUR


def test_large_transparent_picture_is_composited_in_all_strips() -> None:
    picture = as_picture(Image.new("RGBA", (3000, 1000), (0, 0, 0, 128)))
    assert picture.getextrema() == ((127, 127),) * 3


def test_warnings_of_pillow_are_not_shown() -> None:
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        as_picture(FILES["broken EXIF"][0])
    assert shown == []


def test_replaced_picture_of_a_request_is_converted_and_a_missing_one_is_refused() -> None:
    request = Request.of("a fox", "5b-i2v", image=RGB)
    replaced = dataclasses.replace(request, inputs={"image": RGB[None] / 255}).checked()
    assert near(replaced.image.getpixel((0, 0)), COLOUR)
    with pytest.raises(RequestError, match="needs a first frame"):
        dataclasses.replace(request, inputs={}).checked()
