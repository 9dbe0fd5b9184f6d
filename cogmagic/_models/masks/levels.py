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
    from cogmagic._models.pictures.arrays import Array

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
    share: float
    """The share of pixels that are not kept."""


def in_levels(
    pixels: Array, colour: float, shown: str, *, kinds: bool, white: White | None, invert: bool
) -> Levels:
    """A mask's pixels in cogmagic's own levels.

    Args:
        pixels: uint8, frames × height × width, as given; changed in place, as it may be large.
        colour: the mean difference between the largest and the smallest channel of its pixels.
        shown: what messages call the mask.
        kinds: whether the model knows four kinds of pixels (VOID); else a pixel is new or kept.
        white: what white stands for; None to take it from the levels.
        invert: whether it stands for the opposite.

    Raises:
        RequestError: for a photo, and for a mask that selects nothing, or all, or removes nothing.
    """
    import numpy as np

    counts = np.sum([np.bincount(frame.ravel(), minlength=256) for frame in pixels], axis=0)
    _check_is_mask(counts / pixels.size, colour, shown)
    _check_not_numbered(counts, shown)
    if white is None:
        white = "kept" if kinds and _is_quad(pixels, counts) else "changed"
    if invert:
        white = "kept" if white == "changed" else "changed"
    levels = _table(white, kinds)
    selected = int(counts[levels != KEPT].sum())
    _check_selects(selected, pixels.shape, white, shown)
    if kinds and not counts[levels >= OVERLAP].any():
        raise RequestError(
            f"{shown} has none of the pixels that are removed, only grey ones, which are affected."
            " Paint what is to be removed in " + ("white." if white == "changed" else "black.")
        )
    for frame in pixels:
        frame[:] = levels[frame]
    return Levels(pixels, white, selected / int(pixels.size))


def _table(white: White, kinds: bool) -> Array:
    """Cogmagic's level for each of the 256 levels of a mask."""
    import numpy as np

    given = np.arange(256, dtype=np.uint8)
    authors = 255 - given if white == "changed" else given
    if kinds:
        return 255 - snapped(authors)
    return np.where(authors < 128, np.uint8(REMOVED), np.uint8(KEPT))


def snapped(pixels: Array) -> Array:
    """The nearest level of VOID's authors: at most 31 is 0, 95 is 63, 191 is 127; else 255."""
    import numpy as np

    levels = np.array(_AUTHORS_LEVELS, np.uint8)
    return np.asarray(levels[np.digitize(pixels, [_BLACK, 95, 191], right=True)])


def _check_is_mask(shares: Array, colour: float, shown: str) -> None:
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


def _is_quad(pixels: Array, counts: Array) -> bool:
    """Whether VOID's middle levels fill some area of a mask that is mostly white.

    Soft edges pass through these levels, too; and a mask in which the middle levels are on black
    follows the convention that white is changed.
    """
    import numpy as np

    middle = [slice(level - _NEAR, level + _NEAR + 1) for level in _AUTHORS_LEVELS[1:3]]
    most, filled = sum(int(counts[near].sum()) for near in middle), 0
    white, black = counts[192:].sum(), counts[: _BLACK + 1].sum()
    if white <= black or most <= _FILLED * pixels.size:
        return False
    for frame in pixels:
        signed = frame.astype(np.int16)
        here = signed[:-_FLAT_FOR, :-_FLAT_FOR]
        below, right = signed[_FLAT_FOR:, :-_FLAT_FOR], signed[:-_FLAT_FOR, _FLAT_FOR:]
        flat = here[(abs(below - here) <= _FLAT) & (abs(right - here) <= _FLAT)]
        found = np.bincount(flat, minlength=256)
        filled += sum(int(found[near].sum()) for near in middle)
        if filled > _FILLED * pixels.size:
            return True
    return False


def _check_not_numbered(counts: Array, shown: str) -> None:
    """Refuse the masks of segmentation tools, which number objects from 1."""
    brightest = int(counts.nonzero()[0][-1])
    if 0 < brightest <= _BLACK:
        raise RequestError(
            f"The largest value of {shown} is {brightest}, and white is 255. If all above 0 is"
            " to be white, pass an array of bools: np.asarray(mask) > 0."
        )


def _check_selects(selected: int, shape: tuple[int, ...], white: White, shown: str) -> None:
    frames, height, width = shape
    if 0 < selected < frames * height * width:
        return
    stands_for = "made new" if white == "changed" else "kept"
    used = f"{frames} frames of {width}x{height} that are used"
    pixels = f"pixels of the {used} (white is {stands_for})"
    if selected:
        raise RequestError(
            f"{shown} selects all {pixels}, so that nothing of the video would be kept. Give a mask"
            " of a part, or leave out --mask and --video."
        )
    raise RequestError(
        f"{shown} selects none of the {pixels}. Paint the part that is to change, or add"
        " --invert-mask if white stands for the opposite."
    )
