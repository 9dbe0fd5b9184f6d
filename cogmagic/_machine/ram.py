"""Host memory: of the container if it has a limit, else of the machine."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from cogmagic._machine.control_groups import group_memory
from cogmagic._machine.process_limits import mappable

__all__ = ["Ram", "host_ram", "limit_ram", "own_ram", "share_of_ram", "trim"]

_most: int | None = None
"""Bytes of host memory that this process may use; None for all."""


@dataclass(frozen=True)
class Ram:
    """Host memory in bytes: the most that this process may use, and what is free of it."""

    total: int | None = None
    available: int | None = None
    source: str = "described"
    swap: int = 0
    """Free swap, which takes what does not fit host memory before a process is killed."""
    mine: int = 0
    """Private memory of this process, without mapped files."""
    mappable: int | None = None
    """What this process may still map, mapped files included; None without a ``ulimit``."""

    @property
    def for_me(self) -> int | None:
        """The most that this process could use: its own and what is available."""
        return None if self.available is None else self.available + self.mine

    @property
    def addresses(self) -> int | None:
        """The most that this process could map, its own memory included; None without a limit."""
        return None if self.mappable is None else self.mappable + self.mine

    @property
    def for_copies(self) -> int | None:
        """The most that this process could use for copies of weights whose files are mapped."""
        return min((n for n in (self.for_me, self.addresses) if n is not None), default=None)

    def reusing(self, nbytes: int) -> Ram:
        """With at most `nbytes` of this process's own memory counted as usable for a run.

        The rest is the notebook's and stays in use during the run.
        """
        return replace(self, mine=min(self.mine, nbytes))


def host_ram(cuda: int = 0) -> Ram:
    """Host memory of the container if it has a limit, else of the machine.

    Page cache counts as available, because the kernel frees it when memory is needed.

    Args:
        cuda: bytes of addresses that CUDA has yet to reserve, which count under ``ulimit -v``.
    """
    (total, available, swap), own, source = _of_machine(), own_ram(), "machine"
    group = group_memory(own=own)
    if group.limit is not None and group.limit < total:
        total, source = group.limit, "container"
    if group.left is not None:
        available = min(available, group.left)
    if group.swap is not None:
        swap = min(swap, group.swap)
    if _most is not None:
        total, swap = min(total, _most), 0
        available = min(available, max(_most - own, 0))
    return Ram(total, available, source, swap, own, mappable(cuda))


def _of_machine() -> tuple[int, int, int]:
    """Bytes of the machine's memory, of what is available of it, and of free swap."""
    with suppress(OSError, KeyError, ValueError):  # no Linux, or one before 3.14
        return _of_linux(Path("/proc/meminfo"))
    import psutil

    memory = psutil.virtual_memory()
    return int(memory.total), int(memory.available), int(psutil.swap_memory().free)


def _of_linux(meminfo: Path) -> tuple[int, int, int]:
    """The same from a single file: psutil reads it twice, and the counters of ``/proc/vmstat``."""
    pairs = (line.split(maxsplit=2)[:2] for line in meminfo.read_bytes().splitlines())
    kib = {name: int(amount) for name, amount in pairs}
    total, available = kib[b"MemTotal:"], kib[b"MemAvailable:"]
    if available > total:  # LXC mixes the host's figures with the container's
        raise ValueError
    return total * 1024, available * 1024, kib[b"SwapFree:"] * 1024


def share_of_ram(processes: int) -> int:
    """An equal share of what is available now, in bytes, of processes that start together."""
    ram = host_ram()
    return ((ram.available or 0) + ram.mine) // max(processes, 1)


def limit_ram(most: int) -> None:
    """Use at most so many bytes of host memory, and no swap, from now on."""
    global _most
    _most = most


def trim() -> None:
    """Return freed memory to the system; glibc keeps some 0.4 GiB after loading."""
    if sys.platform != "linux":
        return
    from ctypes import CDLL

    malloc_trim = getattr(CDLL(None), "malloc_trim", None)  # musl has none
    if malloc_trim is not None:
        malloc_trim(0)


def own_ram() -> int:
    """Bytes of private memory of this process, without mapped files."""
    info = _process(os.getpid()).memory_info()
    return int(info.rss - getattr(info, "shared", 0))


@lru_cache(maxsize=1)
def _process(pid: int) -> Any:
    import psutil

    return psutil.Process(pid)
