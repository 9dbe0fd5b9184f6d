"""Arrays, tensors and nested lists as 8-bit pictures: their shapes, dtypes and ranges."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from cogmagic._errors import RequestError, first_line

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

__all__ = ["CHANNELS", "Array", "as_numpy", "channels_last", "is_array", "levels"]


CHANNELS = (1, 2, 3, 4)
"""Grey, grey and alpha, RGB, RGBA."""

_HALF_LEVEL = 0.5 / 255
"""How far a float may be out of range: it still rounds to black or white."""

_DARK = 4095
"""A 16-bit picture that does not exceed this value is more likely one of 8, 10 or 12 bits."""

_AT_ONCE = 2**20
"""How many numbers are converted at once, as float32."""


def is_array(value: object) -> bool:
    """Whether `value` is an array, a tensor, nested lists, or converts itself to an array."""
    protocols = ("__array__", "__array_interface__", "__dlpack__")
    sequence = isinstance(value, list | tuple | memoryview)
    return sequence or any(hasattr(value, name) for name in protocols)


def channels_last(value: Any, shown: str) -> Array:
    """The numbers as height × width × 1 (grey), 2 (grey and alpha), 3 (RGB) or 4 (RGBA).

    The array may be that, height × width, or channels × height × width; one more axis of length 1
    may come first. Where channels could be first or last, an array has them last; a tensor is
    refused.

    Raises:
        RequestError: for other shapes, for values that are not numbers, and for masked pixels.
    """
    import numpy as np

    array, tensor = as_numpy(value, shown)
    if array.dtype.kind not in "biuf":
        raise RequestError(
            f"{shown} has dtype {array.dtype}, which is not bool, integer or float. Convert it:"
            " np.asarray(image, dtype='uint8') for values from 0 to 255."
        )
    shape = array.shape
    if array.ndim == 4:
        if shape[0] != 1:
            raise RequestError(
                f"{shown} has {shape[0]} pictures (shape {shape}). Pass one, such as image[0]."
            )
        array = array[0]
    if array.ndim == 2:
        return array[:, :, None]
    first, last = (array.ndim == 3 and array.shape[axis] in CHANNELS for axis in (0, -1))
    if tensor and first and last:
        raise RequestError(
            f"{shown} has shape {shape}: channels could be first or last. Pass image.numpy() with"
            " channels last."
        )
    if last:
        return array
    if first:
        return np.moveaxis(array, 0, -1)
    raise RequestError(
        f"{shown} has shape {shape}, but must be height × width × 3 (or 1, 2 or 4 channels),"
        " 3 × height × width, or height × width."
    )


def as_numpy(value: Any, shown: str) -> tuple[Array, bool]:
    """`value` as an array, and whether it is a tensor of torch.

    Raises:
        RequestError: for masked pixels, and for what NumPy cannot convert.
    """
    import numpy as np

    torch = sys.modules.get("torch")  # a tensor cannot exist before it is imported
    tensor = torch is not None and isinstance(value, torch.Tensor)
    if np.ma.is_masked(value):
        raise RequestError(f"{shown} has masked pixels. Fill them: image.filled(0).")
    try:
        if tensor:
            value = value.detach().cpu()
            value = value.float() if value.is_floating_point() else value  # bfloat16, float8
            return value.numpy(), True
        return np.asarray(value), False
    except Exception as error:  # of many types: ragged lists, sparse tensors, arrays on a GPU
        raise RequestError(
            f"{shown} cannot be converted to NumPy ({first_line(error)}). Pass an array of numbers."
        ) from None


def levels(values: Array, shown: str, white: int | None = None) -> Array:
    """Numbers as uint8, of the same shape: 0 is black, 255 is white.

    White is True, 1.0, 65535 of uint16, and 255 of all other integers.

    Args:
        values: bools, integers or floats; of three axes or more, the last is the channel's.
        shown: what they are, for messages.
        white: the integer that is white, where that is known.

    Raises:
        RequestError: for numbers out of range, and where the range is in doubt: a picture that is
            not black in uint16 up to 4095, or in other integers up to 1.
    """
    import numpy as np

    kind, size = values.dtype.kind, values.dtype.itemsize
    if kind == "b":
        return np.ascontiguousarray(values, np.uint8) * np.uint8(255)
    if kind == "u" and size == 1:
        if white is None:
            _check_not_bits(values, shown)
        return values
    low, high = float(values.min()), float(values.max())
    if kind == "f":
        _check_floats(values, low, high, shown)
        white = 1
    elif white is None:
        white = 65535 if kind == "u" and size == 2 else 255
        _check_integers(values, low, high, white, shown)
    result = np.empty(values.shape, np.uint8)
    rows = max(_AT_ONCE * len(values) // values.size, 1)
    for top in range(0, len(values), rows):
        part = values[top : top + rows].astype(np.float32)
        result[top : top + rows] = np.rint(part.clip(0, white) * (255 / white))
    return result


def _check_floats(values: Array, low: float, high: float, shown: str) -> None:
    import numpy as np

    if not np.isfinite(low) or not np.isfinite(high):
        count = values.size - int(np.count_nonzero(np.isfinite(values)))
        raise RequestError(
            f"{shown} has NaN or infinity in {count:,} of {values.size:,} values. Replace"
            " them, such as with np.nan_to_num(image)."
        )
    if low >= -_HALF_LEVEL and high <= 1 + _HALF_LEVEL:
        return
    if low >= -0.1 and high <= 1.1:
        advice = "Clip them: np.clip(image, 0, 1)"
    elif low >= -1.1 and high <= 1.1:
        advice = "If black is -1, pass (image + 1) / 2"
    elif low >= 0 and high <= 65535:
        advice = f"Divide them by the value of white, such as {255 if high <= 255 else 65535}"
    else:
        advice = "Scale them to that range"
    raise RequestError(
        f"{shown} has floats from {low:g} to {high:g}, but black is 0 and white is 1. {advice}."
    )


def _check_integers(values: Array, low: float, high: float, white: int, shown: str) -> None:
    if low < 0 or high > white:
        wide = ", or pass uint16, in which white is 65535" if 0 <= low <= high <= 65535 else ""
        raise RequestError(
            f"{shown} has values from {low:.0f} to {high:.0f}, but in {values.dtype} black is 0 and"
            f" white is 255. Scale them to that range{wide}."
        )
    if white == 255:
        _check_not_bits(values, shown)
        return
    brightest = int(_colours(values).max())
    if 0 < brightest <= _DARK:
        raise RequestError(
            f"{shown} has values up to {brightest} in 16 bits, in which white is 65535: almost"
            f" black. If white is {255 if brightest <= 255 else _DARK}, scale them, such as"
            f" np.asarray(image) / {255 if brightest <= 255 else _DARK}."
        )


def _check_not_bits(values: Array, shown: str) -> None:
    """Check that integers in which white is 255 are not all 0 and 1; reads as far as it must."""
    colours = _colours(values)
    brightest = 0
    for part in colours:
        brightest = max(brightest, int(part.max()))
        if brightest > 1:
            return
    if brightest == 1:
        raise RequestError(
            f"{shown} has values from 0 to 1 in {values.dtype}, in which white is 255. If white is"
            " 1, pass np.asarray(image, dtype=bool); if it is 255, pass"
            " Image.fromarray(np.uint8(image))."
        )


def _colours(values: Array) -> Array:
    """The numbers without those of transparency."""
    return values[..., : 3 if values.shape[-1] > 2 else 1] if values.ndim > 2 else values
