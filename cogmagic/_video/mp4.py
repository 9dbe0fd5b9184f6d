"""H.264 files: written with metadata on how the video was made, and read back."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from cogmagic._errors import OutputError, first_line

if TYPE_CHECKING:
    import numpy as np
    from av import VideoFrame
    from av.video.codeccontext import VideoCodecContext
    from av.video.stream import VideoStream

__all__ = ["check_encoder", "read_metadata", "readable", "write_mp4"]


_ENCODERS = ("libx264", "libopenh264", "h264_videotoolbox", "h264_nvenc")


def check_encoder() -> str:
    """The name of an H.264 encoder of this PyAV build.

    Raises:
        OutputError: without one.
    """
    import av

    for name in _ENCODERS:
        if name in av.codecs_available:
            return name
    raise OutputError(
        "No H.264 encoder in this PyAV build. Install one that has it:"
        " pip install --force-reinstall --only-binary=:all: av"
    )


def write_mp4(
    to: Path | BytesIO, frames: np.ndarray[Any, Any], fps: int, metadata: Mapping[str, Any]
) -> None:
    """Write uint8 RGB frames (frames × height × width × 3) as H.264, yuv420p.

    Every size is converted to BT.709 in limited range, and tagged as such. A file on disk begins
    with its index (faststart), so that it plays while it is loaded. The metadata goes into the
    file's ``comment`` as JSON, the prompt into its ``title``.

    Raises:
        OutputError: when the disk is full or the file cannot be written.
    """
    import av

    target: Any = str(to) if isinstance(to, Path) else to
    # For faststart FFmpeg opens the file a second time, which does not work in memory.
    options = {"movflags": "+faststart"} if isinstance(to, Path) else {}
    try:
        with av.open(target, "w", format="mp4", options=options) as file:
            file.metadata["title"] = str(metadata.get("prompt", "")).replace("\0", "")[:200]
            file.metadata["comment"] = json.dumps(metadata, ensure_ascii=False, default=str)
            stream = cast("VideoStream", file.add_stream(check_encoder(), rate=fps))
            stream.height, stream.width = frames.shape[1], frames.shape[2]
            stream.pix_fmt = "yuv420p"
            stream.options = {"crf": "17"}
            _tag_bt709(stream.codec_context)
            for frame in frames:
                file.mux(stream.encode(_bt709(frame)))
            file.mux(stream.encode())
    except OSError as error:  # av's errors are OSErrors
        folder = to.parent if isinstance(to, Path) else "memory"
        raise OutputError(f"The video cannot be written to {folder} ({error.strerror}).") from None


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


def read_metadata(path: Path) -> dict[str, Any]:
    """The metadata of an mp4 that `write_mp4` has written.

    Raises:
        OutputError: for any other file.
    """
    import av

    with readable(path), av.open(str(path)) as file:
        return dict(json.loads(file.metadata["comment"]))


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Report in one line what libav raises for a damaged video, or one that is not cogmagic's."""
    try:
        yield
    except Exception as error:  # of many types
        raise OutputError(
            f"{path} cannot be read as a video made by cogmagic ({first_line(error)})."
            " Generate it or copy it again."
        ) from None
