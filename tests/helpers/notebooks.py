"""Notebooks that are made, read and written.

nbformat is imported in the functions: it takes two seconds, which collecting tests need not pay.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nbformat import NotebookNode


def notebook_of(sources: Sequence[str]) -> NotebookNode:
    """A notebook of code cells for the kernel `python3`."""
    from nbformat import v4

    notebook = v4.new_notebook(cells=[v4.new_code_cell(source) for source in sources])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    return notebook


def read(path: Path) -> NotebookNode:
    import nbformat

    return nbformat.read(path, as_version=4)


def write(notebook: NotebookNode, path: Path) -> None:
    import nbformat

    nbformat.write(notebook, path)
