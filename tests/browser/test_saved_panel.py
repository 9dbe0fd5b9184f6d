"""What a saved notebook shows of a panel in JupyterLab, trusted and not, in another kernel."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.browser.conftest import CLOSE, OPEN
from tests.helpers.lab import KERNEL_IS_IDLE, RUN_ALL, SAVE
from tests.helpers.notebooks import read, write

MAKE = """from cogmagic._notebook.panel.widget import the_panel
the_panel().results.add(clip, {})"""
ABSENT = "The panel needs a running kernel with Jupyter widgets. Run this cell to open it."
IN_PLACE = """() => {
    const shown = document.querySelector('.jp-OutputArea-output');
    const after = getComputedStyle(shown, '::after').content;
    return after === 'none' ? shown.innerText : after.slice(1, -1);
}"""
"""What stands in place of the panel."""


def test_saved_notebook_shows_the_clips_and_how_to_open_the_panel(
    lab: Any, opened: Callable[[list[str]], Path], folder: Path, toy: Path
) -> None:
    make = f"%%cogvideo --model '{toy}' --frames 9 --steps 1 --seed 7 --out clip\na red circle"
    path = opened(["%load_ext cogmagic\n%cogvideo panel", make, MAKE])
    lab.evaluate(RUN_ALL)
    lab.wait_for_selector("figure video")
    assert lab.evaluate(IN_PLACE) != ABSENT
    lab.wait_for_function(KERNEL_IS_IDLE)
    lab.evaluate(SAVE)
    notebook = read(path)
    notebook.metadata["from"] = "elsewhere"  # which makes the signature invalid
    write(notebook, folder / "received.ipynb")
    for name, kind in (("demo", "jp-mod-trusted"), ("received", "jp-RenderedHTML")):
        lab.evaluate(CLOSE)
        lab.evaluate(OPEN, f"{folder.name}/{name}.ipynb")
        lab.wait_for_function(KERNEL_IS_IDLE)
        lab.wait_for_function(f"absent => ({IN_PLACE})() === absent", arg=ABSENT)
        video = lab.wait_for_selector(f".{kind} figure video")
        lab.wait_for_function("video => video.readyState === 4", arg=video)
        assert ("jp-mod-trusted" in lab.content()) == (name == "demo")
