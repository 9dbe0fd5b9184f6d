"""Decoded frames as upright RGB pictures: matrix, range, transparency, HDR and fields."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from cogmagic._errors import RequestError
from cogmagic._models.clips.container import CONVERT
from cogmagic._models.clips.file_frames import TimedFrame
from cogmagic._models.clips.header import Header

if TYPE_CHECKING:
    from av import VideoFrame
    from av.filter import Graph
    from PIL import Image

__all__ = ["Upright", "deinterlaced"]


_HD_ROWS = 720
"""Rows from which players take video without a colour tag for BT.709, and below for BT.601."""

_UNSPECIFIED, _BT2020 = 2, 9
"""The numbers of no colour matrix, and of BT.2020's primaries."""

_HDR = frozenset((16, 18))
"""The numbers of the transfer functions PQ and HLG."""


class Upright:
    """Conversion of a clip's decoded frames to pictures. Its first HDR frame takes seconds."""

    def __init__(self, header: Header) -> None:
        from av.video.reformatter import VideoReformatter

        self._header = header
        self._reformatter = VideoReformatter()  # has the table of colours for HDR

    def picture(self, frame: VideoFrame) -> Image.Image:
        """A frame in 8-bit RGB, with square pixels, upright, on white."""
        from PIL import Image

        parts = frame.format.components
        transparent = frame.format.has_palette or any(part.is_alpha for part in parts)
        rgb = self._converted(frame, "rgba" if transparent else "rgb24")
        picture = Image.fromarray(rgb.to_ndarray())
        if transparent:
            white = Image.new("RGBA", picture.size, "white")
            picture = Image.alpha_composite(white, picture).convert("RGB")
        if self._header.transpose is None:
            return picture
        return picture.transpose(Image.Transpose(self._header.transpose))

    def _converted(self, frame: VideoFrame, pixels: str) -> VideoFrame:
        """The frame in RGB, every chroma sample interpolated; HDR and wide colours in BT.709."""
        import av
        from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc
        from av.video.reformatter import Interpolation as By

        common: dict[str, Any] = {
            "width": max(round(frame.width * self._header.pixel_aspect), 1),
            "format": pixels,
            "dst_color_range": ColorRange.JPEG,
            "interpolation": By.BICUBIC | By.ACCURATE_RND | By.FULL_CHR_H_INT,
        }
        hd = frame.height >= _HD_ROWS
        usual: dict[str, Any] = {"src_colorspace": Colorspace.ITU709 if hd else Colorspace.ITU601}
        bt709: dict[str, Any] = {
            "dst_color_trc": ColorTrc.BT709,
            "dst_color_primaries": ColorPrimaries.BT709,
        }
        attempts: list[dict[str, Any]] = [{}, usual]  # the latter for a tag of no meaning
        if frame.colorspace == _UNSPECIFIED and not frame.format.is_rgb:
            attempts = [usual]
        if frame.color_trc in _HDR or frame.color_primaries == _BT2020:
            attempts.insert(0, bt709)
        for options in attempts:
            with suppress(av.error.FFmpegError):
                return self._reformatter.reformat(frame, **common, **options)
        raise RequestError(
            f"PyAV cannot convert the clip's frames, which are {frame.format.name}. {CONVERT}"
        )


def deinterlaced(frames: Iterable[TimedFrame]) -> Iterator[TimedFrame]:
    """The frames, from the first interlaced one on through FFmpeg's ``bwdif``, one for one."""
    graph, layout = None, None
    waiting: deque[tuple[Fraction, Fraction]] = deque()
    for time, duration, frame in frames:
        if graph is None and not frame.interlaced_frame:
            yield time, duration, frame
            continue
        own_layout = frame.width, frame.height, frame.format.name
        if graph is None or layout != own_layout:
            if graph is not None:
                yield from _through(graph, None, waiting)
            graph, layout = _bwdif(frame), own_layout
        waiting.append((time, duration))
        yield from _through(graph, frame, waiting)
    if graph is not None:
        yield from _through(graph, None, waiting)


def _bwdif(frame: VideoFrame) -> Graph:
    from av.filter import Graph

    graph = Graph()
    base = frame.time_base or Fraction(1, 1000)
    graph.link_nodes(
        graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=base
        ),
        graph.add("bwdif", "mode=send_frame:deint=interlaced"),
        graph.add("buffersink"),
    ).configure()
    return graph


def _through(
    graph: Graph, frame: VideoFrame | None, waiting: deque[tuple[Fraction, Fraction]]
) -> Iterator[TimedFrame]:
    """Put one frame in (None at the end), and take out those that are ready, with their times."""
    import av

    graph.vpush(frame)
    while waiting:
        try:
            ready = graph.vpull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
        yield *waiting.popleft(), ready
