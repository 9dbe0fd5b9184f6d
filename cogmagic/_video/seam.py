"""The seam between a clip and the frames that go on from it: colours, details, and the overlap."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

__all__ = ["cross_fade", "fade_difference", "match_colours", "match_seam"]


_BLOCK = 8
"""Pixels of a block, each way. Means of blocks do not depend on how sharp the frames are."""

_LEAST_CONTRAST = 8.0
"""Levels: a channel with less contrast is shifted rather than stretched."""

_MOST_GAIN, _MOST_SHIFT = 1.1, 16.0
"""Limits of the correction, for a model whose first frame is another picture."""


_FADED_FRAMES, _MOST_FADED = 4, 8.0
"""Frames over which the difference of the first one fades, and its limit in levels: the edges of
something that moves would stay behind as a shadow."""


def match_seam(frames: Array, overlap: Array) -> None:
    """Let new frames go on from a clip without a visible seam.

    Args:
        frames: uint8 RGB, frames × height × width × 3, of which the first repeats the overlap's
            first; changed in place.
        overlap: the clip's last frames, fewer than `frames`.
    """
    match_colours(frames, overlap[0])
    fade_difference(frames, overlap[0])
    cross_fade(frames, overlap)


def match_colours(frames: Array, picture: Array) -> None:
    """Give new frames the brightness and the contrast of the picture that the first one repeats.

    A model returns its first frame through the VAE, with slightly other colours, and the frames
    after it have the same offset. So each channel's mean and standard deviation in the first frame
    become those of the picture, and all frames get the same correction.

    Args:
        frames: uint8 RGB, frames × height × width × 3; changed in place.
        picture: uint8 RGB, height × width × 3.
    """
    import numpy as np

    levels = np.arange(256)
    ours, theirs = _block_means(frames[0]), _block_means(picture)
    for channel in range(3):
        one, other = ours[:, channel], theirs[:, channel]
        gain = np.hypot(other.std(), _LEAST_CONTRAST) / np.hypot(one.std(), _LEAST_CONTRAST)
        gain = np.clip(gain, 1 / _MOST_GAIN, _MOST_GAIN)
        shift = np.clip(other.mean() - one.mean(), -_MOST_SHIFT, _MOST_SHIFT)
        table = (levels - one.mean()) * gain + one.mean() + shift
        table = table.round().clip(0, 255).astype(np.uint8)
        for frame in frames:
            frame[..., channel] = table[frame[..., channel]]


def _block_means(frame: Array) -> Array:
    """Means of blocks of pixels: blocks × 3."""
    height, width = (side // _BLOCK for side in frame.shape[:2])
    whole = frame[: height * _BLOCK, : width * _BLOCK].astype(float)
    means: Array = whole.reshape(height, _BLOCK, width, _BLOCK, 3).mean(axis=(1, 3))
    return means.reshape(-1, 3)


def fade_difference(frames: Array, picture: Array) -> None:
    """Let the difference between the first of the new frames and the picture fade in the next ones.

    A model does not return its first frame exactly: stains and grain that it leaves out would
    vanish from one frame to the next.

    Args:
        frames: uint8 RGB, frames × height × width × 3; changed in place.
        picture: uint8 RGB, height × width × 3, which the first frame repeats.
    """
    import numpy as np

    difference = picture.astype(np.float32) - frames[0]
    difference = difference.clip(-_MOST_FADED, _MOST_FADED)
    for n, frame in enumerate(frames[:_FADED_FRAMES]):
        frame[:] = (frame + difference * (1 - n / _FADED_FRAMES)).round().clip(0, 255)


def cross_fade(frames: Array, overlap: Array) -> None:
    """Fade the clip's last frames into the first of the new ones, which show the same moments.

    The first stays the clip's, and the first after the overlap is the new clip's own.

    Args:
        frames: uint8 RGB, frames × height × width × 3; changed in place.
        overlap: the clip's last frames, fewer than `frames`.
    """
    import numpy as np

    for n, old in enumerate(overlap):
        share = n / len(overlap)
        frames[n] = np.rint((1 - share) * old + share * frames[n])
