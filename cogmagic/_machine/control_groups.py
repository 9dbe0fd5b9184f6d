"""Memory limits of this process's control groups, versions 1 and 2, from the kernel's files.

The files are described in the kernel's ``admin-guide/cgroup-v2.rst`` and
``admin-guide/cgroup-v1/memory.rst``; ``/proc/self/mountinfo`` in proc(5) and cgroup_namespaces(7).
Every ancestor may set a limit, and some may be hidden from a container. A file that is missing,
malformed or unreadable sets none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath

__all__ = ["GroupMemory", "group_memory"]


@dataclass(frozen=True)
class GroupMemory:
    """The limits of a group, or of several together, in bytes; None without a limit."""

    limit: int | None = None
    """The smallest limit of any group."""
    left: int | None = None
    """Memory that the group nearest to its limit can still take."""
    swap: int | None = None
    """Swap that the groups can still take when their memory is full."""


@dataclass(frozen=True)
class _Mount:
    """A mounted hierarchy of control groups."""

    version: int
    root: PurePosixPath
    """The group that is visible at `point`, by the same paths as in ``/proc/self/cgroup``."""
    point: Path


_UNLIMITED = 2**62


_RECLAIMABLE = "active_file", "inactive_file", "slab_reclaimable"
"""Entries of ``memory.stat`` that the kernel frees before it kills a process: page cache in use and
not in use, and caches of its own. Dirty pages are among them, because they are written back first,
as in the kernel's ``MemAvailable``. Pages of tmpfs and locked pages are in neither list."""


_OF_ANCESTORS = "hierarchical_memory_limit"


_USED = {_OF_ANCESTORS, *_RECLAIMABLE, *(f"total_{name}" for name in _RECLAIMABLE)}
"""The entries of ``memory.stat`` that are used, of forty or so."""


def group_memory(root: Path = Path("/"), *, own: int = 0) -> GroupMemory:
    """The limits of all groups of this process together.

    Args:
        root: root of the file system with ``proc/self`` and the mounted hierarchies.
        own: bytes of this process, which count as a group's usage where that cannot be read.
    """
    read = {1: _version_1, 2: _version_2}
    groups = [read[version](folder, own) for version, folder in _groups(root)]
    return GroupMemory(
        _least(g.limit for g in groups),
        _least(g.left for g in groups),
        _least(g.swap for g in groups),
    )


def _version_2(folder: str, own: int) -> GroupMemory:
    """The limits of one group.

    ``memory.high`` counts as a limit, although no process is killed for exceeding it: above it,
    processes are throttled so much that a run would barely progress.
    """
    limit = _least(_number(folder, name) for name in ("memory.max", "memory.high"))
    swap = _least(_number(folder, name) for name in ("memory.swap.max", "memory.swap.high"))
    left = None
    if limit is not None:
        usage = _number(folder, "memory.current")
        left = _left(limit, own if usage is None else usage - _reclaimable(_stat(folder)))
    if swap is not None:
        swap = _left(swap, _number(folder, "memory.swap.current") or 0)
    return GroupMemory(limit, left, swap)


def _version_1(folder: str, own: int) -> GroupMemory:
    """The limits of one group, and of the ancestors that a container does not see.

    ``memory.memsw`` limits memory and swap together.
    """
    stat = _stat(folder)
    limit = _least((_number(folder, "memory.limit_in_bytes"), _limit(stat.get(_OF_ANCESTORS))))
    if limit is None:
        return GroupMemory()
    usage, cache = _number(folder, "memory.usage_in_bytes"), _reclaimable(stat)
    left = _left(limit, own if usage is None else usage - cache)
    both = _number(folder, "memory.memsw.limit_in_bytes")
    both_used = _number(folder, "memory.memsw.usage_in_bytes")
    if both is None or both_used is None or left is None:
        return GroupMemory(limit, left)
    both_left = max(both - max(both_used - cache, 0), 0)
    return GroupMemory(limit, min(left, both_left), max(both_left - left, 0))


def _least(amounts: Iterable[int | None]) -> int | None:
    return min((n for n in amounts if n is not None), default=None)


def _left(limit: int | None, used: int) -> int | None:
    return None if limit is None else max(limit - max(used, 0), 0)


def _reclaimable(stat: dict[str, int]) -> int:
    """Bytes in ``memory.stat`` that the kernel can free; version 1 has sums as ``total_``."""
    return sum(stat.get(f"total_{name}", stat.get(name, 0)) for name in _RECLAIMABLE)


def _groups(root: Path) -> tuple[tuple[int, str], ...]:
    """The version and the folder of each visible group that this process is in."""
    return _groups_of(root, tuple(_lines(f"{root}/proc/self/cgroup")))


@lru_cache(maxsize=4)
def _groups_of(root: Path, memberships: tuple[str, ...]) -> tuple[tuple[int, str], ...]:
    """The same, once for each membership: hierarchies stay where they were mounted."""
    return tuple((version, str(folder)) for version, folder in _folders(_mounts(root), memberships))


def _folders(mounts: list[_Mount], memberships: Iterable[str]) -> Iterator[tuple[int, Path]]:
    for line in memberships:
        fields = line.split(":", 2)
        if len(fields) < 3:
            continue
        _, controllers, path = fields
        if controllers and "memory" not in controllers.split(","):
            continue
        version = 1 if controllers else 2
        for point, parts in _visible(path, [m for m in mounts if m.version == version]):
            yield version, point
            for i in range(len(parts)):
                yield version, point.joinpath(*parts[: i + 1])


def _visible(path: str, mounts: list[_Mount]) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """Where the hierarchy is mounted, and the names of the groups down to `path`.

    A mount may not contain `path`: a container may see the host's path, or the group may be outside
    its namespace (``/../``). The mount's root then still has the nearest limit.
    """
    group = PurePosixPath(path)
    inside = [m for m in mounts if group.is_relative_to(m.root)]
    names = {m: group.relative_to(m.root).parts for m in inside}
    for mount in inside or mounts:
        parts = names.get(mount, ())
        yield mount.point, () if ".." in parts else parts


def _mounts(root: Path) -> list[_Mount]:
    """The mounted hierarchies that can limit memory; the usual mount points if none is listed."""
    mounts = []
    for line in _lines(f"{root}/proc/self/mountinfo"):
        mount, _, file_system = line.partition(" - ")
        fields, kind = mount.split(" "), file_system.split(" ")
        if len(fields) < 5:
            continue
        options = kind[2].split(",") if len(kind) > 2 else []
        if kind[0] == "cgroup2" or (kind[0] == "cgroup" and "memory" in options):
            group, point = _unescaped(fields[3]), root / _unescaped(fields[4]).lstrip("/")
            mounts.append(_Mount(2 if kind[0] == "cgroup2" else 1, PurePosixPath(group), point))
    usual = (2, "sys/fs/cgroup"), (2, "sys/fs/cgroup/unified"), (1, "sys/fs/cgroup/memory")
    return mounts or [_Mount(v, PurePosixPath("/"), root / name) for v, name in usual]


def _unescaped(name: str) -> str:
    """A path of ``mountinfo``, in which a space is a backslash and its octal code."""
    return re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), name)


def _stat(folder: str) -> dict[str, int]:
    """The entries of ``memory.stat`` that are used."""
    pairs = (line.partition(" ")[::2] for line in _lines(f"{folder}/memory.stat"))
    return {name: int(n) for name, n in pairs if name in _USED and n.strip().isdecimal()}


def _number(folder: str, name: str) -> int | None:
    """The amount in a file; None for no number, such as ``max``."""
    text = "".join(_lines(f"{folder}/{name}")).strip()
    return _limit(int(text)) if text.isdecimal() and len(text) < 30 else None


def _limit(nbytes: int | None) -> int | None:
    """The limit; None for version 1's "unlimited", 2**63 rounded down to a page of any size."""
    return nbytes if nbytes is not None and nbytes < _UNLIMITED else None


def _lines(path: str) -> list[str]:
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - a `Path` takes as long as the reading
            return file.read().decode("utf-8", "surrogateescape").split("\n")
    except (OSError, ValueError):  # absent, unreadable, or not a file name
        return []
