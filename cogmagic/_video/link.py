"""The link from a notebook to a video's file, which works in the notebook's folder only."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from itertools import product
from pathlib import Path
from urllib.parse import quote

from cogmagic._errors import plain_line

__all__ = ["NoLinkError", "relative_url"]


class NoLinkError(Exception):
    """The reason why a front end cannot reach a file."""


def relative_url(path: Path) -> str:
    """The URL of a file relative to the notebook.

    Raises:
        NoLinkError: when a front end would not serve the file under it.
    """
    if "google.colab" in sys.modules:
        raise NoLinkError("Colab serves no files of its machine")
    folder = _notebook_folder()
    relative = _below(folder, path)
    if relative is None:
        raise NoLinkError(f"it is outside the notebook's folder, {plain_line(str(folder))}")
    if any(part.startswith(".") for part in relative.parts):
        raise NoLinkError("Jupyter serves no hidden files")
    try:
        return quote(relative.as_posix())
    except UnicodeEncodeError:
        raise NoLinkError("its name is not valid UTF-8") from None


def _notebook_folder() -> Path:
    """The folder from which links start; `os.chdir` does not change it.

    jupyter-server 2 and later passes the notebook's path to its kernel. Other programs start the
    kernel in the notebook's folder, which IPython remembers. Outside IPython it is the working
    directory.
    """
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is None:
        with suppress(OSError):
            return Path.cwd()
        raise NoLinkError("the working directory no longer exists")
    notebook = Path(os.environ.get("JPY_SESSION_NAME", ""))
    if not hasattr(shell, "kernel") or not notebook.is_absolute():
        return Path(shell.starting_dir)
    if not notebook.parent.is_dir():  # a gateway's kernel, or a folder that was moved
        where = plain_line(str(notebook.parent))
        raise NoLinkError(f"the notebook's folder, {where}, does not exist on this machine")
    return notebook.parent


def _below(folder: Path, path: Path) -> Path | None:
    """`path` relative to `folder`, by its name or through symbolic links; None if it is outside."""
    with suppress(OSError):  # a relative path in a working directory that was removed
        absolute = Path(os.path.abspath(path))  # noqa: PTH100 - resolves .., but no links
        for start, end in product((folder, folder.resolve()), (absolute, path.resolve())):
            if end.is_relative_to(start) and end.samefile(path):  # not so after a link and ..
                return end.relative_to(start)
    return None
