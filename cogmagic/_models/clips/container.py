"""Video files as PyAV opens them, and their decoders."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from cogmagic._errors import RequestError, first_line
from cogmagic._models.clips.cut_files import missing_bytes

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.codeccontext import VideoCodecContext
    from av.video.stream import VideoStream

__all__ = ["CONVERT", "decoder_of", "is_avi", "opened", "truncation_error"]


CONVERT = "Convert it: ffmpeg -i IN -c:v libx264 OUT.mp4"

_TEXT_ART = frozenset({"tty", "bin", "xbin", "adf", "idf"})
"""Formats under which FFmpeg reads any text as a picture of its letters."""

_THREADS = 4
"""Most threads of a decoder, each of which has frames of its own in memory."""


@contextmanager
def opened(source: Path | bytes, shown: str) -> Iterator[tuple[InputContainer, VideoStream]]:
    """A file and its video stream. Nothing is read from the network, not even for a playlist.

    Raises:
        RequestError: for a file that is not a video, is cut off, or has sound only.
    """
    import av

    # with the prefix, no name is taken for a URL
    file: Any = BytesIO(source) if isinstance(source, bytes) else f"file:{source.absolute()}"
    options = {"protocol_whitelist": "file"}
    try:
        container = av.open(file, "r", options=options, metadata_errors="replace")
    except Exception as error:  # of many types
        raise truncation_error(source, shown) or RequestError(
            f"{shown} cannot be read as a video ({_reason(error)}). {CONVERT}"
        ) from None
    with container:
        try:
            stream = _video_stream(container, shown)
        except RequestError as error:
            raise truncation_error(source, shown) or error from None
        if not is_avi(container):  # with threads, its frames have other packets' times
            stream.thread_type = "AUTO"
        stream.codec_context.thread_count = _THREADS
        yield container, stream


def _video_stream(container: InputContainer, shown: str) -> VideoStream:
    """The video of a file: neither a cover nor a picture of text."""
    from av.stream import Disposition

    kind = container.format.name.split(",")[0]
    videos = list(container.streams.video)
    streams = [s for s in videos if not s.disposition & Disposition.attached_pic]
    if streams and kind not in _TEXT_ART:
        stream = max(streams, key=_rank)
        if cast("Any", stream.codec_context) is None:
            raise RequestError(f"{shown} has a video without a decoder in PyAV ({kind}). {CONVERT}")
        return stream
    if container.streams.audio:
        cover = " and a cover picture" if videos else ""
        raise RequestError(f"{shown} has sound{cover}, but no video ({kind}). Name a video file.")
    raise RequestError(f"{shown} is not a video ({kind}). Name a video file, such as clip.mp4.")


def _rank(stream: VideoStream) -> tuple[bool, int]:
    """Order of preference: the file's default stream, then the largest."""
    from av.stream import Disposition

    context = cast("VideoCodecContext | None", stream.codec_context)
    pixels = context.width * context.height if context else 0
    return bool(stream.disposition & Disposition.default), pixels


def is_avi(container: InputContainer) -> bool:
    """Whether it is an AVI, which stores the order of decoding alone."""
    return container.format.name == "avi"


def decoder_of(stream: VideoStream) -> VideoCodecContext:
    """The stream's decoder; for VP8 and VP9 with transparency libvpx's, as FFmpeg's omit it."""
    import av

    own = stream.codec_context
    name = {"vp8": "libvpx", "vp9": "libvpx-vp9"}.get(own.name)
    if name is None or stream.metadata.get("alpha_mode") != "1":
        return own
    try:
        decoder = cast("VideoCodecContext", av.CodecContext.create(name, "r"))
    except Exception:  # a build of PyAV without it
        return own
    decoder.extradata = own.extradata
    return decoder


def truncation_error(source: Path | bytes, shown: str) -> RequestError | None:
    """The error of a file that ends too soon; None for a complete one."""
    missing = missing_bytes(source)
    if not missing:
        return None
    return RequestError(f"{shown} is cut off: {missing}. Copy or download it again.")


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or first_line(error)
