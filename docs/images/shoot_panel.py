"""Take the documentation's pictures of the panel, in JupyterLab in Chromium.

python docs/images/shoot_panel.py        # from the repository, with the test extra and Chromium

`panel.png`, `panel-dark.png`, `panel-contrast.png` (JupyterLab's theme of high contrast) and
`panel-narrow.png` are the panel after a run with the embedded model, and while another one forms.
`panel-described.png` is the panel of a machine that is only described: `Machine.of` makes its two
GPUs and the plans, and the readings are made up.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
from nbformat import v4
from shoot import IMAGES, PLAYING, PROMPT, RUN, notebook

SIZE = 1240, 1420
FOLD = "() => window.jupyterapp.shell.collapseLeft()"
THEME = "theme => window.jupyterapp.commands.execute('apputils:change-theme', { theme })"
LONG = (
    "A white lighthouse stands on a rocky cliff at dusk while heavy waves break against the rocks"
    " below and throw spray into the air. The lamp turns and sweeps a warm beam through thin fog."
)
DESCRIBED = """
from dataclasses import replace

import cogmagic
from cogmagic import Machine
from cogmagic._machine.ram import Ram
from cogmagic._notebook.panel.machine.readings import Reading, Vitals
from cogmagic._notebook.panel.widget import Panel

GIB = 2**30
machine = Machine.of("2x RTX 3060", ram=64)


def plan(prompt, **options):
    return cogmagic.plan(prompt, **options, machine=machine)


def read():
    held = zip(machine.gpus, (7.6, 1.1), (6.9, 0.0))
    gpus = tuple(
        replace(gpu, free=gpu.total - int(used * GIB), reserved=int(mine * GIB))
        for gpu, used, mine in held
    )
    ram = Ram(64 * GIB, 37 * GIB, mine=18 * GIB)
    return Reading(gpus, ram, (Vitals(63, 148.0, 97), Vitals(41, 18.0, 2)), {0: 5 * GIB})


panel = Panel(globals(), read, {}, plan)
panel.view
"""


def main() -> None:
    with written(DESCRIBED) as path, notebook(path, "panel-described.png", *SIZE) as page:
        described(page)
    with (
        written("%load_ext cogmagic\n%cogvideo panel") as path,
        notebook(path, "panel.png", *SIZE) as page,
    ):
        runs(page)
        for name, theme in (("dark", "Dark"), ("contrast", "Dark High Contrast")):
            change(page, theme)
            page.screenshot(path=str(IMAGES / f"panel-{name}.png"))
        change(page, "Light")
        page.set_viewport_size({"width": 520, "height": 2700})
        page.wait_for_timeout(2000)
        page.screenshot(path=str(IMAGES / "panel-narrow.png"))
        page.set_viewport_size(dict(zip(("width", "height"), SIZE, strict=True)))
        page.wait_for_timeout(2000)


def described(page: Any) -> None:
    """A request for 5b on the described machine."""
    page.evaluate(FOLD)
    page.evaluate(RUN, 0)
    page.locator(".cogmagic-choice input[value='5b']").check()
    page.locator(".cogmagic-panel textarea").first.fill(LONG)
    page.wait_for_selector(".cogmagic-table th:has-text('balanced')")
    page.wait_for_function(
        "() => !document.querySelector('.cogmagic-models').textContent.includes('checking')"
    )
    page.wait_for_timeout(5000)  # some seconds of sparkline


def runs(page: Any) -> None:
    """A clip, and one that forms while another waits."""
    page.evaluate(FOLD)
    page.evaluate(RUN, 0)
    prompt = page.locator(".cogmagic-panel textarea").first
    prompt.fill(PROMPT)
    prompt.press("Control+Enter")
    page.wait_for_function(PLAYING)
    page.locator(".cogmagic-at-num-inference-steps input").fill("400")
    prompt.fill("a blue square moves up on a black background")
    prompt.press("Control+Enter")
    page.wait_for_selector("img[alt='The video as it forms']")
    prompt.fill("a green triangle moves to the left on a black background")
    prompt.press("Control+Enter")
    page.wait_for_selector("text=/denoise · .* left/")
    page.wait_for_timeout(20_000)  # the preview takes form


def change(page: Any, theme: str) -> None:
    """Change JupyterLab's theme."""
    name = f"JupyterLab {theme}"
    page.evaluate(THEME, name)
    page.wait_for_function("name => document.body.dataset.jpThemeName === name", arg=name)
    page.wait_for_timeout(1500)


@contextmanager
def written(source: str) -> Iterator[Path]:
    """A notebook with one cell, whose source is hidden where it is long."""
    with tempfile.TemporaryDirectory() as folder:
        hidden = {"jupyter": {"source_hidden": len(source) > 100}}
        made = v4.new_notebook(cells=[v4.new_code_cell(source, metadata=hidden)])
        made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
        path = Path(folder, "panel.ipynb")
        nbformat.write(made, path)
        yield path


if __name__ == "__main__":
    main()
