"""Take the pictures of the documentation, in JupyterLab in Chromium.

python docs/images/shoot.py        # from the repository, with the test extra and Chromium

`quickstart.png` is the quickstart's first video; `mask.png` is the canvas of a mask on a clip of
the embedded model. `shoot_panel.py` takes those of the panel.
"""

from __future__ import annotations

import math
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
from nbformat import v4

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests.helpers.lab import (  # noqa: E402 - after the path
    KERNEL_IS_IDLE,
    browser,
    jupyterlab,
    page_of,
)

IMAGES = ROOT / "docs" / "images"
RUN = "i => { const n = window.jupyterapp.shell.currentWidget.content; n.activeCellIndex = i;"
RUN += " return window.jupyterapp.commands.execute('notebook:run-cell'); }"
CLEAR = "() => window.jupyterapp.commands.execute('notebook:clear-all-cell-outputs')"
FOLD = "() => window.jupyterapp.commands.execute('application:toggle-left-area')"
PLAYING = "() => { const v = document.querySelector('video.cogmagic-video');"
PLAYING += " return v && v.readyState === 4 && v.currentTime > 0.7; }"
PROMPT = "a red circle moves to the right on a black background"


def main() -> None:
    with notebook(ROOT / "notebooks" / "quickstart.ipynb", "quickstart.png", 1100, 860) as page:
        page.evaluate(FOLD)
        page.evaluate(CLEAR)
        for cell in (1, 3):
            page.evaluate(RUN, cell)
        page.wait_for_function(PLAYING)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "mask.ipynb")
        make = f"%%cogvideo --seed 7 --save clip.mp4\n{PROMPT}"
        cells = ["%load_ext cogmagic", make, "%cogvideo mask clip.mp4"]
        made = v4.new_notebook(cells=[v4.new_code_cell(cell) for cell in cells])
        made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
        nbformat.write(made, path)
        with notebook(path, "mask.png", 900, 860) as page:
            page.evaluate(FOLD)
            for cell in range(3):
                page.evaluate(RUN, cell)
            mask(page)


def mask(page: Any) -> None:
    """A mask over the circle in the first frame, moved with it to a frame in the middle."""
    canvas = page.locator(".cogmagic-mask-mask")
    canvas.wait_for()
    page.locator(".cogmagic-mask").scroll_into_view_if_needed()
    page.get_by_label("Radius").fill("8")
    box = canvas.bounding_box()

    def drag(*points: tuple[float, float]) -> None:
        for number, (x, y) in enumerate(points):
            page.mouse.move(box["x"] + x * box["width"] / 96, box["y"] + y * box["width"] / 96)
            if number == 0:
                page.mouse.down()
        page.mouse.up()

    drag(*((17 + 8 * math.cos(n), 77 + 8 * math.sin(n)) for n in range(8)))
    page.get_by_label("Frame", exact=True).fill("8")
    page.wait_for_selector("canvas[aria-label='Mask on frame 9 of 17']")
    page.get_by_text("Move", exact=True).click()
    drag((17, 77), (39.5, 77))
    page.get_by_text("Save", exact=True).click()
    page.wait_for_selector(".cogmagic-mask-note:has-text('Saved as')")
    page.wait_for_timeout(500)


@contextmanager
def notebook(path: Path, picture: str, width: int, height: int) -> Iterator[Any]:
    """A page with a copy of a notebook, that becomes the picture."""
    with tempfile.TemporaryDirectory() as scratch:
        work, state = Path(scratch, "work"), Path(scratch, "state")
        work.mkdir()
        state.mkdir()
        shutil.copy(path, work)
        with (
            jupyterlab(work, state) as address,
            browser() as context,
            page_of(context, IMAGES / picture, width, height) as page,
        ):
            page.goto(f"{address}/lab/tree/{path.name}")
            page.wait_for_function(KERNEL_IS_IDLE)
            yield page
        print(picture)


if __name__ == "__main__":
    main()
