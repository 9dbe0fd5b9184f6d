"""Cells in a real IPython shell: output, files, images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cogmagic import RequestError, Video
from cogmagic._html import MARK
from cogmagic._video.formats.registry import read_metadata
from tests.helpers.cells import cell, displayed, printed


def test_out_holds_the_video_that_is_displayed(shell: Any, toy: Path, cwd: Path) -> None:
    (bundle,) = displayed(shell, cell(toy, "--seed 7 --out fox --fps 12"))
    video = shell.user_ns["fox"]
    assert isinstance(video, Video)
    assert video.path.is_file()
    assert [p.name for p in cwd.iterdir()] == [video.path.name]
    frames = video.frames()
    assert frames.shape == (9, 32, 48, 3)
    assert frames.dtype == np.uint8
    assert (video.seed, video.fps) == (7, 12)
    assert 'src="data:video/mp4;base64,' in bundle["text/html"]
    assert 'aria-label="9 frames of 48×32 at 12 fps"' in bundle["text/html"]
    assert bundle["text/plain"].startswith(MARK)


def test_cell_without_out_adds_no_variable(shell: Any, toy: Path) -> None:
    before = set(shell.user_ns)
    assert shell.run(cell(toy)) is None
    assert set(shell.user_ns) - before <= {"_i", "_ii", "_iii", "_i1", "_i2", "_i3"}


def test_save_takes_a_file_or_a_folder_and_overwrites_on_request(
    shell: Any, toy: Path, cwd: Path
) -> None:
    (cwd / "my clips").mkdir()
    shell.run(cell(toy, "--seed 1 --save fox.mp4"))
    shell.run(cell(toy, '--seed 1 --save "my clips"'))
    (inside,) = (cwd / "my clips").iterdir()
    assert inside.name.startswith("cogvideo-")
    assert inside.name.endswith("-1.mp4")
    shell.run(cell(toy, "--seed 2 --save fox.mp4 --overwrite"))
    assert read_metadata(cwd / "fox.mp4")["seed"] == 2
    assert sorted(p.name for p in cwd.iterdir()) == ["fox.mp4", "my clips"]


def test_prompt_is_literal_and_options_are_expanded(shell: Any, toy: Path, cwd: Path) -> None:
    body = 'a {seed} $seed <b onclick="x()">red</b> & \\n %d circle'
    shell.user_ns["seed"] = 5
    shell.run(cell(toy, "--truncate --seed {seed} --save fox.mp4 --out fox", body))
    assert shell.user_ns["fox"].prompt == body
    assert read_metadata(cwd / "fox.mp4")["prompt"] == body
    assert shell.user_ns["fox"].seed == 5


def test_html_in_file_names_is_escaped(shell: Any, toy: Path) -> None:
    name = "<i onclick=x>.mp4"
    shell.run("%config CogMagic.embed_limit_mb = 0")
    (player,) = displayed(shell, cell(toy, f'--save "{name}" --out fox', "a <i>red</i> circle"))
    (whole,) = displayed(shell, "display(fox)")
    for html in (player["text/html"], whole["text/html"]):
        assert "<i" not in html
        assert 'src="data:video' not in html
    assert "&lt;i onclick=x&gt;.mp4" in whole["text/html"]


@pytest.mark.parametrize("kind", ["PIL", "array", "path"])
def test_image_is_a_variable_or_a_path(shell: Any, toy_i2v: Path, cwd: Path, kind: str) -> None:
    from PIL import Image

    image = Image.new("RGB", (96, 96), "red")
    shell.user_ns["frame"] = image if kind == "PIL" else np.asarray(image)
    image.save(cwd / "first frame.png")
    value = "'first frame.png'" if kind == "path" else "frame"
    shell.run(cell(toy_i2v, f"--image {value} --out clip"))
    assert shell.user_ns["clip"].frames().shape == (9, 32, 48, 3)


def test_missing_or_needless_image_is_refused(shell: Any, toy_i2v: Path, toy: Path) -> None:
    with pytest.raises(RequestError, match="No image at frame"):
        shell.run(cell(toy_i2v, "--image frame"))
    with pytest.raises(RequestError, match="needs a first frame"):
        shell.run(cell(toy_i2v))
    shell.user_ns["failed"] = None
    with pytest.raises(RequestError, match="--video failed: the variable failed is None"):
        shell.run(cell(toy, "--video failed"))
    with pytest.raises(RequestError, match="takes no image"):
        shell.run(cell(toy, "--image frame"))


def test_words_that_the_model_does_not_know(shell: Any, toy: Path, cwd: Path) -> None:
    warning = "t2v does not know 3 of 3 words of the prompt (一只猫): it knows English only"
    shell.run(cell(toy, "--out cat", "一只猫"))
    assert shell.user_ns["cat"].report.warning.startswith(warning)
    assert f"\nwarning  {warning}" in printed(shell, cell(toy, "--dry-run", "一只猫"))
