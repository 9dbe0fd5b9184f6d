"""The panel in the other front ends, Notebook 7 and Voila: a clip, the gallery, a cell."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.lab import KERNEL_IS_IDLE, RUN_ALL
from tests.helpers.notebooks import notebook_of, write

PANEL = ["%load_ext cogmagic\n%cogvideo panel"]
PLAYS = "() => document.querySelector('.cogmagic-panel video')?.readyState === 4"
END_KERNELS = "() => window.jupyterapp.serviceManager.kernels.shutdownAll()"


@pytest.fixture
def front_end(page: Any, lab: Any) -> Iterator[Any]:
    """An empty page; kernels that were started from it end with the test."""
    yield page
    page.goto("about:blank")
    lab.evaluate(END_KERNELS)


@pytest.mark.parametrize("path", ["notebooks", "voila/render"], ids=["notebook", "voila"])
def test_clip_is_made_and_copied_as_a_cell(
    front_end: Any, server: tuple[str, Path], folder: Path, path: str
) -> None:
    page, errors = front_end, list[str]()
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.route("**/*", lambda r: r.continue_() if server[0] in r.request.url else r.abort())
    write(notebook_of(PANEL), folder / "demo.ipynb")
    page.goto(f"{server[0]}/{path}/{folder.name}/demo.ipynb")
    if path == "notebooks":
        page.wait_for_function(KERNEL_IS_IDLE)
        page.evaluate(RUN_ALL)
    page.wait_for_selector(".cogmagic-words")
    prompt = page.locator(".cogmagic-panel textarea").first
    prompt.fill("a red circle moves to the right")
    steps = page.locator(".cogmagic-at-num-inference-steps input")
    steps.fill("2")
    steps.press("Control+Enter")
    page.wait_for_function(PLAYS)
    page.locator(".cogmagic-tile button").first.click()
    page.locator("button:has-text('Copy as a cell')").click()
    cell = page.locator(".cogmagic-clip textarea")
    cell.wait_for(state="visible")
    assert cell.input_value().startswith("%%cogvideo --model tiny --num-inference-steps 2 --seed ")
    if path == "notebooks":  # Voila stores no notebook
        page.wait_for_selector("figure video")
    assert [error for error in errors if "cogmagic" in error or "cogvideo" in error] == []
