"""Compressed video by PyAV, converted to BT.709 and tagged as such."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from cogmagic._errors import OutputError
from cogmagic._video.formats.base import Frames, comment, writable

if TYPE_CHECKING:
    import numpy as np
    from av import VideoFrame
    from av.video.codeccontext import VideoCodecContext
    from av.video.stream import VideoStream

__all__ = ["Encoding", "first_encoder", "write_bt709"]


@dataclass(frozen=True)
class Encoding:
    """A container, its encoder, and the options of both."""

    container: str
    encoder: str
    encoder_options: Mapping[str, str] = field(default_factory=dict)
    file_options: Mapping[str, str] = field(default_factory=dict)
    """Those of a container on disk that put its index first, so that it plays while it is loaded.

    FFmpeg rewrites the file for it, which does not work in memory.
    """


def first_encoder(codec: str, names: tuple[str, ...]) -> str:
    """The first of these encoders of `codec` that this PyAV build has.

    Raises:
        OutputError: without one.
    """
    import av

    for name in names:
        if name in av.codecs_available:
            return name
    raise OutputError(
        f"No {codec} encoder in this PyAV build. Install one that has it:"
        " pip install --force-reinstall --only-binary=:all: av"
    )


def write_bt709(
    to: Path | BytesIO,
    frames: Frames,
    fps: int,
    metadata: Mapping[str, Any],
    encoding: Encoding,
) -> None:
    """Write uint8 RGB frames (frames × height × width × 3) in yuv420p.

    Every size is converted to BT.709 in limited range, and tagged as such. The metadata goes into
    the file's ``comment`` as JSON, the prompt into its ``title``.

    Raises:
        OutputError: when the disk is full or the file cannot be written.
    """
    import av

    target: Any = str(to) if isinstance(to, Path) else to
    options = dict(encoding.file_options) if isinstance(to, Path) else {}
    with writable(to), av.open(target, "w", format=encoding.container, options=options) as file:
        file.metadata["title"] = str(metadata.get("prompt", "")).replace("\0", "")[:200]
        file.metadata["comment"] = comment(metadata)
        stream = cast("VideoStream", file.add_stream(encoding.encoder, rate=fps))
        stream.height, stream.width = frames.shape[1], frames.shape[2]
        stream.pix_fmt = "yuv420p"
        stream.options = dict(encoding.encoder_options)
        # Threads by slices, the default, fill fewer cores, and their files are 2 to 8 % larger.
        stream.codec_context.thread_type = "FRAME"
        _tag_bt709(stream.codec_context)
        for frame in frames:
            file.mux(stream.encode(_bt709(frame)))
        file.mux(stream.encode())


def _tag_bt709(context: VideoCodecContext) -> None:
    """Write the colour tags of `_bt709` into the stream and, through the muxer, the container.

    Players guess the matrix of untagged video from its height: BT.709 from 720 rows on.
    """
    from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc

    context.colorspace, context.color_range = Colorspace.ITU709, ColorRange.MPEG
    context.color_primaries, context.color_trc = ColorPrimaries.BT709, ColorTrc.BT709


def _bt709(frame: np.ndarray[Any, Any]) -> VideoFrame:
    """A frame in yuv420p by BT.709's matrix, in limited range.

    A chroma sample is the average of its 2×2 pixels, so colours do not spread beyond them.
    """
    from av import VideoFrame
    from av.video.reformatter import ColorRange, Colorspace, Interpolation

    return VideoFrame.from_ndarray(frame, format="rgb24").reformat(
        format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG,
        interpolation=Interpolation.AREA | Interpolation.ACCURATE_RND,
    )  # fmt: skip
