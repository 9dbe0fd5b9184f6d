"""A child process of the kernel at the other end of a pipe: started, asked, killed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from socket import socketpair
from tempfile import TemporaryFile
from typing import IO, Any

from cogmagic._errors import plain_line
from cogmagic._interrupts import interrupts_deferred
from cogmagic._session.parallel.failures import WorkerLost, lost_worker
from cogmagic._session.parallel.link import Link

__all__ = ["ChildProcess"]

_END_SECONDS = 5.0
"""How long the system may take to end a killed process."""

_LAST_BYTES = 4096
"""Of a process's output, in which its last line is looked for."""

_LAUNCHER = (
    "RANK", "LOCAL_RANK", "GROUP_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR",
    "MASTER_PORT", "TORCHELASTIC_RUN_ID",
)  # fmt: skip
"""Variables of a launcher such as torchrun, by which accelerate would join the kernel's group."""


class ChildProcess:
    """A process that runs a module of ours, whose end of the pipe nothing else inherits.

    Args:
        name: in errors, such as ``worker 2 of 4``.
        module: its main module, which takes the number of the pipe's file descriptor.
        start: the first message to it.
        environ: environment variables beside the kernel's.
        inherited: file descriptors that it inherits beside the pipe.
        captured: whether its output is captured, for errors, rather than printed.

    Raises:
        OSError: when the process cannot be started.
    """

    def __init__(
        self,
        name: str,
        module: str,
        start: object,
        environ: Mapping[str, str],
        *,
        inherited: Sequence[int] = (),
        captured: bool = True,
    ) -> None:
        self.name = name
        self._output = TemporaryFile() if captured else None  # noqa: SIM115
        mine, theirs = socketpair()
        with theirs:
            try:
                pipes = [theirs.fileno(), *inherited]
                self._process = _popen(module, pipes, environ, self._output)
            except BaseException:
                mine.close()
                raise
        self.link = Link(Connection(mine.detach()))
        self.tell(start)

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    def tell(self, message: object) -> None:
        """Send a message; a worker that has ended is noticed when it is asked for its answer."""
        with interrupts_deferred(), suppress(OSError):
            self.link.send(message)

    def answer(self) -> Any:
        """The worker's next message.

        Raises:
            WorkerLost: when it has ended.
        """
        try:
            with interrupts_deferred():  # half a message would make the next ones unreadable
                return self.link.receive()
        except (EOFError, OSError):
            raise self.lost() from None

    def lost(self) -> WorkerLost:
        """The error of this worker, whose pipe is closed."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_SECONDS)
        with suppress(OSError):
            os.killpg(self.pid, 9)  # what it has started, such as a compiler's processes
        return lost_worker(self.name, self._process.returncode, self._last_line())

    def activity(self) -> object:
        """A value that changes while the process computes or reads files; None if it has ended."""
        import psutil

        try:
            process = psutil.Process(self.pid)
            busy = process.status() == psutil.STATUS_DISK_SLEEP
            read = process.io_counters() if hasattr(process, "io_counters") else None
            return object() if busy else (process.cpu_times(), read)
        except psutil.Error:
            return None

    def ram(self) -> int:
        """Bytes of its private memory, without mapped files; 0 if it has ended."""
        import psutil

        try:
            info = psutil.Process(self.pid).memory_info()
        except psutil.Error:
            return 0
        return int(info.rss - getattr(info, "shared", 0))

    def kill(self) -> None:
        """Kill the process and those that it has started, and do not wait for it."""
        if self.alive:
            with suppress(OSError):
                os.killpg(self.pid, 9)  # it leads a session of its own

    def close(self) -> None:
        """Wait for the killed process, and close the pipe."""
        with suppress(subprocess.TimeoutExpired):  # it waits for a disk that does not answer
            self._process.wait(_END_SECONDS)
        self.link.connection.close()
        if self._output is not None:
            self._output.close()

    def _last_line(self) -> str:
        """The last line that the process has printed."""
        if self._output is None:
            return ""
        self._output.seek(max(self._output.seek(0, os.SEEK_END) - _LAST_BYTES, 0))
        lines = self._output.read().decode(errors="replace").strip().splitlines()
        return plain_line(lines[-1][:200]) if lines else ""


def _popen(
    module: str, pipes: Sequence[int], environ: Mapping[str, str], output: IO[bytes] | None
) -> subprocess.Popen[bytes]:
    inherited = {name: value for name, value in os.environ.items() if name not in _LAUNCHER}
    inherited["PYTHONPATH"] = os.pathsep.join(import_path())
    return subprocess.Popen(  # noqa: S603 - this interpreter, with a module of ours
        [sys.executable, "-P", "-m", module, str(pipes[0])],
        env=inherited | dict(environ),
        pass_fds=pipes,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,  # a terminal's Ctrl-C does not reach it
    )


def import_path() -> list[str]:
    """Where children look for modules: as this kernel does, but not in its working directory.

    A file such as torch.py there would be imported in place of the library.
    """
    here, home = Path.cwd(), Path(__file__).parents[3]
    paths = []
    for entry in map(Path, filter(None, sys.path)):
        with suppress(OSError):
            if entry.is_absolute() and entry.exists() and (entry == home or entry != here):
                paths.append(entry)
    first = next((p for p in paths if (p / "cogmagic" / "__init__.py").exists()), None)
    if first != home:
        paths.insert(0, home)
    return list(map(str, paths))
