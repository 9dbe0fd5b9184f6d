"""An input that was fitted to a request's size: what is left of it, and remarks."""

from __future__ import annotations

from cogmagic._models.fitting import Part, cut_off, padded_part
from cogmagic._models.request import Request

__all__ = ["cut_text", "mask_text", "part_without_bars", "stretch_warning"]


def part_without_bars(request: Request) -> Part | None:
    """The part of the frames that the video has in the end; None for all of it.

    A masked video that ``pad`` has given bars loses them again.
    """
    if request.fit != "pad" or request.mask is None or request.video is None:
        return None
    size = request.width, request.height
    part = padded_part(request.video.size, size).even(size)
    return None if part == (0, 0, *size) else part


def cut_text(request: Request) -> str:
    """What is cut off the input, or of its bars, for the facts line; empty for nothing."""
    if part_without_bars(request):
        return "pad: bars cut off"
    if request.fit != "crop":
        return ""
    cut = _cut(request)
    return cut and f"crop: {cut}"


def mask_text(request: Request) -> str:
    """What the mask was taken for, for the facts line; empty without one that has been read."""
    mask = request.mask
    if mask is None or mask.share is None:
        return ""
    white = "made new" if mask.white == "changed" else "kept"
    percent = min(max(round(100 * mask.share), 1), 99)
    return f"mask: white is {white}, {percent}% of the pixels change"


def stretch_warning(request: Request) -> str:
    """The remark on a first or last frame whose proportions ``stretch`` changes; empty for none.

    A clip is stretched only where the person says so.
    """
    if request.fit != "stretch" or request.video or request.extend:
        return ""
    for noun, picture in (("first", request.image), ("last", request.last_image)):
        size: tuple[int, int] | None = getattr(picture, "size", None)
        if size and cut_off(size, (request.width, request.height)):
            return (
                f"the {noun} frame is {size[0]}x{size[1]} and was stretched to {request.size};"
                " --fit crop keeps its proportions"
            )
    return ""


def _cut(request: Request) -> str:
    source = _source_size(request)
    return cut_off(source, (request.width, request.height)) if source else ""


def _source_size(request: Request) -> tuple[int, int] | None:
    """Width and height of the input as it was given, in pixels."""
    if clip := request.video or request.extend:
        return clip.size
    width_and_height: tuple[int, int] | None = getattr(request.image, "size", None)
    return width_and_height
