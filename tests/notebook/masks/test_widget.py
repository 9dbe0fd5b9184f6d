"""The canvas without a page: its commands, and what it answers."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

import cogmagic
from cogmagic import OutputError, RequestError
from cogmagic._models.clips.clip import clip_of
from cogmagic._models.masks.levels import KEPT, REMOVED
from cogmagic._notebook.masks.widget import MaskCanvas
from tests.helpers.cells import displayed
from tests.helpers.clips import Made, numbers

STROKE = [REMOVED, 4.0, 10, 10, 30, 20]


@pytest.fixture
def clip(cwd: Path) -> Path:
    return Made("walk.mp4", "libx264", count=20).at(cwd)


@pytest.fixture
def canvas(clip: Path) -> MaskCanvas:
    made: MaskCanvas = cogmagic.mask(clip)
    return made


@pytest.fixture
def do(canvas: MaskCanvas) -> Callable[..., dict[str, Any]]:
    """Sends a command as the page does, and returns the state after it."""

    def send(kind: str, **command: Any) -> dict[str, Any]:
        number = canvas.state["answered"] + 1
        canvas._on_message(canvas, {"do": kind, "id": number, **command}, [])
        assert canvas.state["answered"] == number
        return dict(canvas.state)

    return send


def painted(canvas: MaskCanvas) -> np.ndarray[Any, Any]:
    """Where the picture over the frame is not transparent."""
    return np.asarray(Image.open(BytesIO(canvas.overlay)).convert("RGBA"))[..., 3] > 0


def test_frames_of_the_clip_are_shown(canvas: MaskCanvas, do: Callable[..., Any]) -> None:
    for frame in (0, 7, 19, 3):
        assert do("show", frame=frame)["frame"] == frame
        picture = np.asarray(Image.open(BytesIO(canvas.picture)))
        assert picture.shape[:2] == painted(canvas).shape == (336, 448)  # 64×48, seven times
        assert numbers(picture[None]) == [frame]
    assert do("show", frame=99)["frame"] == 19


def test_drawn_moved_undone_and_redone(canvas: MaskCanvas, do: Callable[..., Any]) -> None:
    assert not painted(canvas).any()
    assert do("draw", frame=0, shape=STROKE)["keyframes"] == [0]
    at_first = painted(canvas)
    assert at_first.any()
    do("show", frame=10)
    assert do("move", frame=10, scale=1, dx=8, dy=0)["keyframes"] == [0, 10]
    assert (painted(canvas)[:, 56:] == at_first[:, :-56]).all()
    state = do("show", frame=5)
    assert (painted(canvas)[:, 28:] == at_first[:, :-28]).all()
    assert state["box"] == pytest.approx((10, 6, 38, 24))
    assert do("key", frame=5)["keyframes"] == [0, 5, 10]
    assert do("unkey", frame=5)["keyframes"] == [0, 10]
    assert do("clear")["box"] is None
    for _ in range(4):
        state = do("undo")
    assert (state["undo"], state["redo"], state["keyframes"]) == (True, True, [0])
    assert not do("undo")["undo"]
    assert do("undo")["error"] == ""
    assert do("redo")["keyframes"] == [0]
    assert (painted(canvas) == at_first).all()


def test_saved_used_as_a_path_and_loaded_again(
    canvas: MaskCanvas, do: Callable[..., Any], clip: Path
) -> None:
    with pytest.raises(RequestError, match="mask is empty"):
        os.fspath(canvas)
    assert "mask is empty" in do("save")["error"]
    do("draw", frame=0, shape=STROKE)
    assert not canvas.saved
    read = clip_of(canvas)  # as --mask does
    assert canvas.saved
    assert (read.size, read.fps) == ((64, 48), 24)
    written = canvas.path.stat().st_mtime_ns
    assert canvas.path.stat().st_mtime_ns == written  # nothing has changed since
    canvas.path.unlink()
    assert canvas.path.is_file()
    do("move", frame=19, scale=1, dx=5, dy=5)
    assert "--video walk.mp4 --mask walk-mask.mp4" in do("save")["note"]
    again = cogmagic.mask(clip)
    assert again.saved
    assert again.state["note"] == "Loaded from walk-mask.mp4."
    assert again.state["keyframes"] == [0, 19]
    assert again.overlay == overlay_of_first(canvas, do)
    do("undo")
    assert not canvas.saved
    do("redo")
    assert canvas.saved
    do("draw", frame=0, shape=[KEPT, 0, -99, -99, 199, -99, 199, 199, -99, 199])  # erases all
    written = canvas._file.path.read_bytes()
    assert "mask is empty" in do("save")["error"]
    assert canvas._file.path.read_bytes() == written


def overlay_of_first(canvas: MaskCanvas, do: Callable[..., Any]) -> bytes:
    do("show", frame=0)
    return bytes(canvas.overlay)


def test_the_preview_is_the_clip_under_the_mask(canvas: MaskCanvas, do: Callable[..., Any]) -> None:
    do("draw", frame=0, shape=[REMOVED, 0, 0, 0, 64, 0, 64, 24, 0, 24])
    assert do("film")["note"] == "Preview of frames 1 to 20."
    with av.open(BytesIO(canvas.film)) as video:
        frames = np.array([f.to_ndarray(format="rgb24") for f in video.decode(video=0)])
    assert frames.shape == (20, 48, 64, 3)
    assert numbers(frames[:, 24:].repeat(2, 1)) == [0] * 20  # its lower half is black
    red, green, _ = frames[:, 6:18].reshape(-1, 3).mean(0)
    assert red > green + 100


@pytest.mark.parametrize(
    "command",
    [
        {"do": "draw", "frame": 0, "shape": [1, 2, 3]},
        {"do": "draw", "frame": 99, "shape": STROKE},
        {"do": "draw", "frame": 0},
        {"do": "move", "frame": 0, "scale": 0, "dx": 1, "dy": 1},
        {"do": "move", "frame": 0, "scale": 1, "dx": float("nan"), "dy": 1},
        {"do": "show", "frame": "x"},
    ],
)
def test_numbers_out_of_range_change_nothing(
    canvas: MaskCanvas, do: Callable[..., Any], command: dict[str, Any]
) -> None:
    do("draw", frame=0, shape=STROKE)
    before = canvas._editor.drawing
    assert "cannot be done" in do(command.pop("do"), **command)["error"]
    assert canvas._editor.drawing == before
    assert do("show", frame=1)["error"] == ""


def test_a_clip_that_changes_meanwhile_is_reported(
    canvas: MaskCanvas, do: Callable[..., Any], clip: Path
) -> None:
    clip.write_bytes(b"")
    assert "has changed since" in do("show", frame=15)["error"]


def test_what_is_in_memory_has_its_mask_in_the_working_directory(cwd: Path) -> None:
    canvas = cogmagic.mask(np.zeros((5, 20, 30, 3), np.uint8))
    assert repr(canvas) == "[cogmagic] mask of The clip"
    canvas._on_message(canvas, {"id": 1, "do": "draw", "frame": 0, "shape": STROKE}, [])
    assert canvas.path == cwd / "clip-mask.mp4"
    assert "Use it: --mask clip-mask.mp4" in canvas.state["note"]


def test_without_the_packages_the_error_names_them(
    clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "cogmagic._notebook.masks.widget", raising=False)
    monkeypatch.setitem(sys.modules, "anywidget", None)
    with pytest.raises(RequestError, match=r"anywidget\. Type %pip install anywidget ipywidgets"):
        cogmagic.mask(clip)


def test_the_verb_takes_a_path_with_spaces_or_a_variable(shell: Any, cwd: Path) -> None:
    Made("my walk.mp4", "libx264", count=5).at(cwd)
    for line in ("my walk.mp4 --out a", '--out a "my walk.mp4"', "clip --out=a --save m.mp4"):
        shell.push({"clip": cwd / "my walk.mp4"})
        shown = displayed(shell, f"%cogvideo mask {line}")
        assert "application/vnd.jupyter.widget-view+json" in shown[0]
        assert isinstance(shell.user_ns["a"], MaskCanvas)
    assert shell.user_ns["a"]._file.path == cwd / "m.mp4"


@pytest.mark.parametrize(
    ("line", "error", "message"),
    [
        ("", RequestError, r"needs a clip\. Type %cogvideo mask clip\.mp4"),
        ("none.mp4", RequestError, r"No clip at none\.mp4"),
        ("still.png", RequestError, r"still\.png has 1 frame: it is a picture"),
        ("notes.mp4", RequestError, r"notes\.mp4 cannot be read as a video"),
        ("walk.mp4 --sav x.mp4", RequestError, r"Did you mean '--save'\?"),
        ("walk.mp4 --save", RequestError, r"--save needs a value"),
        ("walk.mp4 --save x.avi", OutputError, r"Type --save x\.mp4"),
        ("walk.mp4 --save /proc", OutputError, r"/proc cannot be written"),
    ],
)
def test_lines_that_cannot_be_used(
    shell: Any, clip: Path, line: str, error: type[Exception], message: str
) -> None:
    Image.new("RGB", (16, 16)).save("still.png")
    Path("notes.mp4").write_text("no video")
    with pytest.raises(error, match=message) as refused:
        shell.run(f"%cogvideo mask {line}")
    assert "\n" not in str(refused.value)
    assert {p.name for p in Path.cwd().iterdir()} == {"walk.mp4", "still.png", "notes.mp4"}
