"""Videos written to MP4 and read back."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from cogmagic import Video
from cogmagic._video.formats.mp4 import MP4
from cogmagic._video.formats.registry import read_metadata
from tests.helpers.colours import COLOURS, SIZES, TOLERANCE, centres, clip_of, patches

BT709 = {"colorspace": 1, "color_primaries": 1, "color_trc": 1, "color_range": 1}
"""Matrix, primaries and transfer by ISO/IEC 23091-2; the range is FFmpeg's limited one."""


def test_file_is_h264_yuv420p_with_faststart(video: Video) -> None:
    with av.open(str(video.path)) as file:
        stream = file.streams.video[0]
        assert (stream.codec.name, stream.format.name) == ("h264", "yuv420p")
        assert (stream.width, stream.height, stream.average_rate) == (96, 64, 8)
    data = video.path.read_bytes()
    assert 0 < data.find(b"moov") < data.find(b"mdat")


def test_frames_are_encoded_in_threads_without_slices(video: Video) -> None:
    settings = video.path.read_bytes().split(b"x264 - core")[1][:1000]  # as x264 writes them
    assert b"sliced_threads=0" in settings


def test_decoded_frames_are_close_to_the_originals(video: Video, frames: np.ndarray) -> None:
    back = video.frames()
    assert (back.shape, back.dtype) == ((9, 64, 96, 3), np.uint8)
    assert np.abs(back.astype(int) - frames).mean() < 6  # colours are stored at half resolution


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_stream_and_container_are_tagged_bt709(tmp_path: Path, width: int, height: int) -> None:
    path, memory = tmp_path / "a.mp4", BytesIO()
    for target in (path, memory):
        MP4.write(target, patches(width, height), 8, {})
    for data in (path.read_bytes(), memory.getvalue()):
        # Primaries, transfer and matrix in 16 bits each, then the bit of the full range.
        assert data.count(b"colr") == 1
        assert data.split(b"colr")[1][:11] == b"nclx" + bytes([0, 1, 0, 1, 0, 1, 0])
        with av.open(BytesIO(data)) as file:
            assert _tags(file.streams.video[0].codec_context) == BT709
            assert all(_tags(frame) == BT709 for frame in file.decode(video=0))
        assert _tags(_frame_without_container(data)) == BT709


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_planes_follow_the_formula_of_bt709(tmp_path: Path, width: int, height: int) -> None:
    MP4.write(tmp_path / "a.mp4", patches(width, height), 8, {})
    with av.open(str(tmp_path / "a.mp4")) as file:
        frame = list(file.decode(video=0))[1]
    red, green, blue = COLOURS.T / 255
    luma = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    expected = (
        16 + 219 * luma,
        128 + 224 * (blue - luma) / (2 * (1 - 0.0722)),
        128 + 224 * (red - luma) / (2 * (1 - 0.2126)),
    )
    for plane, values in zip(frame.planes, expected, strict=True):
        samples = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
        assert np.abs(centres(samples[:, : plane.width])[:, 0] - values).max() <= 1.5


@pytest.mark.parametrize(("width", "height"), [*SIZES, (16, 16)])  # 16: patches of 2×2 chroma
def test_frames_of_the_file_have_the_colours_that_were_written(
    tmp_path: Path, width: int, height: int
) -> None:
    video = clip_of(tmp_path / "a.mp4", patches(width, height))
    for frame in video.frames():
        assert np.abs(centres(frame).astype(int) - COLOURS).max() <= TOLERANCE


def _tags(tagged: Any) -> dict[str, int]:
    return {name: int(getattr(tagged, name)) for name in BT709}


def _frame_without_container(mp4: bytes) -> av.VideoFrame:
    """The first frame of the bare H.264 stream, whose tags are those of the encoder."""
    bare = BytesIO()
    with av.open(BytesIO(mp4)) as file, av.open(bare, "w", format="h264") as copy:
        stream = copy.add_stream_from_template(file.streams.video[0])
        for packet in file.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                copy.mux(packet)
    with av.open(BytesIO(bare.getvalue()), format="h264") as file:
        return next(file.decode(video=0))


def test_metadata_is_read_back_from_the_file(tmp_path: Path, frames: np.ndarray) -> None:
    prompt = 'quote " backslash \\ emoji 🦊 nul \0 newline \n عربي <script>'
    MP4.write(tmp_path / "a.mp4", frames, 8, {"prompt": prompt, "seed": 2**64 - 1})
    assert read_metadata(tmp_path / "a.mp4") == {"prompt": prompt, "seed": 2**64 - 1}
