"""Disks that fill up, folders that become read-only or vanish, and kernels that are killed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import cogmagic
from cogmagic import OutputError, Progress
from cogmagic._session.session import Session
from cogmagic._video.formats.registry import read_metadata
from tests.helpers.benchmarks import ROOT
from tests.helpers.disks import mounted_disk
from tests.helpers.toy import PROMPT, QUICK

CLIP: dict[str, Any] = {"seed": 3, "num_inference_steps": 2}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 40 KiB."""
    with mounted_disk(tmp_path / "disk", kib=40) as disk:
        yield disk


def test_full_disk_while_writing_keeps_the_video_in_memory(
    toy: Path, small_disk: Path, tmp_path: Path, session: Session
) -> None:
    wish: dict[str, Any] = {"model": str(toy), "save": small_disk, "num_frames": 17} | CLIP
    with pytest.raises(OutputError, match=r"No space left on device.*kept in memory"):
        cogmagic.generate(PROMPT, **wish)
    assert list(small_disk.iterdir()) == []
    saved = cogmagic.unsaved().save(tmp_path)
    assert len(saved.frames()) == 17
    assert saved.report.frames_sha256


def test_full_disk_is_refused_before_the_run(toy: Path, small_disk: Path, session: Session) -> None:
    (small_disk / "full").write_bytes(b"x" * 36_000)
    said: list[Progress] = []
    with pytest.raises(OutputError, match=r"MB free, but the video may take"):
        cogmagic.generate(PROMPT, model=str(toy), save=small_disk, on_progress=said.append, **CLIP)
    assert said == []
    assert [p.name for p in small_disk.iterdir()] == ["full"]


def test_folder_deleted_during_the_run_keeps_the_video_in_memory(
    toy: Path, tmp_path: Path, session: Session
) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()

    def vanish(progress: Progress) -> None:
        if progress.phase == "decode":
            shutil.rmtree(folder, ignore_errors=True)

    with pytest.raises(OutputError, match="kept in memory"):
        cogmagic.generate(PROMPT, model=str(toy), save=folder, on_progress=vanish, **CLIP)
    assert cogmagic.unsaved().save(tmp_path).path.is_file()


READ_ONLY = """
import os, sys, cogmagic
from pathlib import Path
def close(progress):
    if progress.phase == "denoise":
        os.chmod("clips", 0o555)
try:
    cogmagic.generate("a red circle", model=sys.argv[1], save="clips/", num_inference_steps=2,
                      num_frames=9, seed=1, on_progress=close)
except cogmagic.OutputError as error:
    print(error)
    os.chmod("clips", 0o755)
    print(len(cogmagic.unsaved().save("clips/").frames()))
"""


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("setpriv"), reason="root could write there all the same")
def test_folder_made_read_only_during_the_run_keeps_the_video_in_memory(
    toy: Path, tmp_path: Path
) -> None:
    (tmp_path / "clips").mkdir()
    bound = ["setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override"]
    command = [*(bound if os.geteuid() == 0 else []), sys.executable, "-c", READ_ONLY, str(toy)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    first, second = done.stdout.strip().splitlines()
    assert "cannot be written (Permission denied). The video is kept in memory" in first
    assert second == "9"


@pytest.mark.slow
def test_killed_process_leaves_no_unplayable_video() -> None:
    script = ROOT / "docs" / "benchmarks" / "kill.py"
    command = [sys.executable, str(script), "--times", "2", "--seed", "7"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) == 2
    assert rows[-1]["videos"] >= 2


def test_write_error_loses_no_video(
    toy: Path, cwd: Path, session: Session, shell: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "hardlink_to", refuse)
        patch.setattr(Path, "replace", refuse)
        with pytest.raises(OutputError, match=r"No space left.*%cogvideo save PATH"):
            cogmagic.generate(PROMPT, model=str(toy), save="a.mp4", **QUICK)
    assert list(cwd.iterdir()) == []
    assert cogmagic.unsaved().unsaved
    saved = shell.run_line_magic("cogvideo", "save there.mp4")
    assert saved.path == cwd / "there.mp4"
    assert len(saved.frames()) == 9
    with pytest.raises(OutputError, match="already exists"):
        shell.run_line_magic("cogvideo", "save there.mp4")
    with pytest.raises(cogmagic.RequestError, match="No path to save to"):
        shell.run_line_magic("cogvideo", "save")


@pytest.mark.parametrize("name", ["a.gif", "a.webm", "a.png"])
def test_full_disk_keeps_a_video_of_any_format_in_memory(
    toy: Path, small_disk: Path, cwd: Path, session: Session, shell: Any, name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("cogmagic._session.session.check_disk_space", lambda *_: None)
    full = {"model": str(toy), "save": small_disk / name, "num_frames": 17} | CLIP
    with pytest.raises(OutputError, match=r"No space left on device.*kept in memory"):
        cogmagic.generate(PROMPT, **full)
    assert list(small_disk.iterdir()) == []
    saved = shell.run_line_magic("cogvideo", f"save {name}")
    assert saved.path == cwd / name.replace(".png", "")
    assert len(saved.frames()) == 17
    assert read_metadata(saved.path)["seed"] == 3
    assert shell.run_line_magic("cogvideo", f"save {saved.path.parent}").format == saved.format
    assert list(cwd.glob(".*")) == []


@pytest.mark.parametrize("name", ["fox.GIF", "fox.webm", "fox.png"])
def test_run_writes_the_format_of_the_suffix(
    toy: Path, cwd: Path, session: Session, name: str
) -> None:
    video = cogmagic.generate(PROMPT, model=str(toy), save=name, **QUICK)
    assert [p.name for p in cwd.iterdir()] == [video.path.name]
    assert (video.format, len(video.frames())) == (name[4:].lower(), 9)
    digest = hashlib.sha256(video.frames().tobytes()).hexdigest()
    assert (digest == video.report.frames_sha256) is (video.format == "png")
    assert read_metadata(video.path)["frames_sha256"] == video.report.frames_sha256
    with pytest.raises(OutputError, match="already exists"):
        cogmagic.generate(PROMPT, model=str(toy), save=name, **QUICK)


def test_gif_over_50_frames_per_second_is_refused_before_the_run(
    toy: Path, cwd: Path, session: Session
) -> None:
    seen: list[Progress] = []
    with pytest.raises(OutputError, match=r"not 60.*fps=50\), or save as \.mp4, \.webm or \.png"):
        cogmagic.generate(
            PROMPT, model=str(toy), save="a.gif", fps=60, on_progress=seen.append, **QUICK
        )
    assert (seen, list(cwd.iterdir())) == ([], [])


def test_saving_without_an_unsaved_video_is_an_error(session: Session) -> None:
    session.unsaved = None
    with pytest.raises(OutputError, match="No unsaved video"):
        cogmagic.unsaved()


def test_script_in_a_removed_folder_is_refused_before_torch_aborts(cwd: Path) -> None:
    code = f"""
import os
os.mkdir("gone"); os.chdir("gone"); os.rmdir({str(cwd / "gone")!r})
import cogmagic
print(cogmagic.plan().tier, cogmagic.status().loaded)
cogmagic.generate("a red circle moves to the right", save={str(cwd)!r})
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert ran.stdout == "none None\n"
    assert "OutputError: The working directory no longer exists" in ran.stderr
    assert list(cwd.iterdir()) == []
