"""The mask's video: every value comes back, and the drawing with it."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from cogmagic import OutputError, RequestError
from cogmagic._models.clips.clip import Clip, clip_of
from cogmagic._models.masks.levels import AFFECTED, REMOVED
from cogmagic._notebook.masks import file
from cogmagic._notebook.masks.drawing import Drawing, Move, Shape
from cogmagic._notebook.masks.file import MaskFile, mask_path
from cogmagic._notebook.masks.raster import raster
from cogmagic._video.clip_reader import read_frames
from tests.helpers.clips import Made

DRAWING = (
    Drawing()
    .drawn(Shape(REMOVED, ((12.0, 10.0), (30.0, 20.0)), radius=5), 0)
    .drawn(Shape(AFFECTED, ((10, 24), (50, 24), (44, 40))), 0)
    .moved(9, Move(1.3, 6, -3))
)


def mask_of(clip: Clip, frames: int, save: str | None = None, fps: int = 24) -> MaskFile:
    return MaskFile(mask_path(clip, save), clip, frames, Fraction(1, fps))


def stored(path: Path) -> list[np.ndarray[Any, Any]]:
    """The luma of each frame, as any reader decodes it."""
    with av.open(str(path)) as video:
        return [frame.to_ndarray(format="gray") for frame in video.decode(video=0)]


@pytest.mark.parametrize("size", [(64, 48), (65, 49)])
def test_every_value_of_every_frame_comes_back(cwd: Path, size: tuple[int, int]) -> None:
    clip = clip_of(np.zeros((12, size[1], size[0], 3), np.uint8))
    mask = mask_of(clip, 12, "m.mp4")
    mask.write(DRAWING)
    expected = [raster(DRAWING, n, size) for n in range(12)]
    assert len(np.unique(expected)) == 3
    assert (np.array(stored(mask.path)) == expected).all()
    # and through cogmagic's own reader, at the clip's rate
    read = read_frames(clip_of(mask.path), start=0, fps=24, num_frames=12, size=size, fit="stretch")
    assert (read == np.array(expected)[..., None]).all()


def test_all_256_values_survive_the_encoding(cwd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ramp = np.arange(256, dtype=np.uint8)[None].repeat(16, 0)
    monkeypatch.setattr(file, "each_raster", lambda *_: iter([ramp, ramp[:, ::-1].copy()]))
    mask = mask_of(clip_of(np.zeros((2, 16, 256, 3), np.uint8)), 2, "m.mp4")
    mask.write(DRAWING)
    assert (np.array(stored(mask.path)) == [ramp, ramp[:, ::-1]]).all()


def test_the_drawing_is_loaded_again(cwd: Path) -> None:
    clip = clip_of(Made("my clip.mp4", "libx264", count=10).at(cwd))
    mask = mask_of(clip, 10)
    assert mask.path == cwd / "my clip-mask.mp4"
    assert mask.stored() == Drawing()
    many = Drawing(tuple(DRAWING.shapes * 400), DRAWING.keyframes)  # a comment of 20 kB
    mask.write(many)
    assert mask.stored() == many
    assert [p.name for p in sorted(cwd.iterdir())] == ["my clip-mask.mp4", "my clip.mp4"]


def test_a_long_clip_has_the_moving_frames_and_one_a_second(
    cwd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file, "_SHORT", 50)
    clip = clip_of(np.broadcast_to(np.uint8(0), (96, 48, 64, 3)))
    mask = mask_of(clip, 96, "m.mp4")
    mask.write(DRAWING)
    assert len(stored(mask.path)) == 10 + 4  # 0 to 9; 24, 48, 72; 95
    opened = clip_of(mask.path)
    read = read_frames(opened, start=0, fps=24, num_frames=96, size=(64, 48), fit="stretch")
    assert all((read[n, :, :, 0] == raster(DRAWING, n, (64, 48))).all() for n in range(96))


@pytest.mark.parametrize(
    ("save", "path"),
    [(None, "a/walk-mask.mp4"), ("b", "b/walk-mask.mp4"), ("b/other.mp4", "b/other.mp4")],
)
def test_paths(cwd: Path, save: str | None, path: str) -> None:
    for name in "ab":
        (cwd / name).mkdir()
    clip = clip_of(Made("walk.mp4", "libx264", count=3).at(cwd / "a"))
    assert mask_path(clip, save) == cwd / path


def test_the_path_of_a_folder_of_pictures_is_beside_it(
    cwd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from PIL import Image

    (cwd / "shots").mkdir()
    for n in range(3):
        Image.new("RGB", (16, 16)).save(cwd / "shots" / f"{n}.png")
    assert mask_path(clip_of("shots"), None) == cwd / "shots-mask.mp4"
    monkeypatch.chdir(cwd / "shots")
    for shots in (".", "../shots", ["0.png", "1.png"]):
        assert mask_path(clip_of(shots), None) == cwd / "shots-mask.mp4"


def test_a_working_directory_that_was_removed(cwd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = clip_of(np.zeros((3, 16, 16, 3), np.uint8))
    gone = cwd / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(OutputError, match="working directory no longer exists"):
        mask_path(clip, None)


def another_size(cwd: Path, _: Path) -> None:
    clip = clip_of(np.zeros((7, 32, 32, 3), np.uint8))
    mask_of(clip, 7, "clip-mask.mp4").write(DRAWING)


def another_program(cwd: Path, clip: Path) -> None:
    (cwd / "clip-mask.mp4").write_bytes(clip.read_bytes())


def damaged(cwd: Path, _: Path) -> None:
    (cwd / "clip-mask.mp4").write_bytes(b"no video")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (another_size, r"mask of 7 frames of 32×32, but .*10 frames of 64×48.*--save NAME\.mp4"),
        (another_program, r"was not drawn here, so it is not replaced.*--mask .*--save NAME\.mp4"),
        (damaged, r"was not drawn here, so it is not replaced"),
    ],
)
def test_a_file_that_is_not_this_clips_mask_stays(
    cwd: Path, make: Callable[[Path, Path], None], message: str
) -> None:
    path = Made("clip.mp4", "libx264", count=10).at(cwd)
    make(cwd, path)
    before = (cwd / "clip-mask.mp4").read_bytes()
    with pytest.raises(RequestError, match=message) as refused:
        mask_of(clip_of(path), 10).stored()
    assert "\n" not in str(refused.value)
    assert (cwd / "clip-mask.mp4").read_bytes() == before


@pytest.mark.parametrize(
    ("save", "message"),
    [
        ("/proc/m.mp4", r"/proc cannot be written .*--save FOLDER"),
        ("none/m.mp4", r"the folder .*none does not exist"),
        ("m.mkv", r"a mask is an MP4\. Type --save m\.mp4"),
        ("~nobody-here/m.mp4", r"is not a usable path"),
    ],
)
def test_a_place_that_cannot_be_written_is_refused_first(
    cwd: Path, save: str, message: str
) -> None:
    clip = clip_of(np.zeros((3, 16, 16, 3), np.uint8))
    with pytest.raises(OutputError, match=message):
        mask_of(clip, 3, save).check()
    assert list(cwd.iterdir()) == []


def test_a_failed_save_keeps_the_old_file(cwd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = clip_of(np.zeros((12, 48, 64, 3), np.uint8))
    mask = mask_of(clip, 12, "m.mp4")
    mask.write(DRAWING)
    before = mask.path.read_bytes()

    def full(*_: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(file, "_grey", full)
    with pytest.raises(OutputError, match=r"The mask .*No space left.* save it again"):
        mask.write(DRAWING.moved(3, Move(1, 1, 0)))
    assert mask.path.read_bytes() == before
    assert len(list(cwd.iterdir())) == 1
