"""Files that one kernel has to itself."""

from __future__ import annotations

import os
import sys

__all__ = ["lock"]


def lock(handle: int) -> bool:
    """Try to lock an open file for this process, without waiting; closing it lets go.

    False as well where platform or file system cannot lock.
    """
    try:
        if sys.platform == "win32":
            import msvcrt

            os.lseek(handle, 1 << 30, os.SEEK_SET)  # Windows keeps others from what is locked
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (ImportError, OSError):
        return False
    return True
