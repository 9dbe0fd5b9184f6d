"""One JupyterLab and one Chromium for all tests; each has its own notebook and kernel."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.lab import KERNEL_IS_IDLE, browser, chromium, jupyterlab, page_of
from tests.helpers.notebooks import notebook_of, write

OPEN = "path => { window.jupyterapp.commands.execute('docmanager:open', { path }); }"
CLOSE = """async () => {
    const { shell, serviceManager } = window.jupyterapp;
    for (const widget of [...shell.widgets('main')]) widget.dispose();
    await serviceManager.sessions.shutdownAll();
}"""


@pytest.fixture(scope="package")
def context() -> Iterator[Any]:
    """Chromium. Where it is missing, skip the tests; in CI, fail them."""
    if chromium() is None:
        if os.environ.get("CI"):
            pytest.fail("Chromium is missing, which CI must have")
        pytest.skip("Chromium is missing on this machine")
    with browser() as started:
        yield started


@pytest.fixture(scope="package")
def server(context: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """JupyterLab: its address and its folder."""
    state = tmp_path_factory.mktemp("lab")
    folder = state / "work"
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COGMAGIC_CACHE", str(state / "cache"))
        with jupyterlab(folder, state) as address:
            yield address, folder


@pytest.fixture
def page(context: Any, cwd: Path) -> Iterator[Any]:
    """An empty page."""
    with page_of(context, cwd / "page.png") as page:
        yield page


@pytest.fixture(scope="package")
def loaded(
    context: Any, server: tuple[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    """A page with JupyterLab, which takes ten seconds of a core to load."""
    with page_of(context, tmp_path_factory.mktemp("page") / "page.png") as page:
        page.goto(f"{server[0]}/lab")
        page.wait_for_function("() => window.jupyterapp")
        page.evaluate("() => window.jupyterapp.restored.then(() => null)")
        yield page


@pytest.fixture
def lab(loaded: Any, cwd: Path) -> Iterator[Any]:
    """JupyterLab without notebooks; the kernels that its test started end with it."""
    loaded.set_viewport_size({"width": 1200, "height": 1400})
    loaded.evaluate(CLOSE)  # the launcher
    yield loaded
    loaded.screenshot(path=str(cwd / "page.png"))
    loaded.evaluate(CLOSE)


@pytest.fixture
def folder(server: tuple[str, Path], request: pytest.FixtureRequest) -> Path:
    """The folder of the test's notebook."""
    folder = server[1] / request.node.name
    folder.mkdir()
    return folder


@pytest.fixture
def opened(lab: Any, folder: Path) -> Callable[[Sequence[str]], Path]:
    """A function that opens a notebook of cells in JupyterLab; returns the path of its file."""

    def start(cells: Sequence[str]) -> Path:
        path = folder / "demo.ipynb"
        write(notebook_of(cells), path)
        lab.evaluate(OPEN, f"{folder.name}/{path.name}")
        lab.wait_for_function(KERNEL_IS_IDLE)
        return path

    return start
