"""The output file: claimed before the run, written atomically."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from types import SimpleNamespace

import numpy as np
import pytest

from cogmagic import OutputError, Video
from cogmagic._models.find import find_model
from cogmagic._models.request import Request
from cogmagic._video.formats.mp4 import MP4
from cogmagic._video.output_file import OutputFile, check_disk_space


def _refuse(*_: object, **__: object) -> None:
    """Fail like a file system without hard links, such as FAT."""
    raise PermissionError(1, "Operation not permitted")


def test_default_names_do_not_collide(cwd: Path) -> None:
    first = OutputFile.claim(None, 7)
    first.part.write_bytes(b"1")
    first.commit()
    assert re.fullmatch(r"cogvideo-\d{8}-\d{6}-7\.mp4", first.path.name)
    clash = OutputFile.claim(None, 7)
    assert clash.path != first.path
    clash.drop()
    assert [p.name for p in cwd.iterdir()] == [first.path.name]


@pytest.mark.parametrize("links", [True, False], ids=["hard links", "no hard links"])
def test_every_writer_of_one_second_and_seed_gets_a_file(
    cwd: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    monkeypatch.setattr("time.strftime", lambda _: "20260102-030405")
    if not links:  # as on FAT
        monkeypatch.setattr(os, "link", _refuse)
    saves = [None, cwd, f"{cwd}/"] * 8
    targets = [OutputFile.claim(s, 7, overwrite=n % 2 == 0) for n, s in enumerate(saves)]
    for number, target in enumerate(targets):
        target.copy(f"{number}".encode())
    with ThreadPoolExecutor(len(targets)) as pool:
        begin = Barrier(len(targets))

        def commit(target: OutputFile) -> Path:
            begin.wait()
            path = target.commit()
            target.drop()
            return path

        paths = list(pool.map(commit, targets))
    numbers = ["", *(f"-{n}" for n in range(2, 25))]
    expected = {f"cogvideo-20260102-030405-7{n}.mp4" for n in numbers}
    assert {p.name for p in cwd.iterdir()} == expected
    assert [p.read_text() for p in paths] == [f"{n}" for n in range(len(paths))]
    assert all(p.is_absolute() for p in paths)


def test_failure_without_hard_links_leaves_no_empty_file(
    cwd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = OutputFile.claim("a.mp4", 1)
    with monkeypatch.context() as patch:
        patch.setattr(os, "link", _refuse)
        patch.setattr(os, "replace", _refuse)
        with pytest.raises(OutputError, match=r"cannot be written \(Operation not permitted\)"):
            target.commit()
    target.drop()
    assert list(cwd.iterdir()) == []


def test_name_of_a_broken_link_is_taken(cwd: Path) -> None:
    (cwd / "a.mp4").symlink_to("missing/b.mp4")
    with pytest.raises(OutputError, match="already exists"):
        OutputFile.claim("a.mp4", 1)


@pytest.mark.parametrize(
    ("save", "message"),
    [
        (
            "clip.avi",
            "must end in .mp4, .gif, .webm or .png (frames), or be a folder. "
            "Did you mean 'clip.mp4'?",
        ),
        ("clip", "or be a folder. Type 'clip.mp4', or make that folder."),
        ("missing/clip.mp4", "the folder missing does not exist"),
        ("missing/", "the folder missing does not exist"),
        ("edge.mp4", "already exists"),
        ("edge.mp4/x.mp4", "edge.mp4 is a file. Name a folder instead."),
        ("/proc/x.mp4", "/proc cannot be written"),
        ("~nobody-at-all/x.mp4", "(~nobody-at-all is no user's home folder: type the whole path"),
        ("x" * 296 + ".mp4", "the name has 300 bytes, and a file's may have 255. Shorten it."),
        ("狐" * 100, "the name has 300 bytes"),
        ("狐" * 100 + "/", "the name has 300 bytes"),
        ("y" * 256 + "/x.mp4", "the name has 256 bytes"),
        ("z/" * 3000 + "x.mp4", "the path is too long (6005 bytes). Shorten it."),
        ("a\0b.mp4", "has a NUL character. Remove it."),
        ("a\0b/", "has a NUL character. Remove it."),
        ("a\0b/x.mp4", "has a NUL character. Remove it."),
        ("\ud800.mp4", "is not a usable path"),
        ("/sys/x.mp4", "/sys cannot be written ("),
    ],
)
def test_unwritable_path_is_refused(video: Video, save: str, message: str) -> None:
    before = sorted(video.path.parent.iterdir())
    with pytest.raises(OutputError) as error:
        OutputFile.claim(save, 1)
    assert message in str(error.value)
    assert sorted(video.path.parent.iterdir()) == before


@pytest.mark.parametrize("save", [None, "", ".", "..", "a.mp4", "../a.mp4", "clips/"])
def test_removed_working_directory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, save: str | None
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    (tmp_path / "gone").mkdir()  # again: it is another folder
    with pytest.raises(OutputError, match=r"working directory no longer exists.*Type %cd FOLDER"):
        OutputFile.claim(save, 1)
    target = OutputFile.claim(tmp_path / "gone" / "a.mp4", 1)
    target.copy(b"1")
    assert target.commit() == tmp_path / "gone" / "a.mp4"


def test_working_directory_that_is_read_only_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/sys")
    with pytest.raises(OutputError, match=r"^/sys cannot be written \(.*--save FOLDER\.$"):
        OutputFile.claim(None, 1)


def test_name_of_255_bytes_is_written(cwd: Path) -> None:
    target = OutputFile.claim("狐" * 83 + "xy.mp4", 1)
    assert target.commit().stat().st_size == 0


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="no second device")  # noqa: S108
def test_folder_on_another_device_takes_the_file(cwd: Path) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as disk:
        assert Path(disk).stat().st_dev != cwd.stat().st_dev
        (cwd / "disk").symlink_to(disk)
        for save, overwrite in (("disk/a.mp4", False), ("disk/a.mp4", True), ("disk", False)):
            target = OutputFile.claim(save, 1, overwrite=overwrite)
            target.copy(save.encode())
            assert target.commit().read_bytes() == save.encode()
        assert len(list(Path(disk).iterdir())) == 2


def test_file_is_overwritten_only_if_asked(video: Video, frames: np.ndarray) -> None:
    target = OutputFile.claim(video.path, 1, overwrite=True)
    assert video.path.stat().st_size > 0  # the old file stays until the new one is complete
    MP4.write(target.part, frames[:1], 8, {})
    target.commit()
    assert len(video.frames()) == 1


@pytest.mark.parametrize("links", [True, False], ids=["hard links", "no hard links"])
def test_file_created_during_the_run_is_not_replaced(
    cwd: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    target = OutputFile.claim("a.mp4", 1)
    (cwd / "a.mp4").write_text("mine")
    with monkeypatch.context() as patch:
        if not links:
            patch.setattr(os, "link", _refuse)
        with pytest.raises(OutputError, match="was created by another program"):
            target.commit()
    target.drop()
    assert (cwd / "a.mp4").read_text() == "mine"
    assert len(list(cwd.iterdir())) == 1


def test_folder_gets_a_file_with_the_default_name(cwd: Path) -> None:
    (cwd / "clips").mkdir()
    for save in ("clips", "clips/"):
        target = OutputFile.claim(save, 5)
        assert target.path.parent == cwd / "clips"
        assert target.path.name.endswith("-5.mp4")
        target.drop()


def test_file_has_the_permissions_of_any_new_file(cwd: Path) -> None:
    target = OutputFile.claim("a.mp4", 1)
    target.commit()
    (cwd / "b").touch()
    assert target.path.stat().st_mode == (cwd / "b").stat().st_mode


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="mounts a small disk")
def test_disk_that_fills_up_is_an_output_error(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(disk)]
    if subprocess.run(mount, check=False).returncode != 0:
        pytest.skip("this sandbox does not mount")
    try:
        target = OutputFile.claim(disk / "a.mp4", 1)
        noise = np.random.default_rng(0).integers(0, 255, (17, 96, 96, 3), dtype=np.uint8)
        with pytest.raises(OutputError, match="No space left"):
            MP4.write(target.part, noise, 8, {})
        target.drop()
        assert list(disk.iterdir()) == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_leftovers_of_killed_kernels_are_removed_and_files_in_use_are_not(cwd: Path) -> None:
    code = (
        "import os, signal; from cogmagic._video.output_file import OutputFile;"
        "t = OutputFile.claim('a.mp4', 1); print(t.part, flush=True); os.kill(os.getpid(), 9)"
    )
    killed = subprocess.run([sys.executable, "-c", code], check=False, stdout=subprocess.PIPE)
    left = Path(killed.stdout.decode().strip())
    assert left.exists()
    (cwd / ".mine.part.mp4").touch()
    first = OutputFile.claim("b.mp4", 1)
    assert not left.exists()
    second = OutputFile.claim("c.mp4", 1)
    assert first.part.exists()
    first.drop()
    second.drop()
    assert [p.name for p in cwd.iterdir()] == [".mine.part.mp4"]


def test_folder_that_became_read_only_is_an_output_error(
    cwd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = OutputFile.claim("a.mp4", 1)

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(OutputError, match=r"cannot be written \(Permission denied\)"):
        target.commit()
    target.drop()
    assert list(cwd.iterdir()) == []


def test_too_little_disk_space_is_refused_before_the_run(
    cwd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = Request.of("x", find_model("tiny"))
    target = OutputFile.claim("a.mp4", 1)
    check_disk_space(target, request)
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(OutputError, match=r"has 0.0 MB free, but the video may take 0\.\d MB"):
        check_disk_space(target, request)
    target.drop()


def test_path_that_is_not_text_is_a_one_line_error(cwd: Path) -> None:
    with pytest.raises(OutputError, match="--save '3' is not a usable path"):
        OutputFile.claim(3, 1)  # type: ignore[arg-type]
