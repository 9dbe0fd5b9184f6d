"""Page cache: which bytes of a checkpoint would have to be read from its disk. Linux only."""

from __future__ import annotations

import ctypes
import mmap
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from cogmagic._errors import CheckpointError
from cogmagic._models.checkpoints.weights import weight_files
from cogmagic._models.family import WEIGHTED_COMPONENTS

__all__ = ["cached_share", "uncached_bytes"]

_WINDOW = 2**20
"""Bytes of one sample; read-ahead fills at least so much at once."""
_SAMPLES = 256
"""Samples of a file; smaller ones are looked at whole."""


def cached_share(folder: Path) -> float:
    """Share of the bytes of a checkpoint's weights in the page cache; 0 where it is unknown."""
    with suppress(OSError, CheckpointError):
        files = [file for part in WEIGHTED_COMPONENTS for file in weight_files(folder, part)]
        total, uncached = sum(file.stat().st_size for file in files), uncached_bytes(files)
        if uncached is not None and total:
            return 1 - uncached / total
    return 0.0


def uncached_bytes(files: Iterable[Path]) -> int | None:
    """Bytes of `files` outside the page cache, by samples of large ones; None where unknown.

    ``mincore`` answers for files that this process owns or may write; of others it claims that all
    is cached (Linux, ``mm/mincore.c``). Nothing is read: it looks at pages without touching them.
    """
    if sys.platform != "linux":
        return None
    total = 0
    try:
        for file in files:
            if not _may_ask(file):
                return None
            total += _uncached(file)
    except (OSError, ValueError):
        return None
    return total


def _may_ask(file: Path) -> bool:
    return file.stat().st_uid == os.geteuid() or os.access(file, os.W_OK)


def _uncached(file: Path) -> int:
    size = file.stat().st_size
    if not size:
        return 0
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), size, prot=mmap.PROT_READ) as pages:
        looked = missing = 0
        for start, end in _windows(size):
            looked += end - start
            missing += _missing(pages, start, end)
    return size * missing // looked


def _windows(size: int) -> Iterator[tuple[int, int]]:
    """The first and the last window of a file, and others spread evenly between them."""
    count = -(-size // _WINDOW)
    picked = min(count, _SAMPLES)
    for index in sorted({i * (count - 1) // max(picked - 1, 1) for i in range(picked)}):
        yield index * _WINDOW, min((index + 1) * _WINDOW, size)


def _missing(pages: mmap.mmap, start: int, end: int) -> int:
    """Bytes of a window that are in no page of the cache."""
    import numpy as np

    page = mmap.PAGESIZE
    resident = np.zeros(-(-(end - start) // page), dtype=np.uint8)
    address = np.frombuffer(pages, dtype=np.uint8).ctypes.data + start
    flags = resident.ctypes.data_as(ctypes.POINTER(ctypes.c_ubyte))
    if _libc().mincore(ctypes.c_void_p(address), ctypes.c_size_t(end - start), flags) != 0:
        raise OSError(ctypes.get_errno(), "mincore failed")
    absent = resident.size - int(np.count_nonzero(resident & 1))
    return min(absent * page, end - start)


@cache
def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)
