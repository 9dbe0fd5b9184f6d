"""The place of a video on disk: checked before the run, never half-written or taken by force."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from cogmagic._errors import OutputError
from cogmagic._files import try_lock
from cogmagic._models.request import Request

__all__ = ["OutputFile", "check_disk_space"]


_PART = ".cogmagic.part.mp4"


@dataclass(frozen=True)
class OutputFile:
    """Where a video will be written: checked, reserved, and not yet there."""

    path: Path
    part: Path
    """The temporary name beside it, that is renamed when the file is whole."""
    overwrite: bool
    _held: BinaryIO = field(repr=False, compare=False)
    """The temporary file, locked: one that nobody has locked is left over from a killed kernel."""

    @classmethod
    def claim(cls, save: str | Path | None, seed: int, *, overwrite: bool = False) -> OutputFile:
        """Decide on the name, and prove now that it can be written.

        What kernels that were killed have left in the folder is removed.

        Args:
            save: a file ending in ``.mp4``, an existing folder, or None for the working directory.
            seed: goes into the default name, ``cogvideo-<time>-<seed>.mp4``.
            overwrite: whether an existing file may be replaced.

        Raises:
            OutputError: when it cannot be written or is there already.
        """
        try:
            return cls._claim(save, seed, overwrite)
        except (OSError, RuntimeError, ValueError) as error:  # too long, ~nobody, a NUL
            raise OutputError(f"--save {str(save)[:100]!r} is no usable path ({error}).") from None

    @classmethod
    def _claim(cls, save: str | Path | None, seed: int, overwrite: bool) -> OutputFile:
        name = f"cogvideo-{time.strftime('%Y%m%d-%H%M%S')}-{seed}.mp4"
        path = Path.cwd() if save is None else Path(save).expanduser()
        if save is None or path.is_dir() or str(save).endswith(("/", os.sep)):
            folder, path = path, _free(path / name)
        else:
            folder = path.parent
            if path.suffix.lower() != ".mp4":
                raise OutputError(f"--save {save}: the file must end in .mp4, or be a folder.")
        if not folder.is_dir():
            raise OutputError(f"--save {save}: there is no folder {folder}. Make it first.")
        if path.exists() and not overwrite:
            raise OutputError(f"{path} is there already. Choose another name, or add --overwrite.")
        try:
            held = _new_part(path)
        except OSError as error:
            raise OutputError(f"{folder} cannot be written ({error.strerror}).") from None
        return cls(path.absolute(), Path(held.name).absolute(), overwrite, held)

    def write(self, data: bytes) -> None:
        """The whole file at once.

        Raises:
            OutputError: when the disk cannot take it.
        """
        try:
            self.part.write_bytes(data)
        except OSError as error:
            raise OutputError(
                f"{self.path.parent} cannot take the video ({error.strerror})."
            ) from None

    def commit(self) -> None:
        """Give the finished file its final name.

        Raises:
            OutputError: when it cannot be had; the finished file is then gone with `drop`.
        """
        try:
            os.fsync(self._held.fileno())  # the name must not be on the disk before what it names
            if sys.platform == "win32":  # which does not rename what is open
                self._held.close()
            mask = os.umask(0)
            os.umask(mask)
            self.part.chmod(0o666 & ~mask)  # mkstemp made it private
            self._rename()  # while it is locked, or another kernel may clear it
            self._held.close()
        except FileExistsError:
            raise OutputError(f"{self.path} appeared while the video was made.") from None
        except OSError as error:
            raise OutputError(f"{self.path.parent} cannot be written ({error.strerror}).") from None

    def _rename(self) -> None:
        if self.overwrite:
            self.part.replace(self.path)
            return
        try:
            self.path.hardlink_to(self.part)  # unlike a rename, never replaces a file
        except FileExistsError:
            raise
        except OSError:  # a file system without hard links
            if self.path.exists():
                raise FileExistsError from None
            self.part.replace(self.path)
        self.part.unlink(missing_ok=True)

    def drop(self) -> None:
        """Remove the temporary file, if it is still there."""
        self._held.close()
        with suppress(OSError):
            self.part.unlink(missing_ok=True)


def check_disk_space(target: OutputFile, request: Request) -> None:
    """See that the disk can take the video at all: one bit a pixel, a still picture needs less.

    Raises:
        OutputError: when it cannot.
    """
    need = request.num_frames * request.height * request.width // 8
    left = shutil.disk_usage(target.path.parent).free
    if left < need:
        raise OutputError(
            f"{target.path.parent} has {left / 1e6:.1f} MB left, and the video may take"
            f" {need / 1e6:.1f} MB. Make room, or choose another disk with --save FOLDER."
        )


def _new_part(path: Path) -> BinaryIO:
    """A new temporary file beside `path`, open and locked; what is left over there goes."""
    for left in path.parent.glob(f".*{_PART}"):
        _clear(left)
    while True:
        handle, part = tempfile.mkstemp(_PART, f".{path.stem[:100]}.", path.parent)
        os.close(handle)
        held = Path(part).open("r+b")  # noqa: SIM115 - held as long as the run
        try_lock(held.fileno())
        if Path(part).exists():  # else another kernel cleared it before it was locked
            return held
        held.close()


def _clear(part: Path) -> None:
    """Remove a temporary file that no kernel has locked."""
    with suppress(OSError), part.open("r+b") as file:
        if try_lock(file.fileno()):
            part.unlink()


def _free(path: Path) -> Path:
    """`path`, or the first of ``path-2``, ``path-3``… that is not there."""
    candidate, n = path, 2
    while candidate.exists():
        candidate, n = path.with_stem(f"{path.stem}-{n}"), n + 1
    return candidate
