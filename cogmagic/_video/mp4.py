"""H.264 files: written with metadata on how the video was made, and read back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from cogmagic._errors import OutputError

if TYPE_CHECKING:
    import numpy as np
    from av.video.stream import VideoStream

__all__ = ["check_encoder", "read_metadata", "write_mp4"]


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
    """Write uint8 frames (frames × height × width × 3) as H.264, yuv420p.

    A file on disk begins with its index (faststart), so that it plays while it is loaded. The
    metadata goes into the file's ``comment`` as JSON, the prompt into its ``title``.

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
            for frame in frames:
                file.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            file.mux(stream.encode())
    except OSError as error:  # av's errors are OSErrors
        folder = to.parent if isinstance(to, Path) else "memory"
        raise OutputError(f"The video cannot be written to {folder} ({error.strerror}).") from None


def read_metadata(path: Path) -> dict[str, Any]:
    """The metadata of an mp4 that `write_mp4` has written."""
    import av

    with av.open(str(path)) as file:
        return dict(json.loads(file.metadata["comment"]))
