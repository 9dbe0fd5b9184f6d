"""Host memory: of the container if it has a limit, else of the machine."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

__all__ = ["Ram", "cgroup_memory", "host_ram", "own_ram", "trim"]


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

    @property
    def for_me(self) -> int | None:
        """The most that this process could use: its own and what is available."""
        return None if self.available is None else self.available + self.mine

    def reusing(self, nbytes: int) -> Ram:
        """With at most `nbytes` of this process's own memory counted as usable for a run.

        The rest is the notebook's and stays in use during the run.
        """
        return replace(self, mine=min(self.mine, nbytes))


def host_ram() -> Ram:
    """Host memory of the container if it has a limit, else of the machine."""
    import psutil

    memory, swap = psutil.virtual_memory(), int(psutil.swap_memory().free)
    total, available = int(memory.total), int(memory.available)
    limit = cgroup_memory(Path("/sys/fs/cgroup"), Path("/proc/self/cgroup"))
    if limit is None or limit[0] >= total:
        return Ram(total, available, "machine", swap, own_ram())
    maximum, used = limit
    return Ram(maximum, min(available, max(maximum - used, 0)), "container", swap, own_ram())


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


def cgroup_memory(root: Path, membership: Path) -> tuple[int, int] | None:
    """The tightest (limit, used) in bytes of this process's control groups, or None.

    Handles version 2 (``memory.max``) and version 1 (``memory.limit_in_bytes``); any ancestor may
    set a limit. Page cache that the kernel can drop does not count as used.
    """
    try:
        lines = membership.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    tightest: tuple[int, int] | None = None
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            base, limit_name, used_name = root, "memory.max", "memory.current"
            inactive = "inactive_file"
        elif "memory" in controllers.split(","):
            base, limit_name, used_name = (
                root / "memory",
                "memory.limit_in_bytes",
                "memory.usage_in_bytes",
            )
            inactive = "total_inactive_file"
        else:
            continue
        # Inside a container the host's hierarchy is not mounted and the root holds the
        # container's own files, so the root is always read last.
        folder = base / path.lstrip("/")
        for group in (folder, *folder.parents):
            limit, used = _number(group / limit_name), _number(group / used_name)
            if limit is not None and used is not None:
                used -= _stat(group / "memory.stat", inactive)
                if tightest is None or limit - used < tightest[0] - tightest[1]:
                    tightest = (limit, max(used, 0))
            if group == base:
                break
    return tightest


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # absent, or "max"
        return None


def _stat(path: Path, key: str) -> int:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError:
        return 0
    return next((int(v) for k, v in (x.split() for x in text.splitlines()) if k == key), 0)
