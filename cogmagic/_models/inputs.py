"""Inputs of a request beside its text: the first frame of image-to-video models.

To add one (a video, say): a function that checks and converts what a person gives, and an entry in
`INPUTS`. Requests, plans and error messages take it from there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from cogmagic._errors import RequestError

__all__ = ["ANY_INPUT", "INPUTS", "Input", "as_picture", "inputs_of", "placeholders"]


ANY_INPUT = object()
"""Placeholder of an input for a plan, which does not depend on the input's content."""


@dataclass(frozen=True)
class Input:
    """One kind of input: the models that take it, its words, and its conversion."""

    task: str
    """`Model.task` of the models that require it."""
    noun: str
    """What it is, for messages: ``a first frame``."""
    purpose: str
    """What its models do: ``image-to-video``."""
    usage: str
    """What to type in a cell."""
    convert: Callable[[Any], Any]
    """Checks what a person gives and returns what the pipeline takes; raises `RequestError`."""


def as_picture(image: Any) -> Any:
    """An RGB ``PIL.Image.Image``, rotated by its EXIF orientation.

    Args:
        image: a path, the bytes of an image file, a PIL image, or a uint8 array of height × width
            × 3.

    Raises:
        RequestError: for anything else, and for files that are missing or unreadable.
    """
    import numpy as np
    from PIL import Image, ImageOps

    if isinstance(image, str | Path | bytes):
        shown = "The uploaded file" if isinstance(image, bytes) else image
        try:
            file = BytesIO(image) if isinstance(image, bytes) else Path(image).expanduser()
            with Image.open(file) as opened:
                return ImageOps.exif_transpose(opened).convert("RGB")
        except FileNotFoundError:
            raise RequestError(f"No image at {shown}.") from None
        except (OSError, RuntimeError, ValueError, Image.DecompressionBombError) as error:
            raise RequestError(f"{shown} is not an image that Pillow can read ({error}).") from None
    if isinstance(image, Image.Image):
        return ImageOps.exif_transpose(image).convert("RGB")
    if (
        isinstance(image, np.ndarray)
        and image.dtype == np.uint8
        and image.ndim == 3
        and image.shape[2] == 3
        and image.size > 0
    ):
        return Image.fromarray(image)
    raise RequestError(
        "The image must be a path, a PIL image or a uint8 array of height × width × 3,"
        f" not {type(image).__name__}."
    )


INPUTS: dict[str, Input] = {
    "image": Input(
        task="i2v",
        noun="a first frame",
        purpose="image-to-video",
        usage="--image PATH or the name of a variable",
        convert=as_picture,
    ),
}
"""Every input, by the name of its keyword and, with ``--``, of the cell's option."""


def inputs_of(task: str) -> dict[str, Input]:
    """The inputs that models of a task take, by name."""
    return {name: one for name, one in INPUTS.items() if one.task == task}


def placeholders(task: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """`ANY_INPUT` for every input that models of a task take and `options` lack."""
    return {name: ANY_INPUT for name in inputs_of(task) if options.get(name) is None}
