"""One JupyterLab and one Chromium for all tests; each has its own notebook, kernel and page."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.lab import KERNEL_IS_IDLE, browser, chromium, jupyterlab, page_of
from tests.helpers.notebooks import notebook_of, write

SHUT_DOWN = "() => window.jupyterapp?.serviceManager.sessions.shutdownAll()"


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
    """An empty page; the kernels that its test started end with it."""
    with page_of(context, cwd / "page.png") as page:
        yield page
        page.evaluate(SHUT_DOWN)


@pytest.fixture
def opened(
    page: Any, server: tuple[str, Path], request: pytest.FixtureRequest
) -> Callable[[Sequence[str]], Path]:
    """A function that opens a notebook of cells in the page; returns the path of its file."""
    address, folder = server

    def start(cells: Sequence[str]) -> Path:
        path = folder / request.node.name / "demo.ipynb"
        path.parent.mkdir()
        write(notebook_of(cells), path)
        # In its own workspace: JupyterLab would open the notebooks of earlier tests as well.
        page.goto(
            f"{address}/lab/workspaces/{path.parent.name}/tree/{path.parent.name}/{path.name}"
        )
        page.wait_for_function(KERNEL_IS_IDLE)
        return path

    return start
