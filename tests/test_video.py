"""The file: playable, described, written whole or not at all."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest

from cogmagic import OutputError, Report, Video
from cogmagic._models.find import find_model
from cogmagic._models.request import Request
from cogmagic._video.mp4 import read_metadata, write_mp4
from cogmagic._video.output_file import OutputFile as Target
from cogmagic._video.output_file import check_disk_space as check_room

REPORT = Report(tier="none", reason="no GPU", device="cpu", dtype="float32")


@pytest.fixture
def frames() -> np.ndarray:
    """Nine frames of a moving edge, 64×96."""
    clip = np.zeros((9, 64, 96, 3), np.uint8)
    for n, frame in enumerate(clip):
        frame[:, 8 * n :] = (255, 40, 10)
    return clip


@pytest.fixture
def video(frames: np.ndarray, cwd: Path) -> Video:
    path = cwd / "edge.mp4"
    write_mp4(path, frames, 8, {"prompt": "an <b>edge</b>", "seed": 3})
    return Video(
        path=path, prompt="an <b>edge</b>", model="tiny", width=96, height=64, num_frames=9,
        fps=8, seed=3, report=REPORT,
    )  # fmt: skip


def test_the_file_is_h264_yuv420p_with_the_index_in_front(video: Video) -> None:
    with av.open(str(video.path)) as file:
        stream = file.streams.video[0]
        assert (stream.codec.name, stream.format.name) == ("h264", "yuv420p")
        assert (stream.width, stream.height, stream.average_rate) == (96, 64, 8)
    data = video.path.read_bytes()
    assert 0 < data.find(b"moov") < data.find(b"mdat")


def test_frames_come_back_nearly_as_they_went_in(video: Video, frames: np.ndarray) -> None:
    back = video.frames()
    assert (back.shape, back.dtype) == ((9, 64, 96, 3), np.uint8)
    assert np.abs(back.astype(int) - frames).mean() < 6  # colours are stored at half resolution


def test_the_file_says_how_it_was_made(tmp_path: Path, frames: np.ndarray) -> None:
    prompt = 'quote " backslash \\ emoji 🦊 nul \0 newline \n عربي <script>'
    write_mp4(tmp_path / "a.mp4", frames, 8, {"prompt": prompt, "seed": 2**64 - 1})
    assert read_metadata(tmp_path / "a.mp4") == {"prompt": prompt, "seed": 2**64 - 1}


def test_the_player_embeds_small_files_and_links_large_ones(video: Video) -> None:
    html = video.player_html()
    assert 'src="data:video/mp4;base64,' in html
    assert 'poster="data:image/jpeg;base64,' in html
    linked = replace(video, embed_limit=10).player_html()
    assert 'src="edge.mp4"' in linked
    assert "video/mp4" not in linked


def test_the_repr_is_small_and_what_changes_is_in_one_element(video: Video) -> None:
    bundle = video._repr_mimebundle_()
    stripped = re.sub(r'(?s)<div class="cogmagic-volatile".*?</div>', "", bundle["text/html"])
    assert "seed 3" in bundle["text/html"]
    assert "seed 3" not in stripped
    assert "<b>" not in stripped
    assert len(bundle["text/plain"]) < 300
    video.path.unlink()
    assert "no longer there" in video.player_html()


def test_default_names_never_collide(cwd: Path) -> None:
    first = Target.claim(None, 7)
    first.part.write_bytes(b"1")
    first.commit()
    assert re.fullmatch(r"cogvideo-\d{8}-\d{6}-7\.mp4", first.path.name)
    clash = Target.claim(None, 7)
    assert clash.path != first.path
    clash.drop()
    assert [p.name for p in cwd.iterdir()] == [first.path.name]


@pytest.mark.parametrize(
    ("save", "says"),
    [
        ("clip.avi", "must end in .mp4"),
        ("clip", "must end in .mp4, or be a folder"),
        ("missing/clip.mp4", "there is no folder missing"),
        ("missing/", "there is no folder missing"),
        ("edge.mp4", "is there already"),
        ("edge.mp4/x.mp4", "there is no folder"),
        ("/proc/x.mp4", "/proc cannot be written"),
        ("~nobody-at-all/x.mp4", "is no usable path"),
        ("x" * 300 + ".mp4", "is no usable path"),
        ("a\0b.mp4", "is no usable path"),
    ],
)
def test_places_that_cannot_be_written(video: Video, save: str, says: str) -> None:
    before = sorted(video.path.parent.iterdir())
    with pytest.raises(OutputError) as error:
        Target.claim(save, 1)
    assert says in str(error.value)
    assert sorted(video.path.parent.iterdir()) == before


def test_overwriting_only_when_asked(video: Video, frames: np.ndarray) -> None:
    target = Target.claim(video.path, 1, overwrite=True)
    assert video.path.stat().st_size > 0  # the old file is there until the new one is whole
    write_mp4(target.part, frames[:1], 8, {})
    target.commit()
    assert len(video.frames()) == 1


def test_a_file_that_appears_meanwhile_is_not_replaced(cwd: Path) -> None:
    target = Target.claim("a.mp4", 1)
    (cwd / "a.mp4").write_text("mine")
    with pytest.raises(OutputError, match="appeared"):
        target.commit()
    target.drop()
    assert (cwd / "a.mp4").read_text() == "mine"
    assert len(list(cwd.iterdir())) == 1


def test_a_folder_gets_the_default_name(cwd: Path) -> None:
    (cwd / "clips").mkdir()
    for save in ("clips", "clips/"):
        target = Target.claim(save, 5)
        assert target.path.parent == cwd / "clips"
        assert target.path.name.endswith("-5.mp4")
        target.drop()


def test_permissions_are_those_of_any_new_file(cwd: Path) -> None:
    target = Target.claim("a.mp4", 1)
    target.commit()
    (cwd / "b").touch()
    assert target.path.stat().st_mode == (cwd / "b").stat().st_mode


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="mounts a small disk")
def test_a_disk_that_fills_up_is_said(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(disk)]
    if subprocess.run(mount, check=False).returncode != 0:
        pytest.skip("this sandbox does not mount")
    try:
        target = Target.claim(disk / "a.mp4", 1)
        noise = np.random.default_rng(0).integers(0, 255, (17, 96, 96, 3), dtype=np.uint8)
        with pytest.raises(OutputError, match="No space left"):
            write_mp4(target.part, noise, 8, {})
        target.drop()
        assert list(disk.iterdir()) == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_the_report_serialises(video: Video) -> None:
    assert json.loads(json.dumps(video.report.facts()))["tier"] == "none"


def test_what_a_killed_kernel_left_is_cleared_and_what_is_being_written_is_not(cwd: Path) -> None:
    code = (
        "import os, signal; from cogmagic._video.output_file import OutputFile as Target;"
        "t = Target.claim('a.mp4', 1); print(t.part, flush=True); os.kill(os.getpid(), 9)"
    )
    killed = subprocess.run([sys.executable, "-c", code], check=False, stdout=subprocess.PIPE)
    left = Path(killed.stdout.decode().strip())
    assert left.exists()
    (cwd / ".mine.part.mp4").touch()
    first = Target.claim("b.mp4", 1)
    assert not left.exists()
    second = Target.claim("c.mp4", 1)
    assert first.part.exists()
    first.drop()
    second.drop()
    assert [p.name for p in cwd.iterdir()] == [".mine.part.mp4"]


def test_a_video_is_saved_elsewhere(video: Video, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    copy = video.save(tmp_path / "other" / "b.mp4")
    assert copy.path.read_bytes() == video.path.read_bytes()
    assert copy.path.name == "b.mp4"
    with pytest.raises(OutputError, match="is there already"):
        video.save(copy.path)
    assert video.save(copy.path, overwrite=True) == copy
    video.path.unlink()
    with pytest.raises(OutputError, match="cannot be read"):
        video.save(tmp_path / "c.mp4")
    assert sorted(p.name for p in tmp_path.glob("*.mp4")) == []


def test_a_video_that_is_only_in_memory(video: Video, tmp_path: Path) -> None:
    unsaved = replace(video, path=tmp_path / "never.mp4", unsaved=video.path.read_bytes())
    assert (unsaved.frames() == video.frames()).all()
    assert "base64" in unsaved.player_html()
    assert "not saved" in unsaved.facts_line()
    saved = unsaved.save(tmp_path)
    assert saved.unsaved is None
    assert saved.path.read_bytes() == video.path.read_bytes()


def test_a_folder_that_became_read_only_is_said(cwd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = Target.claim("a.mp4", 1)

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(OutputError, match=r"cannot be written \(Permission denied\)"):
        target.commit()
    target.drop()
    assert list(cwd.iterdir()) == []


def test_too_little_room_is_said_before_the_run(cwd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    request = Request.of("x", find_model("tiny"))
    target = Target.claim("a.mp4", 1)
    check_room(target, request)
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(OutputError, match=r"has 0.0 MB left, and the video may take 0\.\d MB"):
        check_room(target, request)
    target.drop()
