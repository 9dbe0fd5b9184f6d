"""Record the README's moving picture: a cell runs in JupyterLab in Chromium, and its video plays.

python docs/images/record.py        # from the repository, with the test extra and Chromium

Each picture is shown as long as it took, so the pace is that of this machine. The kernel has run
the model once before, without which the picture would begin with the import of torch.
"""

from __future__ import annotations

import io
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
from nbformat import v4
from PIL import Image

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from shoot import FOLD, IMAGES, RUN, notebook  # noqa: E402 - after the path

if TYPE_CHECKING:
    from playwright.sync_api import Page

PICTURE = IMAGES / "running.webp"
WIDTH, HEIGHT = 760, 600
LOAD = "%load_ext cogmagic"
WARM = "%%cogvideo --steps 1 --save warm.mp4\na blue square moves down on a black background"
CELL = "%%cogvideo --seed 7\na red circle moves to the right on a black background"
MOST_BYTES = 1_500_000
INTERVAL = 0.2
"""Seconds between two pictures."""
PLAYED = 4.2
"""Seconds of the finished video in the picture: once round."""
START = RUN.replace("return ", "")  # does not wait for the end of the run
HAS_VIDEO = "() => document.querySelectorAll('video.cogmagic-video').length > 1"
TO_TOP = """() => { const cell = document.querySelectorAll('.jp-CodeCell')[2];
    cell.scrollIntoView({block: 'start'}); }"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        made = v4.new_notebook(cells=[v4.new_code_cell(s) for s in (LOAD, WARM, CELL)])
        made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
        path = Path(folder, "running.ipynb")
        nbformat.write(made, path)
        still = str(Path(folder, "last.png"))
        with notebook(path, still, WIDTH, HEIGHT) as page:
            page.evaluate(FOLD)
            for cell in (0, 1):
                page.evaluate(RUN, cell)
            page.locator("video.cogmagic-video").first.wait_for()
            save(pictures(page))
    print(PICTURE.name, f"{PICTURE.stat().st_size / 1e6:.2f} MB")
    assert PICTURE.stat().st_size < MOST_BYTES


def pictures(page: Page) -> list[tuple[float, Image.Image]]:
    """Pictures of the page with their times, from before the run to the end of the video."""
    page.evaluate(TO_TOP)
    taken: list[tuple[float, Image.Image]] = []
    finished, started = 0.0, time.monotonic()
    ran = False
    while not finished or time.monotonic() - finished < PLAYED:
        now = time.monotonic()
        if not ran and now - started > 1:
            page.evaluate(START, 2)
            ran = True
        if not finished and page.evaluate(HAS_VIDEO):
            finished = now
        taken.append((now, Image.open(io.BytesIO(page.screenshot())).convert("RGB")))
        time.sleep(max(0.0, INTERVAL - (time.monotonic() - now)))
    return taken


def save(taken: list[tuple[float, Any]]) -> None:
    """Write the animated picture; one that equals the one before lengthens it."""
    frames: list[Image.Image] = []
    durations: list[int] = []
    for (began, picture), (ended, _) in zip(
        taken, [*taken[1:], (taken[-1][0] + 1, None)], strict=True
    ):
        milliseconds = round((ended - began) * 1000)
        if frames and frames[-1].tobytes() == picture.tobytes():
            durations[-1] += milliseconds
        else:
            frames.append(picture)
            durations.append(milliseconds)
    frames[0].save(
        PICTURE, save_all=True, append_images=frames[1:], duration=durations, loop=0, quality=70,
        method=6, minimize_size=True,
    )  # fmt: skip
    print(f"{len(frames)} pictures, {sum(durations) / 1000:.1f} s")


if __name__ == "__main__":
    main()
