"""Files that are written whole or not at all, and files that one kernel has to itself."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from tempfile import NamedTemporaryFile

__all__ = ["cache_folder", "try_lock", "write_atomically"]


def write_atomically(path: Path, data: bytes) -> None:
    """Put `data` in the place of a file at once; the file behind a link, not the link.

    Raises:
        OSError: when it cannot; the old file is then as it was, and nothing is left beside it.
    """
    target = path.resolve()
    with NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", delete=False) as part:
        new = Path(part.name)
        try:
            part.write(data)
            part.close()
            new.replace(target)
        except BaseException:
            new.unlink(missing_ok=True)
            raise


def try_lock(handle: int) -> bool | None:
    """Try to lock an open file for this process, without waiting; closing it lets go.

    Whether this process has it now; None where platform or file system cannot lock.
    """
    try:
        if sys.platform == "win32":
            import msvcrt

            os.lseek(handle, 1 << 30, os.SEEK_SET)  # Windows keeps others from what is locked
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except (ImportError, OSError):
        return None
    return True


def cache_folder() -> Path:
    """``$COGMAGIC_CACHE``, or ``cogmagic`` in the user's cache folder."""
    if os.environ.get("COGMAGIC_CACHE"):
        return Path(os.path.expanduser(os.environ["COGMAGIC_CACHE"]))  # noqa: PTH111 - no error
    if sys.platform == "win32" and os.environ.get("LOCALAPPDATA"):
        return Path(os.environ["LOCALAPPDATA"]) / "cogmagic"
    if sys.platform == "darwin":
        return Path("~/Library/Caches/cogmagic").expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "cogmagic"
