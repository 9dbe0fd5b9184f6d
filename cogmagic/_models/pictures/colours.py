"""A picture's colours: any mode of Pillow, profile and transparency, as 8-bit sRGB on white."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from cogmagic._models.pictures.arrays import levels

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["in_rgb"]


_STRIP = 2**20
"""How many pixels are converted at once."""

_DEEP = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")
"""Pillow's modes of more than 8 bits, all of them grey."""

_SCALED = ("PNG", "PPM", "JPEG2000")
"""Formats in which 65535 is white in a picture of 16 bits. A TIFF may have 12 bits in 16."""

_BITS, _PHOTOMETRIC = 258, 262
"""The TIFF tags for the bits of a number, and for whether 0 is white (0) or black (1)."""

_SAMPLES = bytes(17 * (n >> shift & 15) for n in range(4096) for shift in (8, 4, 0))
"""4096 colours, on which an ICC profile is compared with sRGB."""

_ROUNDING = 2
"""The most by which conversion from sRGB to sRGB changes a colour."""


def in_rgb(image: Image.Image, shown: str, *, own: bool) -> Image.Image:
    """The picture in 8-bit sRGB on white; deeper modes are converted by the rules of `levels`.

    Args:
        image: a loaded picture of any mode.
        shown: what it is, for messages.
        own: whether `image` itself may be returned, if nothing must be converted.

    Raises:
        RequestError: for values out of range.
    """
    from PIL import Image

    if image.mode in _DEEP:
        image = _shallow(image, shown)
    to_srgb = _profile_transform(image)
    if image.mode == "RGB" and to_srgb is None and not image.has_transparency_data:
        return image if own else image.copy()
    transparent = _transparent_colour(image)
    # strip by strip: a large picture then needs no more copies
    result = Image.new("RGB", image.size, "white")
    rows = max(_STRIP // image.width, 1)
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(top + rows, image.height)))
        alpha = None
        if strip.has_transparency_data:
            if transparent is not None:
                strip.info["transparency"] = transparent
            strip = (strip.convert("LA") if strip.mode == "La" else strip).convert("RGBA")
            alpha = strip.getchannel("A")
        result.paste(to_srgb(strip) if to_srgb else strip.convert("RGB"), (0, top), alpha)
    return result


def _shallow(image: Image.Image, shown: str) -> Image.Image:
    """An 8-bit grey picture from a deeper one."""
    import numpy as np
    from PIL import Image

    values = deep = np.asarray(image)
    wide = image.format in _SCALED and image.mode != "F"
    if image.mode == "I" and not wide and 255 < deep.max() <= 65535 and deep.min() >= 0:
        values = deep.astype(np.uint16)  # 16 bits, which this mode also holds
    tags = getattr(image, "tag_v2", {})
    white = 4095 if tags.get(_BITS) == (12,) else 65535 if wide else None
    if values.dtype == np.uint16 and tags.get(_PHOTOMETRIC) == 0:
        values = (white or 65535) - values  # 0 is white, which Pillow inverts up to 8 bits only
    grey = Image.fromarray(levels(values, shown, white))
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        grey.putalpha(Image.fromarray(np.where(deep == transparent, 0, 255).astype(np.uint8)))
    grey.info["icc_profile"] = image.info.get("icc_profile")
    return grey


def _transparent_colour(image: Image.Image) -> Any:
    """The transparency that Pillow stores beside the pixels, in the pixels' own scale; or None.

    For a PNG of 2, 4 or 16 bits, Pillow stores it in the file's scale.
    """
    noted = image.info.get("transparency")
    if isinstance(noted, tuple) and max(noted) > 255:
        return tuple(value >> 8 for value in noted)
    if image.mode == "L" and image.format == "PNG" and isinstance(noted, int) and noted < 16:
        values = {value for value, count in enumerate(image.histogram()) if count}
        for scale in (85, 17):  # 2 and 4 bits
            if noted * scale in values and all(value % scale == 0 for value in values):
                return noted * scale
    return noted


def _profile_transform(image: Image.Image) -> Callable[[Image.Image], Image.Image] | None:
    """The conversion of the embedded ICC profile's colours to sRGB.

    None for sRGB itself, so that its colours do not change, and for a missing or invalid profile.
    """
    from PIL import Image, ImageChops, ImageCms

    embedded = image.info.get("icc_profile")
    if not embedded:
        return None
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(embedded))
        mode = {"GRAY": "L", "CMYK": "CMYK", "RGB": "RGB"}[profile.profile.xcolor_space.strip()]
        if not _fits(mode, image.mode):
            return None
        srgb = ImageCms.createProfile("sRGB")
        transform: Any = ImageCms.buildTransform(profile, srgb, mode, "RGB")
        samples = Image.frombytes("RGB", (64, 64), _SAMPLES).convert(mode)
        converted: Any = ImageCms.applyTransform(samples, transform)
        changes = ImageChops.difference(samples.convert("RGB"), converted)
        if max(changes.tobytes()) <= _ROUNDING:
            return None
    except Exception:  # damaged: the picture then counts as sRGB
        return None

    def to_srgb(strip: Image.Image) -> Image.Image:
        return cast("Image.Image", ImageCms.applyTransform(strip.convert(mode), transform))

    return to_srgb


def _fits(profiled: str, mode: str) -> bool:
    """Whether a profile applies to a mode: a converted picture keeps its old mode's profile."""
    if profiled == "L":
        return mode in ("1", "L", "LA", "La")
    return mode == "CMYK" if profiled == "CMYK" else mode not in ("CMYK", "LAB")
