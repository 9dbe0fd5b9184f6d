"""Take the picture of what a notebook keeps of a panel: saved, and opened in several ways.

python docs/images/shoot_kept.py [FOLDER]   # from the repository, with the test extra and Chromium

A panel makes two clips with the embedded model, and the notebook is saved. `panel-kept.png` shows
it reopened after a restart of the kernel, trusted and not, and exported to HTML; FOLDER also gets
each picture at full size, with those of the live panel and of Notebook 7.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbformat import v4
from PIL import Image, ImageDraw, ImageFont

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests.helpers.lab import (  # noqa: E402 - after the path
    KERNEL_IS_IDLE,
    SAVE,
    browser,
    jupyterlab,
    page_of,
)

PICTURE = ROOT / "docs" / "images" / "panel-kept.png"
RUN = "() => window.jupyterapp.commands.execute('notebook:run-cell')"
FOLD = "() => window.jupyterapp.commands.execute('application:toggle-left-area')"
END = "() => window.jupyterapp.serviceManager.sessions.shutdownAll()"
PROMPTS = (
    "a red circle moves to the right on a black background",
    "a blue square moves up on a black background",
)
SHOWN = {
    "trusted": "Reopened, trusted, in another kernel",
    "untrusted": "Reopened, not trusted",
    "exported": "Exported with jupyter nbconvert --to html",
}
WIDTH, HEIGHT = 900, 430


def main(folder: str = "") -> None:
    with tempfile.TemporaryDirectory() as scratch:
        work, state = Path(scratch, "work"), Path(scratch, "state")
        work.mkdir()
        state.mkdir()
        pictures = Path(folder or scratch)
        pictures.mkdir(exist_ok=True)
        notebook = v4.new_notebook(cells=[v4.new_code_cell("%load_ext cogmagic\n%cogvideo panel")])
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
        nbformat.write(notebook, work / "saved.ipynb")
        with (
            jupyterlab(work, state) as address,
            browser() as context,
            page_of(context, pictures / "last.png", WIDTH, HEIGHT) as page,
        ):
            use(page, f"{address}/lab/tree/saved.ipynb", pictures)
            saved = nbformat.read(work / "saved.ipynb", as_version=4)
            saved.metadata["opened"] = "elsewhere"  # which makes the signature invalid
            nbformat.write(saved, work / "received.ipynb")
            for name, file in (("trusted", "saved.ipynb"), ("untrusted", "received.ipynb")):
                reopen(page, f"{address}/lab/tree/{file}")
                page.screenshot(path=pictures / f"{name}.png")
                page.evaluate(END)
                reopen(page, f"{address}/notebooks/{file}")
                page.screenshot(path=pictures / f"{name}-notebook.png")
            export(work / "saved.ipynb")
            page.goto((work / "saved.html").as_uri(), wait_until="commit")
            page.wait_for_selector("figure")
            page.wait_for_timeout(2000)
            page.screenshot(path=pictures / "exported.png")
        montage([(words, pictures / f"{name}.png") for name, words in SHOWN.items()])
        print(PICTURE)


def use(page: Any, url: str, pictures: Path) -> None:
    """Make two clips in the panel, save the notebook, and restart the kernel."""
    page.set_viewport_size({"width": 1300, "height": 1500})
    page.goto(url)
    page.wait_for_function(KERNEL_IS_IDLE)
    page.evaluate(FOLD)
    page.evaluate(RUN)
    page.locator(".cogmagic-at-num-inference-steps input").fill("8")
    for i, text in enumerate(PROMPTS):
        prompt = page.locator(".cogmagic-panel textarea").first
        prompt.fill(text)
        prompt.press("Control+Enter")
        page.wait_for_selector(f".cogmagic-record figure >> nth={i}")
        page.wait_for_selector(".cogmagic-generate:not([disabled])")
    page.evaluate(SAVE)
    page.screenshot(path=pictures / "live.png")
    page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.restartKernel()")
    page.wait_for_selector(".cogmagic-silence:has-text('No reading from the kernel')")
    page.screenshot(path=pictures / "restarted.png")
    page.evaluate(END)
    page.set_viewport_size({"width": WIDTH, "height": HEIGHT})


def reopen(page: Any, url: str) -> None:
    """Open a notebook whose kernel has ended."""
    page.goto("about:blank")
    page.goto(url)
    page.wait_for_function(KERNEL_IS_IDLE)
    page.wait_for_selector("figure")
    page.wait_for_timeout(3000)  # until the front end has looked for the widget


def export(path: Path) -> None:
    """Write the notebook's HTML beside it."""
    command = [sys.executable, "-m", "nbconvert", "--to", "html", str(path)]
    subprocess.run(command, check=True, capture_output=True)  # noqa: S603 - the notebook is its own


def montage(labelled: list[tuple[str, Path]]) -> None:
    """Put the pictures below one another, with a line above each."""
    font, bar = ImageFont.load_default(18), 30
    height = len(labelled) * (HEIGHT + bar)
    sheet = Image.new("RGB", (WIDTH, height), "white")
    draw = ImageDraw.Draw(sheet)
    for i, (words, path) in enumerate(labelled):
        top = i * (HEIGHT + bar)
        draw.rectangle((0, top, WIDTH, top + bar), "#333")
        draw.text((12, top + 4), words, "white", font)
        sheet.paste(Image.open(path), (0, top + bar))
    sheet.quantize(64).save(PICTURE, optimize=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
