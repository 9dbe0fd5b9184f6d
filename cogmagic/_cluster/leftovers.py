"""The processes and files of a local cluster, removed whatever state it is in."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil

__all__ = ["end_processes", "own_folder", "remove_folder", "remove_later"]

_PREFIX = "cogmagic-worker-"


def own_folder(parent: Path) -> tempfile.TemporaryDirectory[str]:
    """A folder of this process, without those in `parent` of processes that were killed."""
    import psutil

    for folder in parent.glob(f"{_PREFIX}*"):
        pid = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if pid.isdecimal() and not psutil.pid_exists(int(pid)):
            shutil.rmtree(folder, ignore_errors=True)
    return tempfile.TemporaryDirectory(prefix=f"{_PREFIX}{os.getpid()}-", dir=parent)


def remove_later(folder: str) -> None:
    """Remove what a local cluster leaves (`remove_folder`) in another process.

    Ray ends its driver as soon as the driver has killed Ray's own processes.
    """
    subprocess.Popen(  # noqa: S603 - this interpreter, with this module
        [sys.executable, "-P", "-m", __name__, folder],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def remove_folder(folder: Path) -> None:
    """End the processes that a local cluster runs from its private folder, and remove that."""
    import psutil

    doomed = [process for process in psutil.process_iter() if _belongs(process, str(folder))]
    end_processes(doomed)
    shutil.rmtree(folder, ignore_errors=True)


def end_processes(processes: Sequence[psutil.Process]) -> None:
    """Kill processes, and wait for their end."""
    import psutil

    for process in processes:
        with suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(processes, timeout=2)


def _belongs(process: psutil.Process, folder: str) -> bool:
    """Whether a process is one of Ray's that uses the folder."""
    import psutil

    with suppress(psutil.Error):
        line = " ".join(process.cmdline())
        if line.startswith("ray::"):  # these have renamed themselves, but keep a log there
            return any(file.path.startswith(folder) for file in process.open_files())
        return folder in line and "/ray/" in line
    return False


if __name__ == "__main__":
    remove_folder(Path(sys.argv[1]))
