"""JupyterLab on a folder with one notebook."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.helpers.lab import chromium, jupyterlab
from tests.helpers.notebooks import notebook_of, write


@pytest.fixture(scope="session")
def browser() -> None:
    """Skip tests where Chromium is missing; in CI, fail them."""
    if chromium() is None:
        if os.environ.get("CI"):
            pytest.fail("Chromium is missing, which CI must have")
        pytest.skip("Chromium is missing on this machine")


@pytest.fixture
def open_lab(browser: None, cwd: Path) -> Iterator[Callable[[str, Sequence[str]], str]]:
    """A function that opens a notebook of a name and cells in a JupyterLab; returns its address."""
    with ExitStack() as stack:

        def start(name: str, cells: Sequence[str]) -> str:
            folder = cwd / "work"
            folder.mkdir()
            write(notebook_of(cells), folder / name)
            return stack.enter_context(jupyterlab(folder, cwd))

        yield start
