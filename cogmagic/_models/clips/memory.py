"""Frames in memory: lists of pictures, arrays and tensors, and what diffusers' pipelines return."""

from __future__ import annotations

import os
from collections.abc import Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any

from cogmagic._errors import RequestError
from cogmagic._models.pictures.arrays import CHANNELS, as_numpy, is_array, levels
from cogmagic._models.pictures.colours import in_rgb
from cogmagic._models.pictures.picture import as_picture

if TYPE_CHECKING:
    from cogmagic._models.pictures.arrays import Array

__all__ = ["are_frames", "stacked"]


_LAYOUT = "a clip is frames × height × width × 3 (or frames × 3 × height × width)"


def are_frames(value: object) -> bool:
    """Whether `value` is a sequence of frames, an array or a tensor."""
    return is_array(value) and not isinstance(value, memoryview)


def stacked(value: Any, shown: str) -> Array:
    """Frames in memory as uint8 RGB: frames × height × width × 3, with white where transparent.

    Floats are from 0 (black) to 1 (white); bools and integers are as in `levels`. The clip may be
    the only one of a batch. An array of uint8 without transparency is not copied.

    Raises:
        RequestError: for other shapes and ranges, and for frames of several sizes.
    """
    if isinstance(value, list | tuple):
        items = _only_clip(value, shown)
        if items and any(_is_picture(item) for item in items):
            return _stacked_pictures(items)
        if items and all(is_array(item) and not isinstance(item, list | tuple) for item in items):
            arrays, tensors = zip(*(as_numpy(item, shown) for item in items), strict=True)
            return _in_rgb(_stack(arrays), any(tensors), shown)
        odd = next((i for i in items if not is_array(i) and not isinstance(i, Real)), items)
        if odd is not items:
            raise RequestError(
                f"{shown} is a list with {type(odd).__name__} in it. Pass PIL images, arrays or the"
                " paths of pictures."
            )
        value = items
    array, tensor = as_numpy(value, shown)
    return _in_rgb(array, tensor, shown)


def _is_picture(item: object) -> bool:
    from PIL import Image

    return isinstance(item, Image.Image | str | os.PathLike | bytes)


def _only_clip(value: Sequence[Any], shown: str) -> Sequence[Any]:
    """The frames of a batch of one clip, as diffusers returns it: ``[[image, image]]``."""
    first: Any = value[0] if value else None
    nested = isinstance(first, list | tuple) and any(_is_picture(item) for item in first)
    if not nested and getattr(first, "ndim", 0) != 4:
        return value
    if len(value) > 1:
        raise RequestError(f"{shown} has {len(value)} clips. Pass one, such as video[0].")
    return first if nested else value


def _stacked_pictures(items: Sequence[Any]) -> Array:
    import numpy as np

    result = np.empty(0, np.uint8)
    for number, item in enumerate(items, 1):
        try:
            picture = np.asarray(as_picture(item))
        except RequestError as error:
            raise RequestError(f"Frame {number}: {error}") from None
        if number == 1:
            result = np.empty((len(items), *picture.shape), np.uint8)
        _check_shape(picture, number, result[0])
        result[number - 1] = picture
    return result


def _stack(arrays: Sequence[Array]) -> Array:
    import numpy as np

    for number, array in enumerate(arrays, 1):
        _check_shape(array, number, arrays[0])
    return np.stack(arrays)


def _check_shape(frame: Array, number: int, first: Array) -> None:
    if frame.shape != first.shape:
        sizes = [" × ".join(map(str, a.shape)) for a in (first, frame)]
        raise RequestError(
            f"Frame 1 is {sizes[0]}, but frame {number} is {sizes[1]} (height × width × channels)."
            " Make all frames of one size."
        )


def _in_rgb(array: Array, tensor: bool, shown: str) -> Array:
    """Numbers of any legal layout and range as uint8 RGB."""
    import numpy as np
    from PIL import Image

    frames = levels(_channels_last(array, tensor, shown), shown)
    channels = frames.shape[-1]
    if channels == 3:
        return frames
    if channels == 1:
        return np.broadcast_to(frames, (*frames.shape[:3], 3))
    result = np.empty((*frames.shape[:3], 3), np.uint8)
    for number, frame in enumerate(frames):
        result[number] = np.asarray(in_rgb(Image.fromarray(frame), shown, own=True))
    return result


def _channels_last(array: Array, tensor: bool, shown: str) -> Array:
    import numpy as np

    shape = array.shape
    if array.dtype.kind not in "biuf":
        raise RequestError(
            f"{shown} has dtype {array.dtype}, which is not bool, integer or float. Convert it:"
            " np.asarray(frames, dtype='uint8') for values from 0 to 255."
        )
    if array.ndim == 5:
        if shape[0] != 1:
            raise RequestError(
                f"{shown} has {shape[0]} clips (shape {shape}). Pass one, such as video[0]."
            )
        array = array[0]
    if 0 in shape:
        raise RequestError(f"{shown} has no frames or no pixels: its shape is {shape}.")
    first, last = (array.ndim == 4 and array.shape[axis] in CHANNELS for axis in (1, -1))
    if tensor and first and last:
        raise RequestError(
            f"{shown} has shape {shape}: channels could be second or last. Pass video.numpy() with"
            " channels last."
        )
    if last:
        return array
    if first:
        return np.moveaxis(array, 1, -1)
    raise RequestError(f"{shown} has shape {shape}, but {_LAYOUT}.{_advice(shape, tensor)}")


def _advice(shape: tuple[int, ...], tensor: bool) -> str:
    """How a clip of another layout is passed; empty for what may be no clip."""
    if len(shape) == 3 and (shape[0] in CHANNELS or shape[-1] in CHANNELS):
        return " For one picture, the first frame of image-to-video: --image PATH."
    if len(shape) == 3:
        return " If its frames are grey, pass video[..., None]."
    if len(shape) in (4, 5) and shape[-4] in CHANNELS:
        one = "video" if len(shape) == 4 else "video[0]"
        moved = f"{one}.movedim(0, -1)" if tensor else f"np.moveaxis({one}, 0, -1)"
        return f" Its channels are first: pass {moved}."
    return ""
