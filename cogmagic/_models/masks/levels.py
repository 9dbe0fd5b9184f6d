"""The levels of a mask's pixels, and what they stand for: pure arithmetic on uint8 arrays.

Inside cogmagic, white is what is made new, whatever the file's convention:

| level | the pixel is |
|---|---|
| 255 | removed, or made new |
| 192 | removed, and affected as well (VOID) |
| 128 | affected by what is removed: its shadow, what it carries (VOID) |
| 0 | kept |

The masks of VOID's authors are 255 minus that, with 0, 63, 127 and 255 (Netflix/void-model,
``videox_fun/utils/utils.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cogmagic._errors import RequestError

if TYPE_CHECKING:
    from cogmagic._models.masks.mask import White
    from cogmagic._models.picture_arrays import Array

__all__ = ["AFFECTED", "KEPT", "OVERLAP", "REMOVED", "Levels", "in_levels", "snapped"]


REMOVED, OVERLAP, AFFECTED, KEPT = 255, 192, 128, 0

_AUTHORS_LEVELS = (0, 63, 127, 255)

_BLACK = 31
"""The brightest level that is black."""

_NEAR = 10
"""How far compression may move a level."""

_MOST_BETWEEN = 0.25
"""The largest share of pixels between the levels: soft edges have some, a photo almost all."""

_FLAT, _FLAT_FOR, _FILLED = 3, 4, 0.0005
"""How alike pixels are in an area, over how many pixels, and the share of them from which areas at
VOID's middle levels make a mask a quad mask. Edges that are softer than that are no areas."""

_MOST_COLOUR = 24
"""The largest mean difference between a pixel's channels."""


@dataclass(frozen=True)
class Levels:
    """A mask in cogmagic's own levels."""

    pixels: Array
    """uint8, frames × height × width."""
    white: White
    """What white stood for in the mask that was given."""

    @property
    def share(self) -> float:
        """The share of pixels that are not kept."""
        return float((self.pixels != KEPT).mean())


def in_levels(
    pixels: Array, colour: float, shown: str, *, kinds: bool, white: White | None, invert: bool
) -> Levels:
    """A mask's pixels in cogmagic's own levels.

    Args:
        pixels: uint8, frames × height × width, as given.
        colour: the mean difference between the largest and the smallest channel of its pixels.
        shown: what messages call the mask.
        kinds: whether the model knows four kinds of pixels (VOID); else a pixel is new or kept.
        white: what white stands for; None to take it from the levels.
        invert: whether it stands for the opposite.

    Raises:
        RequestError: for a photo, and for a mask that selects nothing, or all.
    """
    _check_is_mask(pixels, colour, shown)
    _check_not_numbered(pixels, shown)
    if white is None:
        white = "kept" if kinds and _is_quad(pixels) else "changed"
    if invert:
        white = "kept" if white == "changed" else "changed"
    if white == "changed":
        pixels = 255 - pixels
    pixels = 255 - snapped(pixels) if kinds else (pixels < 128) * pixels.dtype.type(REMOVED)
    result = Levels(pixels, white)
    _check_selects(result, shown)
    return result


def snapped(pixels: Array) -> Array:
    """The nearest level of VOID's authors: at most 31 is 0, 95 is 63, 191 is 127; else 255."""
    import numpy as np

    levels = np.array(_AUTHORS_LEVELS, np.uint8)
    return np.asarray(levels[np.digitize(pixels, [_BLACK, 95, 191], right=True)])


def _histogram(pixels: Array) -> Array:
    """The share of pixels at each of the 256 levels."""
    import numpy as np

    counts = sum(np.bincount(frame.ravel(), minlength=256) for frame in pixels)
    return np.asarray(counts / pixels.size)


def _check_is_mask(pixels: Array, colour: float, shown: str) -> None:
    shares = _histogram(pixels)
    levels = {*_AUTHORS_LEVELS, *(255 - level for level in _AUTHORS_LEVELS)}
    near = {n for level in levels for n in range(level - _NEAR, level + _NEAR + 1)}
    between = sum(float(share) for n, share in enumerate(shares) if n not in near)
    if between > _MOST_BETWEEN:
        why = f"{between:.0%} of its pixels are neither black nor white"
    elif colour > _MOST_COLOUR:
        why = "its pixels have colours"
    else:
        return
    raise RequestError(
        f"{shown} is a picture, not a mask: {why}. Give a mask in black and white, with white where"
        " the video is made new."
    )


def _is_quad(pixels: Array) -> bool:
    """Whether VOID's middle levels fill some area of a mask that is mostly white.

    Soft edges pass through these levels, too; and a mask in which the middle levels are on black
    follows the convention that white is changed.
    """
    import numpy as np

    filled = 0
    for frame in pixels:
        signed = frame.astype(np.int16)
        here = signed[:-_FLAT_FOR, :-_FLAT_FOR]
        below, right = signed[_FLAT_FOR:, :-_FLAT_FOR], signed[:-_FLAT_FOR, _FLAT_FOR:]
        flat = (abs(below - here) <= _FLAT) & (abs(right - here) <= _FLAT)
        for level in (63, 127):
            filled += int(np.count_nonzero(flat & (abs(here - level) <= _NEAR)))
    return filled > _FILLED * pixels.size and bool(
        (pixels > 191).mean() > (pixels <= _BLACK).mean()
    )


def _check_not_numbered(pixels: Array, shown: str) -> None:
    """Refuse the masks of segmentation tools, which number objects from 1."""
    brightest = int(pixels.max())
    if 0 < brightest <= _BLACK:
        raise RequestError(
            f"The largest value of {shown} is {brightest}, and white is 255. If all above 0 is"
            " to be white, pass an array of bools: np.asarray(mask) > 0."
        )


def _check_selects(levels: Levels, shown: str) -> None:
    share = levels.share
    if 0 < share < 1:
        return
    white = "made new" if levels.white == "changed" else "kept"
    frames, height, width = levels.pixels.shape
    pixels = f"pixels of the {frames} frames of {width}x{height} that are used (white is {white})"
    if share:
        raise RequestError(
            f"{shown} selects all {pixels}, so that nothing of the video would be kept. Give a mask"
            " of a part, or leave out --mask and --video."
        )
    raise RequestError(
        f"{shown} selects none of the {pixels}. Paint the part that is to change, or add"
        " --invert-mask if white stands for the opposite."
    )
