"""The output file of a video: checked and reserved before the run, written atomically."""

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
    """The path of a video, checked and reserved; the file does not exist yet."""

    path: Path
    part: Path
    """The temporary file beside it, renamed when it is complete."""
    overwrite: bool
    _locked: BinaryIO = field(repr=False, compare=False)
    """The open temporary file, locked: without a lock it is left over from a killed kernel."""

    @classmethod
    def claim(cls, save: str | Path | None, seed: int, *, overwrite: bool = False) -> OutputFile:
        """Choose the path and check now that it can be written.

        Temporary files that killed kernels have left in the folder are removed.

        Args:
            save: a file ending in ``.mp4``, an existing folder, or None for the working directory.
            seed: part of the default name, ``cogvideo-<time>-<seed>.mp4``.
            overwrite: whether an existing file may be replaced.

        Raises:
            OutputError: when it cannot be written, or exists already.
        """
        try:
            return cls._claim(save, seed, overwrite)
        except (OSError, RuntimeError, TypeError, ValueError) as error:  # too long, ~nobody, a NUL
            raise OutputError(
                f"--save {str(save)[:100]!r} is not a usable path ({error})."
            ) from None

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
            raise OutputError(
                f"--save {save}: the folder {folder} does not exist. Create it first."
            )
        if path.exists() and not overwrite:
            raise OutputError(f"{path} already exists. Choose another name, or add --overwrite.")
        try:
            part = _new_part(path)
        except OSError as error:
            raise OutputError(f"{folder} cannot be written ({error.strerror}).") from None
        return cls(path.absolute(), Path(part.name).absolute(), overwrite, part)

    def write(self, data: bytes) -> None:
        """Write the whole temporary file.

        Raises:
            OutputError: when the disk refuses it.
        """
        try:
            self.part.write_bytes(data)
        except OSError as error:
            raise OutputError(
                f"The video cannot be written to {self.path.parent} ({error.strerror})."
            ) from None

    def commit(self) -> None:
        """Give the finished file its final name.

        Raises:
            OutputError: when that fails; `drop` then removes the finished file.
        """
        try:
            os.fsync(self._locked.fileno())  # the content must be on the disk before its name
            if sys.platform == "win32":  # which does not rename open files
                self._locked.close()
            mask = os.umask(0)
            os.umask(mask)
            self.part.chmod(0o666 & ~mask)  # mkstemp made it private
            self._rename()  # while it is locked, or another kernel may remove it
            self._locked.close()
        except FileExistsError:
            raise OutputError(
                f"{self.path} was created by another program during the run."
            ) from None
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
        """Remove the temporary file, if it still exists."""
        self._locked.close()
        with suppress(OSError):
            self.part.unlink(missing_ok=True)


def check_disk_space(target: OutputFile, request: Request) -> None:
    """Check that the disk has space for a video: one bit a pixel; a still picture needs less.

    Raises:
        OutputError: when it has not.
    """
    need = request.num_frames * request.height * request.width // 8
    free = shutil.disk_usage(target.path.parent).free
    if free < need:
        raise OutputError(
            f"{target.path.parent} has {free / 1e6:.1f} MB free, but the video may take"
            f" {need / 1e6:.1f} MB. Free some space, or choose another disk with --save FOLDER."
        )


def _new_part(path: Path) -> BinaryIO:
    """A new temporary file beside `path`, open and locked; leftovers are removed."""
    for leftover in path.parent.glob(f".*{_PART}"):
        _remove_unlocked(leftover)
    while True:
        handle, part = tempfile.mkstemp(_PART, f".{path.stem[:100]}.", path.parent)
        os.close(handle)
        file = Path(part).open("r+b")  # noqa: SIM115 - open as long as the run
        try_lock(file.fileno())
        if Path(part).exists():  # else another kernel removed it before it was locked
            return file
        file.close()


def _remove_unlocked(part: Path) -> None:
    """Remove a temporary file unless a kernel has locked it."""
    with suppress(OSError), part.open("r+b") as file:
        if try_lock(file.fileno()):
            part.unlink()


def _free(path: Path) -> Path:
    """`path`, or the first of ``path-2``, ``path-3``… that does not exist."""
    candidate, n = path, 2
    while candidate.exists():
        candidate, n = path.with_stem(f"{path.stem}-{n}"), n + 1
    return candidate
