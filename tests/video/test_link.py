"""The link to a video: it works in the notebook's folder, and is refused elsewhere."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote

import pytest

from cogmagic._video.link import NoLinkError, relative_url

NAMES = ["a b.mp4", "100%.mp4", "#1.mp4", "what?.mp4", "it's.mp4", '"x".mp4', "a&b+c;d=e.mp4",
         "a:b.mp4", "back\\slash.mp4", "<b>.mp4", "狐.mp4", "%23.mp4", "clips/a b.mp4"]  # fmt: skip


def made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


@pytest.mark.parametrize("name", NAMES)
def test_url_of_any_name_is_quoted(cwd: Path, name: str) -> None:
    url = relative_url(made(cwd / name))
    assert not set(url) & set(" %#?'\"&<>:\\".replace("%", ""))
    assert unquote(url) == name


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../other/a.mp4", "outside the notebook's folder"),
        ("../notebook2/a.mp4", "outside the notebook's folder"),
        (".clips/a.mp4", "Jupyter serves no hidden files"),
        (".a.mp4", "Jupyter serves no hidden files"),
        ("clips/\udcff.mp4", "not valid UTF-8"),
    ],
)
def test_file_that_the_front_end_cannot_reach_is_refused(
    cwd: Path, monkeypatch: pytest.MonkeyPatch, name: str, reason: str
) -> None:
    (cwd / "notebook").mkdir()
    monkeypatch.chdir(cwd / "notebook")
    with pytest.raises(NoLinkError, match=reason):
        relative_url(made(Path(name)).absolute())


def test_links_follow_symbolic_links_as_the_server_does(
    cwd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = made(cwd / "disk" / "clips" / "a.mp4")
    (cwd / "notebook").mkdir()
    (cwd / "notebook" / "linked").symlink_to(clip.parent)
    (cwd / "alias").symlink_to("notebook")
    inside = made(cwd / "notebook" / "b.mp4")
    monkeypatch.chdir(cwd / "notebook")
    assert relative_url(Path("linked/a.mp4").absolute()) == "linked/a.mp4"
    assert relative_url(cwd / "alias" / "b.mp4") == "b.mp4"
    assert relative_url(cwd / "disk" / ".." / "notebook" / "b.mp4") == "b.mp4"
    assert relative_url(Path("b.mp4")) == "b.mp4"
    assert inside.exists()
    made(cwd / "disk" / "c.mp4")
    made(cwd / "notebook" / "c.mp4")  # another file: .. leads out of the link's target
    with pytest.raises(NoLinkError, match="outside"):
        relative_url(cwd / "notebook" / "linked" / ".." / "c.mp4")
    with pytest.raises(NoLinkError, match="outside"):
        relative_url(clip)


def test_removed_working_directory_is_a_reason(cwd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = made(cwd / "a.mp4")
    (cwd / "gone").mkdir()
    monkeypatch.chdir(cwd / "gone")
    (cwd / "gone").rmdir()
    with pytest.raises(NoLinkError, match="the working directory no longer exists"):
        relative_url(clip)


def test_working_directory_of_a_shell_does_not_move_its_links(shell: object, cwd: Path) -> None:
    clip = made(cwd / "clips" / "a.mp4")
    os.chdir(clip.parent)
    assert relative_url(clip) == "clips/a.mp4"
    os.chdir("/")
    assert relative_url(clip) == "clips/a.mp4"
