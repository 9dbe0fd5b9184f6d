"""H.264 in MP4: the default, which plays everywhere."""

from __future__ import annotations

import json
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

from cogmagic._video.formats.base import HEADER_ONLY, Format, Frames, opened
from cogmagic._video.formats.bt709 import Encoding, first_encoder, write_bt709

__all__ = ["MP4"]


_ENCODERS = ("libx264", "libopenh264", "h264_videotoolbox", "h264_nvenc")


class Mp4(Format):
    """H.264, yuv420p."""

    suffix = ".mp4"
    mime = "video/mp4"
    bits_per_pixel = 1
    similar = (".avi", ".mov", ".m4v", ".mpg", ".mpeg", ".mpeg4", ".wmv", ".flv", ".h264", ".mp")

    def check(self, fps: int) -> None:
        """Check that PyAV has an H.264 encoder."""
        del fps
        first_encoder("H.264", _ENCODERS)

    def write(
        self,
        to: Path | BytesIO,
        frames: Frames,
        fps: int,
        metadata: Mapping[str, Any],
    ) -> None:
        """Write the frames; a file on disk begins with its index (faststart)."""
        encoding = Encoding(
            "mp4", first_encoder("H.264", _ENCODERS), {"crf": "17"}, {"movflags": "+faststart"}
        )
        write_bt709(to, frames, fps, metadata, encoding)

    def metadata(self, source: Path | bytes) -> dict[str, Any]:
        """The JSON of the file's comment."""
        import av

        with av.open(opened(source), format="mp4", options=HEADER_ONLY) as file:
            return dict(json.loads(file.metadata["comment"]))


MP4 = Mp4()
