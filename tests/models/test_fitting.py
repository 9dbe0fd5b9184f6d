"""Pictures of other sizes: cropped, padded or stretched, with the middle in the middle."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from cogmagic._models.fitting import FITS, cut_off, fitted


def thirds(width: int, height: int) -> Image.Image:
    """Red, green and blue from left to right."""
    picture = Image.new("RGB", (width, height), (0, 255, 0))
    picture.paste((255, 0, 0), (0, 0, width // 3, height))
    picture.paste((0, 0, 255), (width - width // 3, 0, width, height))
    return picture


def colours(picture: Image.Image, row: int) -> list[tuple[int, ...]]:
    """The colours of a row's start, middle and end."""
    return [picture.getpixel((x, row)) for x in (0, picture.width // 2, picture.width - 1)]  # type: ignore[misc]


RED, GREEN, BLUE, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 255), (0, 0, 0)


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("size", [(720, 480), (480, 720), (16, 16), (8, 720), (1, 1)])
@pytest.mark.parametrize("source", [(96, 32), (32, 96), (1, 500), (720, 480)])
def test_every_size_from_every_size(
    fit: str, size: tuple[int, int], source: tuple[int, int]
) -> None:
    white = Image.new("RGB", source, "white")
    result = np.asarray(fitted(white, size, fit))  # type: ignore[arg-type]
    assert result.shape == (size[1], size[0], 3)
    if fit != "pad":
        assert (result == 255).all()
    else:
        rows, columns = (result == 255).all(2).any(1), (result == 255).all(2).any(0)
        for side in (rows, columns):  # the bars on both sides differ by a pixel at most
            assert abs(int(side.argmax()) - int(side[::-1].argmax())) <= 1
        assert rows.all() or columns.all()


def test_each_fit_of_a_wide_picture() -> None:
    wide = thirds(96, 32)
    assert colours(fitted(wide, (32, 32), "crop"), 16) == [GREEN, GREEN, GREEN]
    assert colours(fitted(wide, (32, 32), "stretch"), 16) == [RED, GREEN, BLUE]
    padded = fitted(wide, (32, 32), "pad")
    assert colours(padded, 16) == [RED, GREEN, BLUE]
    assert colours(padded, 0) == colours(padded, 31) == [BLACK, BLACK, BLACK]


def test_stretching_equals_diffusers() -> None:
    from diffusers.video_processor import VideoProcessor

    noise = np.random.default_rng(0).integers(0, 256, (50, 90, 3), np.uint8)
    picture = Image.fromarray(noise)
    processor = VideoProcessor(vae_scale_factor=8)
    theirs = processor.preprocess(picture, height=48, width=72)
    ours = processor.preprocess(fitted(picture, (72, 48), "stretch"), height=48, width=72)
    assert theirs.equal(ours)


def test_a_picture_of_the_size_is_the_same() -> None:
    picture = thirds(32, 16)
    assert all(fitted(picture, (32, 16), fit) is picture for fit in FITS)


@pytest.mark.parametrize(
    ("source", "size", "text"),
    [
        ((1920, 1080), (720, 480), "16 % of the width cut off"),
        ((1080, 1920), (720, 480), "62 % of the height cut off"),
        ((640, 480), (720, 480), "11 % of the height cut off"),
        ((1920, 1080), (1360, 768), "1 % of the width cut off"),
        ((1440, 960), (720, 480), ""),
        ((853, 480), (1280, 720), ""),  # half a pixel
        ((1, 1000), (64, 64), "99 % of the height cut off"),
    ],
)
def test_what_is_cut_off(source: tuple[int, int], size: tuple[int, int], text: str) -> None:
    assert cut_off(source, size) == text
