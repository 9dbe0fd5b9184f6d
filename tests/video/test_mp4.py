"""Videos written to MP4 and read back."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np

from cogmagic import Video
from cogmagic._video.mp4 import read_metadata, write_mp4


def test_file_is_h264_yuv420p_with_faststart(video: Video) -> None:
    with av.open(str(video.path)) as file:
        stream = file.streams.video[0]
        assert (stream.codec.name, stream.format.name) == ("h264", "yuv420p")
        assert (stream.width, stream.height, stream.average_rate) == (96, 64, 8)
    data = video.path.read_bytes()
    assert 0 < data.find(b"moov") < data.find(b"mdat")


def test_decoded_frames_are_close_to_the_originals(video: Video, frames: np.ndarray) -> None:
    back = video.frames()
    assert (back.shape, back.dtype) == ((9, 64, 96, 3), np.uint8)
    assert np.abs(back.astype(int) - frames).mean() < 6  # colours are stored at half resolution


def test_metadata_is_read_back_from_the_file(tmp_path: Path, frames: np.ndarray) -> None:
    prompt = 'quote " backslash \\ emoji 🦊 nul \0 newline \n عربي <script>'
    write_mp4(tmp_path / "a.mp4", frames, 8, {"prompt": prompt, "seed": 2**64 - 1})
    assert read_metadata(tmp_path / "a.mp4") == {"prompt": prompt, "seed": 2**64 - 1}
