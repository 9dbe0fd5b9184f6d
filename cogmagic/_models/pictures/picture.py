"""Pictures from a user: files, Pillow's images in any mode, and arrays, as 8-bit RGB."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from cogmagic._errors import RequestError, first_line
from cogmagic._models.input_files import check_file, existing_path
from cogmagic._models.pictures.arrays import channels_last, is_array, levels
from cogmagic._models.pictures.colours import in_rgb

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["as_picture"]


_MOST_PIXELS = 61_000_000
"""The most pixels of a picture (10000 × 6100), which take 8 bytes each while they are converted."""

_MOST_DEEP_PIXELS = 40_000_000
"""The same in Pillow's modes of 32 bits, ``I`` and ``F``, which take 12 bytes."""

_ORIENTATION = 0x0112
"""The EXIF tag."""

_TRANSPOSES = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}
"""For each EXIF orientation but 1, the ``PIL.Image.Transpose`` that undoes it."""


def as_picture(image: Any) -> Image.Image:
    """An 8-bit RGB ``PIL.Image.Image``, with white where the picture is transparent.

    It is rotated by its EXIF orientation, and its colours are converted to sRGB by its ICC profile.
    Of a file with several frames the first is taken; of a PIL image, the current one.

    Args:
        image: a path; the bytes of an image file, or such a file, open for reading; a PIL image of
            any mode, or a list of one; or an array, a tensor or nested lists, by the rules of
            `channels_last` and `levels`.

    Raises:
        RequestError: for anything else, and for files that are missing or unreadable.
    """
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, about metadata; "error" would raise them
        if isinstance(image, list | tuple) and any(isinstance(one, Image.Image) for one in image):
            image = _only(image)
        if isinstance(image, Image.Image):
            return _converted(image, "The image")
        if isinstance(image, str | os.PathLike):
            return _from_path(image)
        if isinstance(image, bytes | bytearray | memoryview) and memoryview(image).ndim == 1:
            return _from_file(io.BytesIO(image), "The file")
        if hasattr(image, "read"):
            return _from_file(image, "The file")
        if is_array(image):
            return _from_array(image, "The array")
    raise RequestError(
        "The image must be a path, a PIL image, an array or the bytes of an image file,"
        f" not {type(image).__module__}.{type(image).__qualname__}.".replace("builtins.", "")
    )


def _only(images: Sequence[Any]) -> Any:
    """The picture in a list of one, such as a pipeline's output."""
    if len(images) != 1:
        raise RequestError(f"The image is a list of {len(images)} items. Pass one: image[0].")
    return images[0]


def _from_path(given: str | os.PathLike[Any]) -> Image.Image:
    file, shown = existing_path(given, "image")
    check_file(file, shown, "an image")
    with file.open("rb") as opened:
        return _from_file(opened, shown)


def _from_file(file: Any, shown: str) -> Image.Image:
    """The picture in a file that is open for reading, which stays open."""
    from PIL import Image, UnidentifiedImageError

    if isinstance(file, io.TextIOBase):
        raise RequestError(f"{shown} is open as text. Open it with open(path, 'rb').")
    try:
        opened = Image.open(file)
    except UnidentifiedImageError:
        raise RequestError(
            f"{shown} is not an image that Pillow can read. Save it as PNG or JPEG."
        ) from None
    except Image.DecompressionBombError as error:
        raise RequestError(
            f"{shown} is too large ({first_line(error).rstrip('.')}). Shrink it."
        ) from None
    except Exception as error:  # Pillow's readers raise many types for damaged files
        raise _unreadable(shown, error) from None
    with opened:
        return _converted(opened, shown, own=True)


def _unreadable(shown: str, error: Exception) -> RequestError:
    return RequestError(
        f"{shown} cannot be read ({first_line(error).rstrip('.')})."
        " Open it again, or save it again as PNG or JPEG."
    )


def _from_array(value: Any, shown: str) -> Image.Image:
    from PIL import Image

    array = channels_last(value, shown)
    height, width, channels = array.shape
    _check_pixels(width, height, shown)
    bytes_ = levels(array, shown)
    return _converted(Image.fromarray(bytes_[:, :, 0] if channels == 1 else bytes_), shown)


def _check_pixels(width: int, height: int, shown: str, most: int = _MOST_PIXELS) -> None:
    """Check the size of a picture before its pixels are read."""
    if width == 0 or height == 0:
        raise RequestError(f"{shown} has no pixels: it is {width}×{height}. Pass another image.")
    if width * height > most:
        raise RequestError(
            f"{shown} is too large: {width}×{height} are {width * height / 1e6:.0f} million pixels,"
            f" but at most {most / 1e6:.0f} million may be given. Shrink it."
        )


def _converted(image: Image.Image, shown: str, *, own: bool = False) -> Image.Image:
    """An RGB copy of a PIL image, which is only loaded; the image itself if it is our `own`."""
    deep = image.mode in ("I", "F")
    _check_pixels(*image.size, shown, _MOST_DEEP_PIXELS if deep else _MOST_PIXELS)
    if image.format == "EPS":  # Pillow would start Ghostscript
        raise RequestError(f"{shown} is PostScript, not an image. Save it as PNG.")
    try:
        image.load()
        transpose = _transpose(image)
        colours = in_rgb(image, shown, own=own)
    except RequestError:
        raise
    except Exception as error:  # closed, truncated, damaged: of many types
        raise _unreadable(shown, error) from None
    colours.info = {}  # its profile and transparency are those of the original
    return colours if transpose is None else colours.transpose(transpose)


def _transpose(image: Image.Image) -> Image.Transpose | None:
    """The operation that undoes the EXIF orientation of a loaded image."""
    from PIL import Image

    with suppress(Exception):  # a damaged EXIF block
        orientation = image.getexif().get(_ORIENTATION)
        if orientation in _TRANSPOSES:
            return Image.Transpose(_TRANSPOSES[orientation])
    return None
