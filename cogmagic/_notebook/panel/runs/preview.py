"""The preview of a video while it forms."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

__all__ = ["animated"]


def animated(frames: np.ndarray[Any, Any], fps: int, width: int = 240) -> bytes:
    """Small frames (uint8, frames × height × width × 3) as an animated WebP, enlarged."""
    from PIL import Image

    height = max(round(width * frames.shape[1] / frames.shape[2]), 1)
    smooth = Image.Resampling.BILINEAR
    pictures = [Image.fromarray(frame).resize((width, height), smooth) for frame in frames]
    out = BytesIO()
    pictures[0].save(
        out, "WEBP", save_all=True, append_images=pictures[1:], duration=4000 // fps, loop=0,
        quality=60, method=0,
    )  # fmt: skip
    return out.getvalue()
