"""VP9 in WebM, or AV1 where PyAV lacks VP9."""

from __future__ import annotations

import json
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

from cogmagic._video.formats.base import HEADER_ONLY, Format, Frames, opened
from cogmagic._video.formats.bt709 import Encoding, first_encoder, write_bt709

__all__ = ["WEBM"]


_ENCODERS = {
    "libvpx-vp9": {"crf": "18", "b": "0", "cpu-used": "4", "row-mt": "1"},
    "libaom-av1": {"crf": "18", "b": "0", "cpu-used": "6", "row-mt": "1"},
    "libsvtav1": {"crf": "18", "preset": "8"},
}
"""Encoder → options. Without VP8: its streams are BT.601 by definition, whatever the tags say."""


class WebM(Format):
    """VP9 or AV1, yuv420p."""

    suffix = ".webm"
    mime = "video/webm"
    bits_per_pixel = 1
    similar = (".mkv", ".ogv", ".ogg", ".vp9", ".av1", ".ivf")

    def check(self, fps: int) -> None:
        """Check that PyAV has an encoder of VP9 or AV1."""
        del fps
        first_encoder("VP9 or AV1", tuple(_ENCODERS))

    def write(
        self,
        to: Path | BytesIO,
        frames: Frames,
        fps: int,
        metadata: Mapping[str, Any],
    ) -> None:
        """Write the frames; a file on disk has its index (cues) before the frames."""
        encoder = first_encoder("VP9 or AV1", tuple(_ENCODERS))
        encoding = Encoding("webm", encoder, _ENCODERS[encoder], {"cues_to_front": "1"})
        write_bt709(to, frames, fps, metadata, encoding)

    def metadata(self, source: Path | bytes) -> dict[str, Any]:
        """The JSON of the file's COMMENT tag; Matroska's tags are in capitals."""
        import av

        with av.open(opened(source), format="webm", options=HEADER_ONLY) as file:
            return dict(json.loads(file.metadata["COMMENT"]))


WEBM = WebM()
