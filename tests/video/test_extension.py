"""Clips that are read up to their last frame, and joined with new frames."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cogmagic import Request, RequestError
from cogmagic._models.catalog import MODELS
from cogmagic._models.clips.digest import digest_of
from cogmagic._models.clips.lengths import times_to_end
from cogmagic._video.clip_reader import clip_of, frames_at_times
from cogmagic._video.extension import Earlier, total_frames, with_first_frame
from cogmagic._video.formats.gif import GIF
from cogmagic._video.formats.mp4 import MP4
from cogmagic._video.formats.png import PNG
from tests.helpers.clips import SIZE, Made, numbered, numbers

CLIPS = [
    Made("h264.mp4", "libx264", rate=24),
    Made("h264.mkv", "libx264", rate=Fraction(30000, 1001)),
    Made("b-frames.avi", "libx264", rate=25),
    Made("h264.ts", "libx264", rate=25, container="mpegts"),
    Made("without-times.h264", "libx264", rate=25, container="h264"),
    Made("animated.gif", "gif", "rgb8", rate=30),
    Made("animated.webp", "libwebp_anim", rate=10, options={"lossless": "1"}),
    Made("varying.mkv", "libx264", times=[0, 30, 70, *range(100, 3800, 100)]),
]


@pytest.mark.parametrize("made", CLIPS, ids=lambda made: made.name)
def test_last_frame_is_the_clips_own_at_any_rate(made: Made, tmp_path: Path) -> None:
    clip = clip_of(made.at(tmp_path))
    for fps in (8, int(made.rate), 60):
        times = times_to_end(clip, fps)
        shown = numbers(np.stack(list(frames_at_times(clip, times, fps, SIZE, "crop"))))
        assert shown[-1] == 39
        assert shown == sorted(shown)
        if made.times is None:
            assert abs(len(shown) - Fraction(40 * fps) / made.rate) < 1
            assert shown[0] <= made.rate / fps
            if fps == made.rate:
                assert shown == list(range(40))
        tail = list(frames_at_times(clip, times[-3:], fps, SIZE, "crop"))
        assert numbers(np.stack(tail)) == shown[-3:]


MODEL = replace(MODELS[0], task="i2v")


def request(clip: object, **options: Any) -> Request:
    options = {"size": "256x256", "num_frames": 9, "fit": "stretch"} | options
    return Request.of("a fox", MODEL, extend=clip, **options)


FRAMES = np.stack([numbered(n, (256, 256)) for n in range(6)])


@pytest.mark.parametrize("overlap", [1, 4, 6])
def test_new_frames_follow_without_a_repeated_one(overlap: int) -> None:
    asked, earlier = with_first_frame(request(FRAMES, overlap=overlap))
    assert earlier is not None
    assert np.array_equal(np.asarray(asked.image), FRAMES[-overlap])
    new = np.stack([FRAMES[-overlap]] * 9)
    video = earlier.joined(new)
    frames = np.stack(list(video))
    assert frames.shape == video.shape == (6 + 9 - overlap, 256, 256, 3)
    assert len(video) == total_frames(request(FRAMES, overlap=overlap)) == sum(earlier.counts)
    assert np.array_equal(frames[: 6 - overlap + 1], FRAMES[: 6 - overlap + 1])
    assert np.array_equal(frames[6:], new[overlap:])


def test_frames_of_an_original_are_read_there() -> None:
    """In a chain, no frame is compressed once for each row."""
    copy = replace(clip_of(FRAMES[::-1].copy()), original=clip_of(FRAMES), shared=4)
    asked, earlier = with_first_frame(request(copy, overlap=1))
    assert earlier is not None
    frames = np.stack(list(earlier.joined(np.stack([FRAMES[0]] * 9))))
    assert numbers(frames[:6]) == [0, 1, 2, 3, 1, 0]
    assert asked.extend is not None
    assert asked.extend.original is None


def test_a_chain_may_be_longer_than_pythons_recursion() -> None:
    chain = clip_of(FRAMES)
    for _ in range(1100):
        chain = replace(clip_of(FRAMES[:2]), original=chain, shared=1)
    _, earlier = with_first_frame(request(chain, overlap=1))
    assert earlier is not None
    frames = np.stack(list(earlier.joined(np.stack([FRAMES[5]] * 9))))
    assert numbers(frames[:2]) == [0, 1]


@pytest.mark.parametrize("kind", [MP4, GIF, PNG])
def test_formats_write_streamed_frames_as_they_write_arrays(kind: Any, tmp_path: Path) -> None:
    _, earlier = with_first_frame(request(FRAMES))
    assert earlier is not None
    video = earlier.joined(np.stack([FRAMES[n % 6] for n in range(5, 14)]))
    ending = kind.ending
    kind.write(tmp_path / f"a{ending}", video, 8, {})
    kind.write(tmp_path / f"b{ending}", np.stack(list(video)), 8, {})
    one, other = (kind.frames(tmp_path / f"{name}{ending}") for name in "ab")
    assert len(one) == 14
    assert np.array_equal(one, other)
    assert np.array_equal(kind.middle(tmp_path / f"a{ending}", 14), one[7])


def test_long_clip_is_never_in_memory(tmp_path: Path) -> None:
    made = Made("long.mp4", "mpeg4", rate=8, count=400)
    _, earlier = with_first_frame(request(made.at(tmp_path)))
    assert earlier is not None
    video = earlier.joined(np.zeros((9, 256, 256, 3), np.uint8))
    tracemalloc.start()
    try:
        count = sum(1 for _ in video)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 408
    assert peak < 30 * 256 * 256 * 3


def test_clip_that_changes_or_is_damaged_is_refused(tmp_path: Path) -> None:
    path = Made("clip.mp4", "libx264").at(tmp_path)
    asked = request(str(path))
    content = path.read_bytes()
    path.write_bytes(content + b"\0" * 8)
    with pytest.raises(RequestError, match="has changed since it was checked"):
        with_first_frame(asked)
    path.write_bytes(content[:-900])
    with pytest.raises(RequestError, match="is cut off"):
        request(str(path))
    path.unlink()
    with pytest.raises(RequestError, match="has been removed"):
        with_first_frame(asked)


def test_clip_whose_last_frames_are_damaged(tmp_path: Path) -> None:
    path = Made("clip.avi", "mjpeg", "yuvj420p", rate=8).at(tmp_path)
    content = bytearray(path.read_bytes())
    begin = content.rfind(b"00dc", 0, content.rfind(b"idx1"))
    content[begin + 8 : content.rfind(b"idx1")] = bytes(content.rfind(b"idx1") - begin - 8)
    path.write_bytes(content)
    with pytest.raises(RequestError, match=r"The end of .*clip\.avi cannot be decoded") as error:
        with_first_frame(request(str(path)))
    assert "\n" not in str(error.value)


def test_digest_is_that_of_the_content(tmp_path: Path) -> None:
    path = Made("clip.mp4", "libx264").at(tmp_path)
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(path.read_bytes())
    assert digest_of(clip_of(path)) == digest_of(clip_of(copy))
    assert digest_of(clip_of(FRAMES)) == digest_of(clip_of(FRAMES.copy()))
    in_memory = clip_of(path.read_bytes())
    different = clip_of(FRAMES), clip_of(FRAMES[:, ::-1]), clip_of(path), in_memory
    assert len(set(map(digest_of, different))) == 4


def test_earlier_has_no_pictures_of_the_request() -> None:
    _, earlier = with_first_frame(request(FRAMES))
    assert isinstance(earlier, Earlier)
    assert earlier.request.inputs == {}
