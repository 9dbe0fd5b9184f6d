"""The canvas of a mask in JupyterLab in Chromium, by mouse and by keys."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from cogmagic._models.masks.levels import AFFECTED, KEPT, REMOVED
from tests.browser.test_panel import RUN_CELL
from tests.helpers.clips import Made
from tests.helpers.lab import KERNEL_IS_IDLE

SIZE = 480, 320
FRAMES = 13
DRAWN = """() => {
    const { width, height } = document.querySelector('.cogmagic-mask-mask');
    const ink = document.querySelector('.cogmagic-mask-mask').getContext('2d');
    return [...ink.getImageData(0, 0, width, height).data.filter((_, i) => i % 4 === 3)];
}"""
KEYFRAMES = "() => document.querySelectorAll('.cogmagic-mask-marks span').length"
PREVIEWS = "() => document.querySelector('.cogmagic-mask-film').readyState === 4"
CELLS = "() => window.jupyterapp.shell.currentWidget.content.model.cells.length"
FRAME = ".cogmagic-mask-time:has-text('Frame {} of 13')"


def disc(number: int) -> np.ndarray[Any, Any]:
    """A red disc that moves to the right by 20 pixels a frame, from (90, 160)."""
    rows, columns = np.mgrid[: SIZE[1], : SIZE[0]]
    frame = np.full((SIZE[1], SIZE[0], 3), 90, np.uint8)
    frame[(rows - 160) ** 2 + (columns - 90 - 20 * number) ** 2 < 40**2] = [220, 60, 40]
    return frame


@pytest.fixture
def canvas(lab: Any, opened: Callable[[list[str]], Path], folder: Path) -> Any:
    """JupyterLab with a notebook whose first cell has shown the canvas of a clip."""
    Made("walk.mp4", "libx264", count=FRAMES, picture=disc).at(folder)
    cells = [
        "%load_ext cogmagic\n%cogvideo mask walk.mp4 --out canvas",
        "from cogmagic._models.clips.clip import clip_of\nprint('read', clip_of(canvas).size)",
        "%cogvideo mask walk.mp4",
        "canvas",
    ]
    opened(cells)
    lab.evaluate(RUN_CELL, 0)
    lab.wait_for_selector(".cogmagic-mask-mask")
    return lab


def drag(page: Any, *points: tuple[float, float]) -> None:
    """Press, move and release the mouse, in pixels of the clip."""
    box = page.locator(".cogmagic-mask-mask").bounding_box()
    assert (box["width"], box["height"]) == SIZE
    for number, (x, y) in enumerate(points):
        page.mouse.move(box["x"] + x, box["y"] + y, steps=8)
        if number == 0:
            page.mouse.down()
    page.mouse.up()


def drawn(page: Any) -> np.ndarray[Any, Any]:
    """Where the page shows the mask."""
    return np.array(page.evaluate(DRAWN)).reshape(SIZE[1], SIZE[0]) > 0


def answered(page: Any, keyframes: int) -> None:
    page.wait_for_function(f"n => ({KEYFRAMES})() === n", arg=keyframes)


def test_mask_is_drawn_moved_saved_used_and_loaded(canvas: Any, folder: Path) -> None:
    errors: list[str] = []
    page = canvas
    page.on("pageerror", lambda e: errors.append(str(e)))

    drag(page, (70, 150), (110, 150), (110, 175), (70, 175))  # the brush
    answered(page, 1)
    page.get_by_text("Affected", exact=True).click()
    page.get_by_text("Rectangle", exact=True).click()
    drag(page, (50, 205), (130, 225))
    page.get_by_text("Remove", exact=True).click()
    page.get_by_text("Polygon", exact=True).click()
    for corner in ((60, 140), (90, 115), (120, 140), (60, 140)):
        drag(page, corner)
    page.get_by_text("Erase", exact=True).click()
    page.get_by_text("Brush", exact=True).click()
    drag(page, (90, 215), (90, 216))
    page.wait_for_selector(".cogmagic-mask-note:has-text('Not saved yet, as walk-mask.mp4.')")

    page.locator("input[aria-label=Frame]").fill("12")
    page.wait_for_selector(FRAME.format(13))
    page.get_by_text("Move", exact=True).click()
    drag(page, (90, 160), (330, 160))
    answered(page, 2)
    page.get_by_text("Preview", exact=True).click()
    page.wait_for_function(PREVIEWS)
    page.get_by_text("Save", exact=True).click()
    saved = page.locator(".cogmagic-mask-note:has-text('Saved as walk-mask.mp4. Use it:')")
    assert "--video walk.mp4 --mask walk-mask.mp4" in saved.inner_text()
    problems = serious(page)
    assert problems == [], problems

    with av.open(str(folder / "walk-mask.mp4")) as file:
        values = np.array([f.to_ndarray(format="gray") for f in file.decode(video=0)])
    assert values.shape == (FRAMES, SIZE[1], SIZE[0])
    assert set(np.unique(values)) == {KEPT, AFFECTED, REMOVED}
    for number, frame in enumerate(values):  # 20 pixels to the right in each
        assert (frame[:, 20 * number :] == values[0][:, : SIZE[0] - 20 * number]).all()
    points = {(160, 72): REMOVED, (125, 90): REMOVED, (215, 60): AFFECTED, (215, 90): KEPT}
    assert {at: values[0][at] for at in points} == points
    # The page shows the pixels of the file.
    page.get_by_text("Brush", exact=True).click()
    page.mouse.move(5, 5)
    page.wait_for_function(
        f"n => ({DRAWN})().filter(a => a).length === n", arg=int((values[12] > 0).sum())
    )
    assert (drawn(page) == (values[12] > 0)).all()

    page.evaluate(RUN_CELL, 1)
    page.wait_for_selector(".jp-OutputArea-output:has-text('read (480, 320)')")
    page.evaluate(RUN_CELL, 2)
    page.wait_for_selector(".cogmagic-mask-note:has-text('Loaded from walk-mask.mp4.')")

    page.evaluate(RUN_CELL, 3)  # a second view of the first canvas
    first, second = (page.locator(".cogmagic-mask").nth(n) for n in (0, 2))
    for one, other, frame in ((second, first, 3), (first, second, 5), (second, first, 0)):
        one.locator("input[aria-label=Frame]").fill(str(frame))
        other.locator(f".cogmagic-mask-time:has-text('Frame {frame + 1} of 13')").wait_for()
    assert errors == []


def test_mask_by_keys_alone(canvas: Any) -> None:
    page = canvas
    cells = page.evaluate(CELLS)
    page.locator(".cogmagic-mask-mask").focus()
    for key in ("b", "Enter", "ArrowRight", "ArrowRight", "Enter"):  # from the middle, a stroke
        page.keyboard.press(key)
    answered(page, 1)
    page.keyboard.press("Control+z")
    answered(page, 0)
    page.keyboard.press("Control+Shift+Z")
    answered(page, 1)
    for key in ("r", "Enter", "ArrowDown", "ArrowLeft", "Shift+ArrowLeft", "Enter"):
        page.keyboard.press(key)
    for key in ("p", "Enter", "ArrowUp", "Enter", "ArrowRight", "Enter", "Enter"):
        page.keyboard.press(key)
    page.wait_for_selector(".cogmagic-mask-note:has-text('Not saved yet')")
    for _ in range(4):
        page.keyboard.press(".")
    page.wait_for_selector(FRAME.format(5))
    page.wait_for_function("() => document.querySelector('canvas[aria-label*=\"frame 5 \"]')")
    for key in ("m", "Shift+ArrowRight", "ArrowUp", "+"):
        page.keyboard.press(key)
    answered(page, 2)
    page.keyboard.press("[")
    page.wait_for_selector(FRAME.format(1))
    page.keyboard.press("]")
    page.wait_for_selector(FRAME.format(5))
    page.wait_for_function("() => document.querySelector('canvas[aria-label*=\"frame 5 \"]')")
    page.keyboard.press("Delete")
    answered(page, 1)
    # None of them was a command of JupyterLab, where b adds a cell and m makes one Markdown.
    assert page.evaluate(CELLS) == cells
    assert page.locator(".jp-MarkdownCell").count() == 0
    page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.restartKernel()")
    page.wait_for_function(KERNEL_IS_IDLE)
    page.locator(".cogmagic-mask-mask").focus()
    page.keyboard.press("Control+z")
    page.wait_for_selector(".cogmagic-mask-error:has-text('The kernel was restarted')")


def serious(page: Any) -> list[str]:
    """The violations that axe-core reports for the canvas."""
    from axe_playwright_python.sync_playwright import Axe

    violations = Axe().run(page, context=".cogmagic-mask").response["violations"]
    return [f"{v['id']}: {v['help']}: {[n['html'][:150] for n in v['nodes']]}" for v in violations]
