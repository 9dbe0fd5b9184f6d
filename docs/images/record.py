"""Record the README's moving picture: a cell runs in JupyterLab in Chromium, and its video plays.

python docs/images/record.py        # from the repository, with the test extra and Chromium

Beside the notebook is the panel, scrolled to its meter: host memory, and each GPU's if there are
any. The kernel is a new one, so the meter shows how the libraries and the model take memory. A run
of more than 20 s is shown in 20, and the script prints how many times faster that is.
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
WIDTH, HEIGHT = 1000, 600
PANEL = "%load_ext cogmagic\n%cogvideo panel"
CELL = "%%cogvideo --seed 7\na red circle moves to the right"
MOST_BYTES = 1_500_000
INTERVAL = 0.2
"""Seconds between two pictures of the video, and at least between two of the run."""
SHOWN = 20.0
"""The longest that the run is shown, in seconds."""
PLAYED = 4.2
"""Seconds of the finished video in the picture: once round."""
START = RUN.replace("return ", "")  # does not wait for the end of the run
HAS_VIDEO = "() => !!document.querySelector('.jp-Notebook video.cogmagic-video')"
BESIDE = """async () => {
    const { shell, commands } = window.jupyterapp;
    const notebook = shell.currentWidget;
    notebook.content.activeCellIndex = 0;
    await commands.execute('notebook:create-output-view');
    const view = [...shell.widgets('main')].find(w => w.id !== notebook.id);
    shell.add(view, 'main', { mode: 'split-right', ref: notebook.id });
    await commands.execute('notebook:hide-cell-outputs');
    shell.activateById(notebook.id);
}"""
"""Shows the panel beside the notebook, and no longer below its cell."""
TO_METER = """() => {
    document.querySelectorAll('.jp-CodeCell')[1].scrollIntoView({ block: 'start' });
    const meter = [...document.querySelectorAll('.cogmagic-meter')].find(m => m.offsetParent);
    meter.closest('.cogmagic-zone').scrollIntoView({ block: 'start' });
}"""
PLAIN = ".jp-cell-toolbar { display: none !important }"
"""Without the buttons over the cell's text."""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        made = v4.new_notebook(cells=[v4.new_code_cell(s) for s in (PANEL, CELL)])
        made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
        path = Path(folder, "running.ipynb")
        nbformat.write(made, path)
        still = str(Path(folder, "last.png"))
        with notebook(path, still, WIDTH, HEIGHT) as page:
            page.evaluate(FOLD)
            page.evaluate(RUN, 0)
            page.wait_for_selector(".cogmagic-meter .cogmagic-row")
            page.evaluate(BESIDE)
            page.wait_for_timeout(3000)  # the view is drawn, and the list of models checked
            page.add_style_tag(content=PLAIN)
            page.evaluate(TO_METER)
            page.wait_for_timeout(1000)
            save(*pictures(page))
    print(PICTURE.name, f"{PICTURE.stat().st_size / 1e6:.2f} MB")
    assert PICTURE.stat().st_size < MOST_BYTES


def pictures(page: Page) -> tuple[list[tuple[float, Image.Image]], float]:
    """Pictures of the page with their times, from before the run to the end of the video.

    The second value is the time at which the run had finished.
    """
    taken: list[tuple[float, Image.Image]] = []
    finished, started = 0.0, time.monotonic()
    ran = False
    while not finished or time.monotonic() - finished < PLAYED:
        now = time.monotonic()
        if not ran and now - started > 1:
            page.evaluate(START, 1)
            ran = True
        if not finished and page.evaluate(HAS_VIDEO):
            finished = now
        taken.append((now, Image.open(io.BytesIO(page.screenshot())).convert("RGB")))
        time.sleep(max(0.0, INTERVAL - (time.monotonic() - now)))
    return taken, finished


def save(taken: list[tuple[float, Any]], finished: float) -> None:
    """Write the animated picture; one that equals the one before lengthens it."""
    faster = max(1.0, (finished - taken[0][0]) / SHOWN)
    frames: list[Image.Image] = []
    durations: list[float] = []
    for (began, picture), (ended, _) in zip(
        taken, [*taken[1:], (taken[-1][0] + 1, None)], strict=True
    ):
        seconds = (ended - began) / (faster if began < finished else 1)
        brief = frames and began < finished and durations[-1] < INTERVAL
        if brief or (frames and frames[-1].tobytes() == picture.tobytes()):
            durations[-1] += seconds
        else:
            frames.append(picture)
            durations.append(seconds)
    frames[0].save(
        PICTURE, save_all=True, append_images=frames[1:], loop=0, quality=70, method=6,
        duration=[round(1000 * seconds) for seconds in durations], minimize_size=True,
    )  # fmt: skip
    print(f"{len(frames)} pictures, {sum(durations):.1f} s; the run {faster:.1f} times as fast")


if __name__ == "__main__":
    main()
