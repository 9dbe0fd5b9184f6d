"""Frames of clips in other codecs and containers: the right ones, upright, in the right colours."""

from __future__ import annotations

import re
from fractions import Fraction
from math import floor
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from cogmagic._models.clips.lengths import frames_at
from cogmagic._video.clip_reader import clip_of, read_frames
from tests.helpers.clips import SIZE, Made, numbered, numbers

NTSC = Fraction(30000, 1001)


CLIPS = [
    Made("h264.mp4", "libx264", rate=24),
    Made("h264.mkv", "libx264", rate=30),
    Made("h264.mov", "libx264", rate=60, count=80),
    Made("h264-b-frames.avi", "libx264", rate=25),
    Made("h264.ts", "libx264", rate=NTSC, container="mpegts"),
    Made("h264.flv", "libx264", rate=12),
    Made("h264-without-times.h264", "libx264", rate=25, container="h264"),
    Made("h264-10-bits.mkv", "libx264", "yuv420p10le", rate=NTSC),
    Made("hevc-10-bits.mp4", "libx265", "yuv420p10le", options={"x265-params": "log-level=none"}),
    Made("vp8.webm", "libvpx", rate=30),
    Made("vp9.webm", "libvpx-vp9", rate=50, count=80),
    Made("av1.mp4", "libsvtav1", options={"preset": "12", "svtav1-params": "lp=1"}),
    Made("mpeg4.avi", "mpeg4", rate=15),
    Made("mjpeg.avi", "mjpeg", "yuvj420p", rate=25),
    Made("prores.mov", "prores_ks", "yuv422p10le", rate=24),
    Made("mpeg2.mpg", "mpeg2video", rate=25),
    Made("wmv2.wmv", "wmv2", rate=30),
    Made("ffv1.mkv", "ffv1", "bgra", rate=30),
    Made("raw.avi", "rawvideo", rate=10),
    Made("animated.gif", "gif", "rgb8", rate=30),
    Made("animated.apng", "apng", "rgba", rate=24),
    Made("animated.webp", "libwebp_anim", rate=10, options={"lossless": "1"}),
]


@pytest.mark.parametrize("made", CLIPS, ids=lambda made: made.name)
@pytest.mark.parametrize("start", [0, 0.5])
def test_the_frames_shown_at_the_times_of_a_request(
    made: Made, start: float, tmp_path: Path
) -> None:
    clip = clip_of(made.at(tmp_path))
    rate = Fraction(made.rate)
    assert clip.size == SIZE
    for fps in (8, made.rate):
        if fps == NTSC:
            continue
        count = frames_at(clip, start=start, fps=fps, most=1000)
        frames = read_frames(clip, start=start, fps=fps, num_frames=count, size=SIZE, fit="crop")
        shown = numbers(frames)
        times = [Fraction(start) + Fraction(n, fps) for n in range(count)]
        # 5 ms before a frame ends, the next one may be taken; a GIF's times are off by up to 5 ms
        assert all(
            floor(t * rate) <= one <= (t + Fraction(1, 100)) * rate
            for one, t in zip(shown, times, strict=True)
        )
        assert count == -(-(made.count / rate - Fraction(start)) * fps // 1)
        if fps == made.rate:
            assert shown == list(range(int(start * fps), made.count))


def read(path: Path, **options: object) -> np.ndarray:
    """Frames of a clip; by default the first two, as they are."""
    clip = clip_of(path)
    defaults = {"start": 0, "fps": 24, "num_frames": 2, "size": clip.size, "fit": "crop"}
    return read_frames(clip, **(defaults | options))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["varies.mkv", "varies.mp4", "varies.mov"])
def test_a_rate_that_varies(name: str, tmp_path: Path) -> None:
    times = [0, 10, 20, 1000, 1040, 3000, 3020, 3040]
    path = Made(name, "libx264", count=len(times), times=times).at(tmp_path)
    assert frames_at(clip_of(path), start=0, fps=2, most=100) == 7  # at 0, 0.5 … 3 s
    assert numbers(read(path, fps=2, num_frames=7)) == [0, 2, 3, 4, 4, 4, 5]
    assert numbers(read(path, start=3, fps=50, num_frames=3)) == [5, 6, 7]


def test_a_stream_that_starts_in_the_middle_and_times_that_go_back(tmp_path: Path) -> None:
    """Recordings of broadcasts are such: a joined file, whose second part has sound as well."""
    made = Made("first.ts", "libx264", count=240, container="mpegts")
    path = made.at(tmp_path)  # longer than FFmpeg looks for streams
    with av.open(str(tmp_path / "second.ts"), "w") as file:
        video = file.add_stream("libx264", rate=24)
        video.width, video.height, video.pix_fmt = *SIZE, "yuv420p"
        audio = file.add_stream("aac", rate=16000)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        silence.rate = 16000
        for _ in range(24):
            file.mux(audio.encode(silence))
            file.mux(video.encode(av.VideoFrame.from_ndarray(numbered(99), "rgb24")))
        file.mux(video.encode())
    path.write_bytes(path.read_bytes() + (tmp_path / "second.ts").read_bytes())
    # the packet at the joint may count as damaged
    assert frames_at(clip_of(path), start=0, fps=24, most=1000) in (239, 240)
    assert numbers(read(path, num_frames=240)) == list(range(240))


def test_the_last_picture_of_an_animation_is_shown_as_long_as_it_says(tmp_path: Path) -> None:
    pictures = [Image.fromarray(numbered(n)) for n in range(3)]
    path = tmp_path / "pause.gif"
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=[100, 200, 1700])
    assert frames_at(clip_of(path), start=0, fps=10, most=100) == 20
    assert numbers(read(path, fps=10, num_frames=20)) == [0, 1, 1] + 17 * [2]


def test_pictures_of_an_animation_without_durations_are_shown_for_a_tenth(tmp_path: Path) -> None:
    pictures = [Image.fromarray(numbered(n)) for n in range(4)]
    path = tmp_path / "still.webp"
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=0, lossless=True)
    assert frames_at(clip_of(path), start=0, fps=10, most=100) == 4
    assert numbers(read(path, fps=10, num_frames=4)) == [0, 1, 2, 3]


def corners(path: Path) -> list[str]:
    """The colours of the first frame's corners, row by row."""
    names = {(1, 0, 0): "red", (0, 1, 0): "green", (0, 0, 1): "blue", (1, 1, 1): "white"}
    frame = read(path)[0]
    values = [frame[y, x] for y in (5, -6) for x in (5, -6)]
    return [names[tuple((value > 127).astype(int))] for value in values]


def four_colours(number: int) -> np.ndarray:
    frame = np.full((48, 64, 3), 255, np.uint8)
    frame[:24, :32], frame[:24, 32:], frame[24:, :32] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    return frame


@pytest.mark.parametrize(
    ("degrees", "mirrored", "expected"),
    [
        (0, False, "red green blue white"),
        (0, True, "green red white blue"),
        (90, False, "green white red blue"),
        (90, True, "white green blue red"),
        (180, False, "white blue green red"),
        (180, True, "blue white red green"),
        (270, False, "blue red white green"),
        (270, True, "red blue green white"),
    ],
)
def test_a_turned_clip_is_upright(
    degrees: int, mirrored: bool, expected: str, tmp_path: Path
) -> None:
    def turn(stream: Any) -> None:
        stream.set_display_rotation(degrees, hflip=mirrored)

    made = Made("turned.mp4", "libx264", count=4, prepare=turn, picture=four_colours)
    path = made.at(tmp_path)
    assert clip_of(path).size == (SIZE if degrees in (0, 180) else SIZE[::-1])
    assert corners(path) == expected.split()


@pytest.mark.parametrize("fields", ["tff", "bff"])
@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("h264.mp4", "libx264", {"x264-params": "interlaced=1"}),
        ("mpeg2.mpg", "mpeg2video", {"flags": "+ildct+ilme"}),
    ],
)
def test_an_interlaced_clip_has_no_combs(
    name: str, codec: str, options: dict[str, str], fields: str, tmp_path: Path
) -> None:
    def combed(number: int) -> np.ndarray:
        """A bar that moves to the right between the two fields of a frame."""
        frame = np.zeros((96, 128, 3), np.uint8)
        for field in (0, 1):
            x = 8 + 8 * number + 4 * (field ^ (fields == "bff"))
            frame[field::2, x : x + 24] = 255
        return frame

    made = Made(name, codec, rate=25, count=10, options=options, fields=fields, picture=combed)
    frames = read(made.at(tmp_path), fps=25, num_frames=10)[..., 1].astype(int)
    for number, frame in enumerate(frames):
        left = (frame[8:-8] > 127).argmax(1)  # of each row, but for the edges
        assert left.max() - left.min() <= 1
        assert abs(left.mean() - 8 - 8 * number) <= 1  # the time of the first field


@pytest.mark.parametrize(
    ("name", "codec", "pixels"),
    [
        ("alpha.webm", "libvpx-vp9", "yuva420p"),
        ("prores4444.mov", "prores_ks", "yuva444p10le"),
        ("qtrle.mov", "qtrle", "argb"),
        ("ffv1.mkv", "ffv1", "bgra"),
        ("alpha.apng", "apng", "rgba"),
        ("alpha.webp", "libwebp_anim", "bgra"),
    ],
)
def test_transparent_pixels_are_white(name: str, codec: str, pixels: str, tmp_path: Path) -> None:
    def half_transparent(number: int) -> np.ndarray:
        frame = np.full((48, 64, 4), (200, 0, 0, 255), np.uint8)
        frame[:, 32:, 3] = 0
        frame[0, 0] = number  # equal pictures would become one in an animation
        return frame

    frames = read(Made(name, codec, pixels, count=4, picture=half_transparent).at(tmp_path))
    assert np.abs(frames[:, 24, 8].astype(int) - (200, 0, 0)).max() <= 4
    assert (frames[:, 24, -8] >= 252).all()


@pytest.mark.parametrize("pixels", ["yuv420p", "yuv444p10le", "bgra", "yuvj420p", "gray"])
@pytest.mark.parametrize("height", [48, 720])
def test_colours_by_the_matrix_that_players_use(pixels: str, height: int, tmp_path: Path) -> None:
    """Without a tag BT.709 from 720 rows on, BT.601 below; full range where the file says so."""
    from av.video.reformatter import Colorspace

    colour = (128, 128, 128) if pixels == "gray" else (200, 60, 30)
    frame = av.VideoFrame.from_ndarray(np.full((height, 64, 3), colour, np.uint8), "rgb24")
    hd = height == 720 and pixels != "yuvj420p"  # a JPEG is always BT.601
    matrix = Colorspace.ITU709 if hd else Colorspace.ITU601
    frame = frame.reformat(format=pixels, dst_colorspace=matrix)
    path = tmp_path / "colours.mkv"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("mjpeg" if "j" in pixels else "ffv1", rate=24)
        stream.width, stream.height, stream.pix_fmt = 64, height, pixels
        for number in range(2):
            frame.pts, frame.time_base = number, Fraction(1, 24)
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    assert np.abs(read(path)[0, 20, 20].astype(int) - colour).max() <= 3


@pytest.mark.parametrize("tag", [3, 8, 14, 200])
def test_a_matrix_that_nothing_knows_is_the_usual_one(tag: int, tmp_path: Path) -> None:
    path = Made("tagged.mov", "prores_ks", "yuv422p10le", count=4).at(tmp_path)
    data = bytearray(path.read_bytes())
    for frame in re.finditer(rb"icpf", bytes(data)):
        data[frame.start() + 20] = tag  # the byte of the matrix in a frame's header
    path.write_bytes(data)
    assert numbers(read(path, num_frames=4)) == [0, 1, 2, 3]


def test_pixels_that_are_not_square(tmp_path: Path) -> None:
    def wide(stream: Any) -> None:
        stream.codec_context.sample_aspect_ratio = Fraction(3, 2)

    path = Made("anamorphic.mkv", "libx264", count=4, prepare=wide).at(tmp_path)
    assert clip_of(path).size == (96, 48)
    assert numbers(read(path, num_frames=4)) == [0, 1, 2, 3]


@pytest.mark.slow
@pytest.mark.parametrize(("transfer", "white"), [(16, 0.58), (18, 0.75)], ids=["PQ", "HLG"])
def test_hdr_has_the_white_of_other_videos(transfer: int, white: float, tmp_path: Path) -> None:
    """Its reference white (203 cd/m², by ITU-R BT.2408) becomes white, its black stays black."""
    path = tmp_path / "hdr.mkv"
    levels = (0, white / 2, white)
    pixels = np.repeat(np.uint16([round(65535 * level) for level in levels]), 3 * 32)
    array = np.tile(pixels.reshape(1, 96, 3), (64, 1, 1))
    with av.open(str(path), "w") as file:
        stream = file.add_stream("ffv1", rate=24)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p10le"
        context = stream.codec_context
        context.colorspace, context.color_range = 9, 1
        context.color_primaries, context.color_trc = 9, transfer
        frame = av.VideoFrame.from_ndarray(array, "rgb48le")
        frame = frame.reformat(format="yuv420p10le", dst_colorspace=9, dst_color_range=1)
        for number in range(2):
            frame.pts, frame.time_base = number, Fraction(1, 24)
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    black, grey, bright = read(path)[0, 32, 16::32].astype(int)
    assert (black <= 2).all()
    assert (bright >= 250).all()
    assert np.ptp(grey) <= 2
    assert 60 < grey[0] < 200


@pytest.mark.slow
def test_any_second_of_20_000_frames(tmp_path: Path) -> None:
    options = {"g": "250", "bf": "0"}  # a key frame in 10 s
    path = Made("long.mp4", "mpeg4", rate=25, count=20_000, options=options).at(tmp_path)
    clip = clip_of(path)
    assert clip.seconds == 800
    assert frames_at(clip, start=0, fps=25, most=10**6) == 20_000
    assert numbers(read(path, start=799.96, fps=25, num_frames=1)) == [19_999]
    assert numbers(read(path, start=400.1, fps=10, num_frames=3)) == [10_002, 10_005, 10_007]
    assert numbers(read(path, fps=25)) == [0, 1]
