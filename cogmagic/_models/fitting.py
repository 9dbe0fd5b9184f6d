"""Pictures and frames of other sizes, fitted to a request's width and height."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["FITS", "Fit", "Part", "cut_off", "fitted", "padded_part"]


Fit = Literal["crop", "pad", "stretch"]
"""``crop`` fills the frame and cuts off two edges, ``pad`` adds two black bars, and ``stretch``
changes the aspect."""

FITS: tuple[Fit, ...] = get_args(Fit)

_Size = tuple[int, int]


def fitted(picture: Image.Image, size: _Size, fit: Fit, *, by_area: bool = False) -> Image.Image:
    """A picture of `size` (width, height); the picture itself if it has that size already.

    It is resized once, by Lanczos, as diffusers resizes; ``stretch`` equals what diffusers does.
    ``crop`` and ``pad`` keep the middle in the middle.

    Args:
        picture: RGB.
        size: width and height of the result.
        fit: how another aspect is fitted.
        by_area: whether pixels are averaged instead, as masks are, which have no values between.
    """
    from PIL import Image

    if picture.size == size:
        return picture
    how = Image.Resampling.BOX if by_area else Image.Resampling.LANCZOS
    if fit == "stretch":
        return picture.resize(size, how)
    if fit == "crop":
        return picture.resize(size, how, box=_crop_box(picture.size, size))
    part = padded_part(picture.size, size)
    padded = Image.new(picture.mode, size)
    padded.paste(picture.resize((part.width, part.height), how), (part.left, part.top))
    return padded


class Part(NamedTuple):
    """A part of a frame, in pixels."""

    left: int
    top: int
    width: int
    height: int

    @property
    def rows(self) -> slice:
        """Its rows."""
        return slice(self.top, self.top + self.height)

    @property
    def columns(self) -> slice:
        """Its columns."""
        return slice(self.left, self.left + self.width)

    def even(self, size: _Size) -> Part:
        """An even number of its rows and columns, as video formats need; at least two.

        Args:
            size: width and height of the frame.
        """
        width, height = (max(side // 2 * 2, 2) for side in (self.width, self.height))
        return Part(min(self.left, size[0] - width), min(self.top, size[1] - height), width, height)


def padded_part(source_size: _Size, size: _Size) -> Part:
    """Where ``pad`` shows the source in a frame of `size`."""
    width, height = _inner_size(source_size, size)
    return Part((size[0] - width) // 2, (size[1] - height) // 2, width, height)


def cut_off(source_size: _Size, size: _Size) -> str:
    """How much ``crop`` cuts off, for the facts line; empty for less than one pixel."""
    box = _crop_box(source_size, size)
    for side, start, whole in zip(("width", "height"), box[:2], source_size, strict=True):
        if 2 * start >= 1:
            percent = min(max(round(200 * start / whole), 1), 99)
            return f"{percent} % of the {side} cut off"
    return ""


def _crop_box(source_size: _Size, size: _Size) -> tuple[float, float, float, float]:
    """The largest part of the source with the aspect of `size`: left, top, right, bottom."""
    (width, height), (to_width, to_height) = source_size, size
    inner_width = min(width, height * to_width / to_height)
    inner_height = min(height, width * to_height / to_width)
    left, top = (width - inner_width) / 2, (height - inner_height) / 2
    return left, top, width - left, height - top


def _inner_size(source_size: _Size, size: _Size) -> _Size:
    """The largest size with the aspect of the source, inside `size`."""
    (width, height), (to_width, to_height) = source_size, size
    scale = min(to_width / width, to_height / height)
    return (
        min(max(round(width * scale), 1), to_width),
        min(max(round(height * scale), 1), to_height),
    )
