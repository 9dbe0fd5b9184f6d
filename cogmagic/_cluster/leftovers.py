"""The processes and files of a local cluster, removed whatever state it is in."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

__all__ = ["remove_folder"]


def remove_folder(folder: Path) -> None:
    """End the processes that a local cluster runs from its private folder, and remove that."""
    import psutil

    mark, doomed = str(folder), []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            line = process.cmdline()
            if any(mark in word for word in line) and "ray" in " ".join(line):
                doomed += [process, *process.children(recursive=True)]
    for process in doomed:
        with suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(doomed, timeout=2)
    shutil.rmtree(folder, ignore_errors=True)
