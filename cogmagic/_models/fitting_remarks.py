"""What fitting an input to a request's size has done to it, in words."""

from __future__ import annotations

from cogmagic._models.fitting import cut_off
from cogmagic._models.request import Request

__all__ = ["cut_text", "stretch_warning"]


def cut_text(request: Request) -> str:
    """What ``crop`` cuts off the input, for the facts line; empty for nothing."""
    if request.fit != "crop":
        return ""
    cut = _cut(request)
    return cut and f"crop: {cut}"


def stretch_warning(request: Request) -> str:
    """The remark on an input whose proportions ``stretch`` changes; empty for none."""
    if request.fit != "stretch" or not _cut(request):
        return ""
    noun = "first frame" if request.video is None else "video"
    width, height = _source_size(request) or (0, 0)
    return (
        f"the {noun} is {width}x{height} and was stretched to {request.size}; --fit crop keeps its"
        " proportions"
    )


def _cut(request: Request) -> str:
    source = _source_size(request)
    return cut_off(source, (request.width, request.height)) if source else ""


def _source_size(request: Request) -> tuple[int, int] | None:
    """Width and height of the input as it was given, in pixels."""
    if request.video is not None:
        return request.video.size
    width_and_height: tuple[int, int] | None = getattr(request.image, "size", None)
    return width_and_height
