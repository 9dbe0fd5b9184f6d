"""What a request takes in beside text: a first frame."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cogmagic._errors import RequestError


def _as_pil(image: Any) -> Any:
    """An RGB PIL image from a path, a PIL image, or a uint8 array of height × width × 3."""
    import numpy as np
    from PIL import Image, ImageOps

    if isinstance(image, str | Path):
        try:
            with Image.open(Path(image).expanduser()) as opened:
                return ImageOps.exif_transpose(opened).convert("RGB")  # phones turn pictures so
        except FileNotFoundError:
            raise RequestError(f"No image at {image}.") from None
        except (OSError, RuntimeError, ValueError, Image.DecompressionBombError) as error:
            raise RequestError(f"{image} is not an image that Pillow can read ({error}).") from None
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
