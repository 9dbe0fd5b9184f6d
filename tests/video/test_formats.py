"""The formats of the output file: each written, read back, converted, shown and refused."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from cogmagic import OutputError, Video
from cogmagic._models.find import find_model
from cogmagic._models.request import Request
from cogmagic._video import part
from cogmagic._video.formats.base import Format
from cogmagic._video.formats.gif import GIF
from cogmagic._video.formats.mp4 import MP4
from cogmagic._video.formats.png import PNG, frame_names
from cogmagic._video.formats.registry import FORMATS, read_metadata
from cogmagic._video.formats.webm import WEBM
from cogmagic._video.output_file import OutputFile, check_disk_space
from tests.helpers.colours import COLOURS, SIZES, TOLERANCE, centres, patches
from tests.helpers.disks import mounted_disk

PROMPT = 'quote " backslash \\ emoji 🦊 nul \0 newline \n عربي <script>'
FACTS = {"prompt": PROMPT, "seed": 2**64 - 1}
LOSS = {MP4: 6, WEBM: 6, GIF: 1, PNG: 0}
"""The greatest mean difference from the moving edge, of 255."""

formats = pytest.mark.parametrize("kind", FORMATS.values(), ids=lambda f: f.suffix[1:])


def gradients(count: int = 5, height: int = 96, width: int = 144) -> np.ndarray[Any, Any]:
    """A clip of smooth gradients that move, with a disc in another colour."""
    y, x = np.mgrid[0:height, 0:width]
    clip = []
    for t in range(count):
        red, green = 128 + 100 * np.sin(x / 30 + t / 5), 128 + 90 * np.cos(y / 25 - t / 7)
        frame = np.stack([red, green, 128 + 80 * np.sin((x + y) / 40 + t / 9)], -1)
        frame[(x - 20 - 9 * t) ** 2 + (y - 48) ** 2 < 300] = (230, 60, 30)
        clip.append(frame.astype(np.uint8))
    return np.stack(clip)


def saved(video: Video, kind: Format, name: str = "copy") -> Video:
    return video.save(video.path.with_name(name + kind.suffix))


@formats
@pytest.mark.parametrize("count", [1, 9])
def test_frames_and_metadata_are_read_back(
    tmp_path: Path, frames: np.ndarray, kind: Format, count: int
) -> None:
    target = OutputFile.claim(tmp_path / f"a{kind.suffix.upper()}", 1)
    kind.write(target.part, frames[:count], 8, FACTS)
    path, memory = target.commit(), BytesIO()
    target.drop()
    kind.write(memory, frames[:count], 8, FACTS)
    assert read_metadata(path) == FACTS
    assert [p.name for p in tmp_path.iterdir()] == ["a" if kind is PNG else path.name]
    for source in (path, memory.getvalue()):
        back = kind.frames(source)
        assert (back.shape, back.dtype) == ((count, 64, 96, 3), np.uint8)
        assert np.abs(back.astype(int) - frames[:count]).mean() <= LOSS[kind]
        assert kind.metadata(source) == FACTS


@formats
def test_equal_frames_are_all_written(tmp_path: Path, kind: Format) -> None:
    memory = BytesIO()
    kind.write(memory, np.full((12, 64, 96, 3), 40, np.uint8), 8, {})
    back = kind.frames(memory.getvalue())
    assert back.shape == (12, 64, 96, 3)
    assert np.abs(back.astype(int) - 40).max() <= 2


def test_pngs_have_exactly_the_frames_and_the_first_one_the_metadata(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (11, 48, 64, 3), np.uint8)
    PNG.write(tmp_path / "fox", noise, 8, {"prompt": "a fox", "seed": 3})
    names = sorted(p.name for p in (tmp_path / "fox").iterdir())
    assert names == [f"{n:04}.png" for n in range(1, 12)]
    for name, frame in zip(names, noise, strict=True):
        with Image.open(tmp_path / "fox" / name) as picture:
            assert (np.asarray(picture) == frame).all()
            assert (picture.info != {}) == (name == "0001.png")
    data = (tmp_path / "fox" / "0001.png").read_bytes()
    assert b"tEXtTitle\0a fox" in data
    assert json.loads(data.split(b"tEXtComment\0")[1].split(b"}")[0] + b"}")["seed"] == 3
    assert (PNG.frames(tmp_path / "fox") == noise).all()


def test_more_than_9999_pngs_keep_their_order() -> None:
    names = frame_names(10_001)
    assert (names[0], names[-1], len(names[0])) == ("00001.png", "10001.png", 9)
    assert sorted(names) == names


def test_folder_without_one_of_its_frames_is_an_error_of_one_line(video: Video) -> None:
    clip = saved(video, PNG)
    (clip.path / "0004.png").unlink()
    with pytest.raises(OutputError, match=r"cannot be read as a video .*No such file"):
        clip.frames()


@pytest.mark.parametrize(
    ("fps", "delays"),
    [(8, [12, 13] * 4 + [12]), (16, [6, 6, 6, 7] * 2 + [6]), (50, [2] * 9), (1, [100] * 9),
     (24, [4, 4, 4, 4, 4, 5, 4, 4, 4]), (7, [14, 14, 14, 15, 14, 14, 15, 14, 14])],
)  # fmt: skip
def test_delays_of_a_gif_add_up_to_the_length_of_the_clip(
    frames: np.ndarray, fps: int, delays: list[int]
) -> None:
    memory = BytesIO()
    GIF.write(memory, frames, fps, {})
    with Image.open(memory) as gif:
        shown = []
        for n in range(gif.n_frames):
            gif.seek(n)
            shown.append(gif.info["duration"] // 10)
        assert (shown, gif.info["loop"]) == (delays, 0)
    assert abs(sum(shown) - 100 * 9 / fps) < 1


def test_palette_of_a_gif_is_close_to_the_colours_of_the_clip() -> None:
    memory, clip = BytesIO(), gradients()
    GIF.write(memory, clip, 8, {})
    off = np.abs(GIF.frames(memory.getvalue()).astype(int) - clip)
    assert off.mean() < 4
    assert np.percentile(off, 99) < 16
    GIF.write(few := BytesIO(), patches(96, 96), 8, {})
    assert (centres(GIF.frames(few.getvalue())[1]) == COLOURS).all()  # 16 colours are exact


@pytest.mark.parametrize("length", [0, 1, 255, 256, 100_000])
def test_gif_has_a_comment_of_any_length(frames: np.ndarray, length: int) -> None:
    memory = BytesIO()
    GIF.write(memory, frames, 8, {"prompt": "é" * length})
    assert GIF.metadata(memory.getvalue()) == {"prompt": "é" * length}
    assert len(GIF.frames(memory.getvalue())) == 9


@pytest.mark.parametrize("encoder", ["libvpx-vp9", "libsvtav1"])
@pytest.mark.parametrize(("width", "height"), SIZES[:3])
def test_webm_is_tagged_bt709_and_has_the_colours_that_were_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, width: int, height: int, encoder: str
) -> None:
    monkeypatch.setattr("av.codecs_available", {encoder} & av.codecs_available)
    path, clip = tmp_path / "a.webm", patches(width, height)
    WEBM.write(path, clip, 8, {})
    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        assert (stream.width, stream.height, stream.average_rate) == (width, height, 8)
        assert stream.codec_context.name in ("vp9", "libdav1d", "libaom-av1", "av1")
        assert file.duration == 375_000  # microseconds
        for frame in file.decode(video=0):
            assert (frame.format.name, frame.colorspace, frame.color_range) == ("yuv420p", 1, 1)
            assert (frame.color_primaries, frame.color_trc) == (1, 1)
    for frame in WEBM.frames(path):
        assert np.abs(centres(frame).astype(int) - COLOURS).max() <= TOLERANCE
    data = path.read_bytes()
    assert 0 < data.find(b"\x1c\x53\xbb\x6b") < data.find(b"\x1f\x43\xb6\x75")  # cues, clusters


@pytest.mark.parametrize(
    ("kind", "message"),
    [(MP4, "No H.264 encoder"), (WEBM, "No VP9 or AV1 encoder"), (GIF, "No GIF encoder")],
)
def test_missing_encoder_is_one_line(
    monkeypatch: pytest.MonkeyPatch, kind: Format, message: str
) -> None:
    kind.check(8)
    monkeypatch.setattr("av.codecs_available", set())
    with pytest.raises(OutputError, match=f"{message} in this PyAV build. Install one"):
        kind.check(8)
    PNG.check(8)


def test_gif_over_50_frames_per_second_is_refused(video: Video) -> None:
    GIF.check(50)
    fast = replace(video, fps=51)
    with pytest.raises(OutputError, match=r"at most 50 frames per second, not 51.*--fps 50"):
        fast.to_gif()
    assert [p.name for p in video.path.parent.iterdir()] == ["edge.mp4"]
    assert WEBM.check(120) is None


@formats
@pytest.mark.parametrize("to", FORMATS.values(), ids=lambda f: f.suffix[1:])
def test_each_format_is_converted_to_each(video: Video, kind: Format, to: Format) -> None:
    source = saved(video, kind, "source")
    copy = saved(source, to)
    assert (copy.format, copy.path.name) == (to.suffix[1:], "copy" if to is PNG else copy.path.name)
    assert read_metadata(copy.path) == read_metadata(video.path)
    off = np.abs(copy.frames().astype(int) - source.frames())
    assert off.mean() <= LOSS[to] + 1
    if kind is to:
        assert (off == 0).all()
    if kind is to is not PNG:
        assert copy.path.read_bytes() == source.path.read_bytes()
    for again in (source, copy):
        with pytest.raises(OutputError, match="already exists"):
            again.save(copy.path.with_name("copy" + to.suffix))
    assert copy.save(copy.path.with_name("copy" + to.suffix), overwrite=True) == copy
    assert copy.frames().shape == source.frames().shape
    assert not list(video.path.parent.glob(".*"))


@formats
def test_video_in_memory_is_shown_and_saved(video: Video, kind: Format, tmp_path: Path) -> None:
    memory = BytesIO()
    kind.write(memory, video.frames(), 8, FACTS)
    unsaved = replace(
        video, path=tmp_path / "never", format=kind.suffix[1:], unsaved=memory.getvalue()
    )
    assert len(unsaved.frames()) == 9
    assert ";base64," in unsaved.player_html()
    for to in FORMATS.values():
        copy = unsaved.save(tmp_path / f"to-{to.suffix[1:]}{to.suffix}")
        assert (copy.unsaved, len(copy.frames())) == (None, 9)
        assert read_metadata(copy.path) == FACTS
    (tmp_path / "folder").mkdir()
    named = unsaved.save(tmp_path / "folder")
    assert named.format == unsaved.format
    assert read_metadata(named.path) == FACTS


@pytest.mark.parametrize(
    ("kind", "begins"),
    [
        (MP4, '<video class="cogmagic-video" controls'),
        (WEBM, '<video class="cogmagic-video" controls'),
        (GIF, '<img class="cogmagic-video" alt="9 frames of 96×64 at 8 fps"'),
        (PNG, '<video class="cogmagic-video" controls'),
    ],
)
def test_player_embeds_small_files_and_links_large_ones(
    video: Video, kind: Format, begins: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = saved(video, kind)
    html = clip.player_html()
    assert html.startswith(begins)
    assert f'src="data:{kind.mime or "video/mp4"};base64,' in html
    large = replace(clip, embed_limit=10).player_html()
    if kind is PNG:
        assert large.startswith("<img alt=")
        assert "MB exceed the limit of 1e-05 MB. To embed it: %config" in large
    else:
        assert f'src="copy{kind.suffix}"' in large
    (clip.path.parent / "elsewhere").mkdir()
    monkeypatch.chdir(clip.path.parent / "elsewhere")
    if kind is not PNG:
        assert "cannot be linked: it is outside" in replace(clip, embed_limit=10).player_html()
    assert replace(clip, path=clip.path.with_name("gone")).player_html().endswith("exists.</div>")


def test_to_gif_and_to_frames(video: Video, cwd: Path) -> None:
    gif = video.to_gif()
    assert gif == cwd / "edge.gif"
    assert read_metadata(gif)["seed"] == 3
    with pytest.raises(OutputError, match="already exists"):
        video.to_gif()
    assert video.to_gif(overwrite=True) == gif
    assert video.to_gif("other.GIF") == cwd / "other.GIF"
    (cwd / "clips").mkdir()
    assert video.to_gif("clips").suffix == ".gif"
    with pytest.raises(OutputError, match=r"the name of a GIF must end in \.gif"):
        video.to_gif("fox.mp4")
    assert replace(video, path=gif, format="gif").to_gif() == gif

    pictures = video.to_frames()
    assert [p.size for p in pictures] == [(96, 64)] * 9
    assert (np.stack([np.asarray(p) for p in pictures]) == video.frames()).all()
    for name in ("a", "b.png", "c/", "v1.5"):
        folder = video.to_frames(name)
        assert folder == cwd / name.removesuffix(".png").rstrip("/")
        assert (PNG.frames(folder) == video.frames()).all()
    with pytest.raises(OutputError, match="a already exists"):
        video.to_frames("a")
    assert video.to_frames("a", overwrite=True) == cwd / "a"
    assert replace(video, path=cwd / "v1.5", format="png").to_gif() == cwd / "v1.5.gif"
    for wrong in ("", ".", "..", "/", 5):
        with pytest.raises(OutputError):
            video.to_frames(wrong)  # type: ignore[call-overload]
    with pytest.raises(OutputError, match="5 is not a usable path"):
        video.to_gif(5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("typed", "nearest"),
    [
        ("fox.avi", "fox.mp4"), ("a/fox.mov", "a/fox.mp4"), ("fox.mkv", "fox.webm"),
        ("fox.webp", "fox.gif"), ("fox.jpg", "fox.png"), ("fox.JPEG", "fox.png"),
        ("fox.gfi", "fox.gif"), ("fox.mp3", "fox.mp4"), ("fox.pngs", "fox.png"),
        ("fox.1", "fox.mp4"), ("fox.wbm", "fox.webm"), ("fox", "fox.mp4"), (".gif", ".gif.mp4"),
    ],
)  # fmt: skip
def test_other_suffix_is_answered_with_the_nearest(cwd: Path, typed: str, nearest: str) -> None:
    with pytest.raises(OutputError, match=r"\.mp4, \.gif, \.webm or \.png \(frames\)") as error:
        OutputFile.claim(typed, 1)
    assert f"'{nearest}'" in str(error.value)


@pytest.mark.parametrize("save", ["..png", "...png", "clips/..png"])
def test_dots_are_no_folder_of_frames(cwd: Path, save: str) -> None:
    (cwd / "clips").mkdir()
    with pytest.raises(OutputError, match=r"--save .*png: no folder has that name"):
        OutputFile.claim(save, 1, overwrite=True)
    assert [p.name for p in cwd.iterdir()] == ["clips"]


def _photos(cwd: Path) -> None:
    (cwd / "fox").mkdir()
    (cwd / "fox" / "0001.png").write_bytes(b"mine")
    (cwd / "fox" / "holiday.jpg").write_bytes(b"mine")


def _subfolder(cwd: Path) -> None:
    (cwd / "fox" / "0001.png").mkdir(parents=True)


def _file(cwd: Path) -> None:
    (cwd / "fox").write_bytes(b"mine")


def _link(cwd: Path) -> None:
    (cwd / "photos").mkdir()
    (cwd / "fox").symlink_to("photos")


def _broken_link(cwd: Path) -> None:
    (cwd / "fox").symlink_to("missing")


@pytest.mark.parametrize("make", [_photos, _subfolder, _file, _link, _broken_link])
def test_what_is_not_a_folder_of_frames_is_never_replaced(cwd: Path, make: Any) -> None:
    make(cwd)
    before = sorted(cwd.rglob("*"))
    with pytest.raises(OutputError, match=r"fox already exists\. Choose another name, or add"):
        OutputFile.claim("fox.png", 1)
    with pytest.raises(OutputError, match="fox is not a folder of frames"):
        OutputFile.claim("fox.png", 1, overwrite=True)
    assert sorted(cwd.rglob("*")) == before


def test_folder_of_frames_is_replaced_at_once(cwd: Path, frames: np.ndarray) -> None:
    PNG.write(cwd / "fox", frames, 8, {})
    (cwd / "fox.png").write_bytes(b"a picture of that name is another file")
    target = OutputFile.claim("fox.png", 1, overwrite=True)
    PNG.write(target.part, frames[:3], 8, {})
    assert len(PNG.frames(cwd / "fox")) == 9  # the old folder stays until the new one is complete
    assert target.commit() == cwd / "fox"
    target.drop()
    assert (PNG.frames(cwd / "fox") == frames[:3]).all()
    assert sorted(p.name for p in cwd.iterdir()) == ["fox", "fox.png"]


@pytest.mark.parametrize("failing", [1, 2])
def test_failed_replacement_leaves_the_old_folder(
    cwd: Path, frames: np.ndarray, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    PNG.write(cwd / "fox", frames, 8, {})
    target = OutputFile.claim("fox.png", 1, overwrite=True)
    PNG.write(target.part, frames[:3], 8, {})
    rename, calls = Path.rename, []

    def refuse(path: Path, to: Path) -> Path:
        calls.append(path)
        if len(calls) == failing:
            raise OSError(errno.EIO, "Input/output error")
        return rename(path, to)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", refuse)
        with pytest.raises(OutputError, match="cannot be written"):
            target.commit()
    target.drop()
    assert len(PNG.frames(cwd / "fox")) == 9
    assert [p.name for p in cwd.iterdir()] == ["fox"]


def test_files_put_into_the_folder_during_the_run_are_not_removed(
    cwd: Path, frames: np.ndarray
) -> None:
    PNG.write(cwd / "fox", frames, 8, {})
    target = OutputFile.claim("fox.png", 1, overwrite=True)
    (cwd / "fox" / "notes.txt").write_text("mine")
    PNG.write(target.part, frames[:3], 8, {})
    target.commit()
    target.drop()
    assert len(PNG.frames(cwd / "fox")) == 3
    (notes,) = cwd.glob("*/notes.txt")
    assert notes.parent.name.startswith("fox-replaced-")


@pytest.mark.parametrize("content", [None, "empty", "full", "file"])
def test_folder_created_during_the_run_is_not_replaced(
    cwd: Path, frames: np.ndarray, content: str | None
) -> None:
    target = OutputFile.claim("fox.png", 1)
    PNG.write(target.part, frames, 8, {})
    if content == "file":
        (cwd / "fox").write_text("mine")
    elif content:
        (cwd / "fox").mkdir()
        if content == "full":
            (cwd / "fox" / "0001.png").write_text("mine")
    before = sorted(p.name for p in cwd.glob("fox/*"))
    if content:
        with pytest.raises(OutputError, match="was created by another program"):
            target.commit()
        assert sorted(p.name for p in cwd.glob("fox/*")) == before
    else:
        target.commit()
    target.drop()
    assert [p.name for p in cwd.iterdir()] == ["fox"]


@formats
def test_default_names_of_one_second_and_seed_are_numbered(
    cwd: Path, monkeypatch: pytest.MonkeyPatch, frames: np.ndarray, kind: Format
) -> None:
    monkeypatch.setattr("time.strftime", lambda _: "20260102-030405")
    targets = [OutputFile.claim(cwd, 7, default_format=kind) for _ in range(3)]
    for target in targets:
        kind.write(target.part, frames[:1], 8, {})
        target.commit()
        target.drop()
    end = "" if kind is PNG else kind.suffix
    assert sorted(p.name for p in cwd.iterdir()) == sorted(
        f"cogvideo-20260102-030405-7{n}{end}" for n in ("", "-2", "-3")
    )


@formats
def test_leftovers_of_killed_kernels_are_removed_and_files_in_use_are_not(
    cwd: Path, kind: Format, frames: np.ndarray
) -> None:
    code = (
        "import os, signal; from cogmagic._video.output_file import OutputFile;"
        f"t = OutputFile.claim('a{kind.suffix}', 1); t.part.mkdir() if {kind is PNG} else None;"
        f"(t.part / '0001.png').touch() if {kind is PNG} else None; os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code], check=False)
    assert len(list(cwd.iterdir())) == (2 if kind is PNG else 1)
    first = OutputFile.claim(f"b{kind.suffix}", 1)
    kind.write(first.part, frames, 8, {})
    second = OutputFile.claim("c.mp4", 1)  # any format cleans up after all
    assert len(list(cwd.iterdir())) == (3 if kind is PNG else 2)
    first.commit()
    first.drop()
    second.drop()
    assert [p.name for p in cwd.iterdir()] == ["b" if kind is PNG else first.path.name]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 16 KiB."""
    with mounted_disk(tmp_path / "disk", kib=16) as disk:
        yield disk


@formats
def test_disk_that_fills_up_is_an_output_error(small_disk: Path, kind: Format) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (17, 96, 96, 3), dtype=np.uint8)
    target = OutputFile.claim(small_disk / f"a{kind.suffix}", 1)
    with pytest.raises(OutputError, match="No space left"):
        kind.write(target.part, noise, 8, {})
    target.drop()
    assert list(small_disk.iterdir()) == []


def test_disk_space_is_checked_by_format(cwd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    request = Request.of("x", find_model("tiny"))  # 17 frames of 96×96
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=100_000))
    for name, need in (("a.mp4", 0), ("a.webm", 0), ("a.gif", 0.2), ("a.png", 0.5)):
        target = OutputFile.claim(name, 1)
        if need:
            with pytest.raises(OutputError, match=f"the video may take {need} MB"):
                check_disk_space(target, request)
        else:
            check_disk_space(target, request)
        target.drop()


def test_part_folder_belongs_to_its_locked_file(cwd: Path) -> None:
    target = OutputFile.claim("fox.png", 1)
    assert target.part == part.folder_of(Path(target._locked.name))
    target.drop()
