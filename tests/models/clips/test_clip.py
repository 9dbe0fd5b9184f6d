"""Clips that cannot be used: one line with the numbers and what to type next."""

from __future__ import annotations

import io
import os
import re
import sys
import wave
from dataclasses import replace
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import av
import numpy as np
import pytest
from PIL import Image

from cogmagic import RequestError
from cogmagic._models.clips.clip import clip_of
from cogmagic._models.clips.lengths import check_length, frames_at
from cogmagic._video.clip_reader import read_frames
from tests.helpers.clips import Made, numbered, numbers
from tests.helpers.colours import clip_of as video_of

LEGAL = (9, 17, 25, 33, 41, 49)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 frames at 24 fps in MP4, whose index is at its end."""
    return Made("clip.mp4", "libx264", options={"g": "8"}).at(tmp_path_factory.mktemp("clips"))


def error_of(value: Any, **options: Any) -> str:
    """The error of a clip, or of reading it if options are given."""
    defaults = {"start": 0, "fps": 8, "num_frames": 13, "size": (64, 48), "fit": "crop"}
    with pytest.raises(RequestError) as error:
        read_frames(clip_of(value), **(defaults | options))
    assert "\n" not in str(error.value)
    return str(error.value)


def test_missing_files_and_folders(tmp_path: Path) -> None:
    assert error_of("nowhere.mp4") == "No clip at nowhere.mp4. Check the path."
    assert error_of("walk") == "No clip at walk. Check the path, or the variable's name."
    assert "Download it first" in error_of("https://example.com/fox.mp4")
    assert "Download it first" in error_of(Path("https://example.com/fox.mp4"))
    assert "Type its path alone: /tmp/fox.mp4." in error_of("file:///tmp/fox.mp4")
    assert error_of(" ") == "No clip at ' '. Check the path."
    assert "is not a usable path" in error_of("a\0b.mp4")
    assert f"{tmp_path} is a folder without pictures. Name a video." == error_of(tmp_path)
    (tmp_path / "fox.mp4").touch()
    (tmp_path / "sheet.jpg").touch()  # as of a batch
    folder = f"{tmp_path} is a folder of videos. Name one, such as {tmp_path / 'fox.mp4'}."
    assert error_of(tmp_path) == folder
    assert "the file is empty (0 bytes). Copy it again." in error_of(tmp_path / "fox.mp4")
    assert "it is empty (0 bytes)" in error_of(b"")


@pytest.mark.skipif(sys.platform == "win32", reason="has no named pipes of this kind")
def test_pipes_and_devices(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    assert "is a pipe or a device, not a clip" in error_of(tmp_path / "pipe.mp4")
    assert "is a pipe or a device, not a clip" in error_of("/dev/zero")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("noise.mp4", np.random.default_rng(0).bytes(20_000)),
        ("zeros.mp4", bytes(20_000)),
        ("text.mp4", b"hello world\n" * 500),
        ("text.txt", b"hello world\n" * 500),
        ("page.webm", b"<!DOCTYPE html><html>404</html>"),
        ("list.m3u8", b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n"),
        ("titles.srt", b"1\n00:00:00,000 --> 00:00:01,000\nhello\n"),
        ("fake.webp", b"RIFF\x10\0\0\0WEBPVP8 \0\0\0\0"),
        ("fake.gif", b"GIF89a" + bytes(20)),
        ("byte.avi", b"R"),
    ],
)
def test_files_that_are_no_videos(name: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    for value in (path, content):
        error = error_of(value)
        assert error.startswith(str(path) if value is path else "The file")
        assert any(w in error for w in ("cannot be read", "is not a video", "can be decoded"))


def test_sound_alone_and_with_a_cover(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "sound.wav"), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes(16_000))
    assert "sound.wav has sound, but no video (wav). Name a video file." in error_of(
        tmp_path / "sound.wav"
    )
    path = tmp_path / "cover.mkv"
    with av.open(str(path), "w") as out:
        sound = out.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.rate = 8000
        cover = io.BytesIO()
        Image.new("RGB", (8, 8)).save(cover, "PNG")
        out.add_attachment("cover.png", "image/png", cover.getvalue())
        out.mux(sound.encode(frame))
        out.mux(sound.encode())
    assert "has sound and a cover picture, but no video" in error_of(path)


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "webp", "tif"])
def test_one_picture(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"one.{suffix}"
    Image.fromarray(numbered(5)).save(path)
    assert f"{path} has 1 frame: it is a picture, not a clip." in error_of(path)


@pytest.mark.parametrize(
    ("name", "codec"), [("one.mp4", "libx264"), ("one.mkv", "ffv1"), ("one.avi", "mjpeg")]
)
def test_a_video_of_one_frame(name: str, codec: str, tmp_path: Path) -> None:
    pixels = {"ffv1": "bgra", "mjpeg": "yuvj420p"}.get(codec, "yuv420p")
    path = Made(name, codec, pixels, count=1).at(tmp_path)
    assert "has 1 frame: it is a picture, not a clip. For image-to-video: --image" in error_of(path)


@pytest.mark.parametrize("rate", [True, False])
def test_a_file_whose_times_are_all_0(rate: bool, tmp_path: Path) -> None:
    made = Made("still.mkv", "mjpeg", "yuvj420p", count=20, times=range(20))
    path = made.at(tmp_path)
    data = bytearray(path.read_bytes())
    for block in re.finditer(rb"\xa3[\x40-\x7f].\x81(..)\x80", bytes(data), re.DOTALL):
        data[slice(*block.span(1))] = bytes(2)
    if not rate:  # its element becomes void
        at = data.index(b"\x23\xe3\x83\x84")
        data[at : at + 8] = b"\xec\x86" + bytes(6)
    path.write_bytes(data)
    if rate:
        clip = clip_of(path)
        frames = read_frames(clip, start=0.5, fps=24, num_frames=8, size=(64, 48), fit="crop")
        assert numbers(frames) == list(range(12, 20))
    else:
        assert "has 0 frames per second, and no time stamps. Say how many" in error_of(path)


def test_too_short_with_the_nearest_legal_number(made: Path) -> None:
    clip = clip_of(made)

    def error(**options: Any) -> str:
        defaults = {"start": 0, "fps": 8, "num_frames": 49, "legal": LEGAL}
        with pytest.raises(RequestError) as raised:
            check_length(clip, **(defaults | options))
        return str(raised.value).removeprefix(str(made))

    check_length(clip, start=0, fps=8, num_frames=14, legal=LEGAL)
    assert frames_at(clip, start=0, fps=8, most=49) == 14  # 1.67 s
    assert error() == " has only 14 frames at 8 fps, but 49 are needed. Nearest: --num-frames 9."
    assert error(start=1, num_frames=9) == (
        " has only 6 frames at 8 fps after 1 s, but 9 are needed."
        " Pass a clip of at least 9 frames (1.12 s), or --start 0.54."
    )
    check_length(clip, start=0.54, fps=8, num_frames=9, legal=LEGAL)
    assert error(start=1.7) == error(start=1.7, num_frames=9)
    assert error(start=10) == (
        " lasts 1.67 s, so --start 10 is beyond its end. For its beginning: --start 0."
    )


@pytest.mark.parametrize("start", [-1, float("nan"), float("inf"), True, "1", None, 10**12])
def test_a_start_that_is_no_time(start: Any, made: Path) -> None:
    expected = (
        f"start={start!r} is not a number." if start in (True, "1", None) else "from 0 to 10^8"
    )
    assert expected in error_of(made, start=start)


def test_reading_says_what_checking_says(made: Path) -> None:
    error = error_of(made, num_frames=49, legal=LEGAL)
    assert error.endswith(
        "has only 14 frames at 8 fps, but 49 are needed. Nearest: --num-frames 9."
    )
    assert " lasts 1.67 s, so --start 100 is" in error_of(made, start=100)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.95])
@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("end.mp4", "libx264", {}),
        ("front.mp4", "libx264", {"movflags": "faststart"}),
        ("cut.mkv", "libx264", {}),
        ("cut.avi", "mpeg4", {}),
        ("cut.ts", "mpeg2video", {}),
        ("cut.webm", "libvpx-vp9", {}),
        ("cut.webp", "libwebp_anim", {"lossless": "1"}),
    ],
)
def test_a_file_that_is_cut_off(
    name: str, codec: str, options: dict[str, str], share: float, tmp_path: Path
) -> None:
    path = Made(name, codec, "bgra" if codec == "libwebp_anim" else "yuv420p").at(tmp_path)
    if options:
        data = _index_first(path) if "movflags" in options else path.read_bytes()
    else:
        data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    error, shown = "", []
    try:
        clip = clip_of(path)
        count = frames_at(clip, start=0, fps=24, most=40)
        frames = read_frames(clip, start=0, fps=24, num_frames=count, size=(64, 48), fit="pad")
        shown = numbers(frames)
    except RequestError as raised:
        error = str(raised)
    words = ("is cut off: it has", "cannot be read", "can be decoded", "1 frame", "has only")
    assert "\n" not in error
    assert bool(shown) != any(word in error for word in words)
    # what was damaged is left out: the frame before it is shown longer
    assert all(n - 3 <= one <= n for n, one in enumerate(shown))


def _index_first(path: Path) -> bytes:
    """The MP4 with its index in front."""
    moved = path.with_name("moved.mp4")
    with (
        av.open(str(path)) as source,
        av.open(str(moved), "w", options={"movflags": "+faststart"}) as target,
    ):
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                target.mux(packet)
    return moved.read_bytes()


def read(value: Any, num_frames: int = 9, **options: Any) -> list[int]:
    """The numbers that the frames of a clip show, at 8 fps."""
    defaults = {"start": 0, "fps": 8, "size": (64, 48), "fit": "crop"}
    return numbers(read_frames(clip_of(value), num_frames=num_frames, **(defaults | options)))


@pytest.mark.parametrize("name", ["a b%20d.mp4", "concat:x.mp4", "http:x.mp4", "é%03d.mp4", "-i"])
def test_names_that_look_like_something_else(
    name: str, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(made.read_bytes())
    assert read(name, 2) == [0, 3]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have names in Unicode alone")
def test_a_name_that_is_not_utf_8(made: Path, tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/caf\xe9.mp4"
    Path(os.fsdecode(path)).write_bytes(made.read_bytes())
    assert read(os.fsdecode(path), 2) == [0, 3]


def test_a_list_with_the_path_of_a_video(made: Path) -> None:
    error = "The clip is a list, but its item 0 is a video. Pass that alone: video[0]."
    for value in ([made], (str(made), "other.mp4"), (made, 0.5)):
        assert error_of(value) == error


def test_bytes_and_open_files(made: Path) -> None:
    expected = list(range(0, 27, 3))
    assert read(made) == read(str(made)) == read(made.read_bytes()) == expected
    with made.open("rb") as file:
        assert read(file) == read(file) == expected
    assert "The file cannot be read (seek of closed file). Pass its path." in error_of(file)
    with made.open(encoding="latin-1") as text:
        assert "is open as text. Open it with open(path, 'rb')." in error_of(text)


def test_reading_can_be_stopped_at_any_frame(made: Path) -> None:
    frames = []

    def check() -> None:
        frames.append(1)
        if len(frames) == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        read_frames(
            clip_of(made), start=0, fps=8, num_frames=9, size=(64, 48), fit="crop", check=check
        )
    assert len(frames) == 5


def test_a_file_that_changes(made: Path, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(made.read_bytes())
    clip = clip_of(path)
    size: Any = {"start": 0, "fps": 8, "num_frames": 2, "size": (64, 48), "fit": "crop"}
    path.write_bytes(made.read_bytes() + b"\0")
    with pytest.raises(RequestError, match="has changed since it was checked"):
        read_frames(clip, **size)
    path.unlink()
    with pytest.raises(RequestError, match="has been removed"):
        read_frames(clip, **size)
    with pytest.raises(RequestError, match="has been removed"):
        frames_at(clip, start=0, fps=8, most=2)


@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".gif", ".png"])
def test_an_earlier_video(suffix: str, tmp_path: Path) -> None:
    video = video_of(tmp_path / "first.mp4", np.stack([numbered(n) for n in range(9)]))
    saved = video.save(tmp_path / f"saved{suffix}")
    for one in (saved, replace(saved, unsaved=_content(saved.path), path=tmp_path / "gone")):
        clip = clip_of(one)
        assert clip.size == (64, 48)
        assert clip.fps == pytest.approx(8, rel=0.05)  # of a GIF, in hundredths of a second
        assert read(one) == list(range(9))
        assert read(one, 18, fps=16) == [n // 2 for n in range(18)]
    with pytest.raises(RequestError, match="No video at"):
        clip_of(replace(saved, path=tmp_path / "gone"))
    with pytest.raises(RequestError, match=r"item 0 is a video. Pass that alone: video\[0\]"):
        clip_of([video, saved])


def _content(path: Path) -> bytes:
    """The bytes of a file; of a folder, a ZIP archive, as of a video that could not be saved."""
    if path.is_file():
        return path.read_bytes()
    archive = io.BytesIO()
    with ZipFile(archive, "w") as file:
        for picture in sorted(path.iterdir()):
            file.write(picture, picture.name)
    return archive.getvalue()


def test_a_folder_of_pictures(tmp_path: Path) -> None:
    for number in range(12):  # in the order of the numbers: 2 before 10
        Image.fromarray(numbered(number)).save(tmp_path / f"frame{number}.png")
    (tmp_path / "notes.txt").touch()
    clip = clip_of(tmp_path)
    assert (clip.frames, clip.fps, clip.size) == (12, None, (64, 48))
    assert read(tmp_path, 9) == list(range(9))
    assert read(tmp_path, 4, start=1) == [8, 9, 10, 11]
    paths = [tmp_path / f"frame{n}.png" for n in (0, 2, 10)]
    assert read(paths, 3) == read([str(path) for path in paths], 3) == [0, 2, 10]
    assert "Frame 2: No image at gone.png" in error_of([paths[0], "gone.png"])
    checked = clip_of(paths)
    paths[1].unlink()
    with pytest.raises(RequestError, match="The clip has lost a picture since it was checked"):
        frames_at(checked, start=0, fps=8, most=3)
    (tmp_path / "frame3.png").write_bytes(b"no picture")
    assert "frame3.png is not an image" in error_of(tmp_path, num_frames=9)
