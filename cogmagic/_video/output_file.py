"""The output file of a video: checked and reserved before the run, written atomically."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO

from cogmagic._errors import OutputError
from cogmagic._files import try_lock
from cogmagic._models.request import Request
from cogmagic._video.output_path import check_working_directory, path_exists, refusal

__all__ = ["OutputFile", "check_disk_space"]


_PART = ".cogmagic.part.mp4"


@dataclass(frozen=True)
class OutputFile:
    """The path of a video, checked and writable; the file does not exist yet."""

    path: Path
    """The video's final path; if cogmagic chose the name, `commit` may take the next free one."""
    part: Path
    """The temporary file beside it, renamed when it is complete."""
    overwrite: bool
    """Whether `path` may replace a file; never if cogmagic chose the name."""
    default: Path | None
    """The name that cogmagic chose, before any number was added; None if the caller chose it."""
    _locked: BinaryIO = field(repr=False, compare=False)
    """The open temporary file, locked: without a lock it is left over from a killed kernel."""

    @classmethod
    def claim(cls, save: str | Path | None, seed: int, *, overwrite: bool = False) -> OutputFile:
        """Choose the path and check now that it can be written.

        Temporary files that killed kernels have left in the folder are removed.

        Args:
            save: a file ending in ``.mp4``, an existing folder, or None for the working directory.
            seed: part of the default name, ``cogvideo-<time>-<seed>.mp4``.
            overwrite: whether an existing file may be replaced; never true for a default name.

        Raises:
            OutputError: when it cannot be written, or exists already.
        """
        try:
            return cls._claim(save, seed, overwrite)
        except OSError as error:
            raise OutputError(refusal(Path(save or ""), error)) from None
        except (RuntimeError, TypeError, ValueError) as error:  # ~nobody, a number, not UTF-8
            raise OutputError(
                f"--save {str(save)[:100]!r} is not a usable path ({error})."
            ) from None

    @classmethod
    def _claim(cls, save: str | Path | None, seed: int, overwrite: bool) -> OutputFile:
        path, default = Path("" if save is None else save).expanduser(), None
        if "\0" in str(path):
            raise OutputError(f"--save {str(save)[:100]!r} has a NUL character. Remove it.")
        if not path.is_absolute():
            check_working_directory()
        exists = path_exists(path)
        if path.is_dir() or str(save).endswith(("/", os.sep)):
            default = path / f"cogvideo-{time.strftime('%Y%m%d-%H%M%S')}-{seed}.mp4"
            path = next(p for p in _numbered(default) if not path_exists(p))
        elif path.suffix.lower() != ".mp4":
            raise OutputError(f"--save {save}: the file must end in .mp4, or be a folder.")
        folder = path.parent
        if not folder.is_dir():
            raise OutputError(
                f"--save {save}: the folder {folder} does not exist. Create it first."
            )
        if default is None and exists and not overwrite:
            raise OutputError(f"{path} already exists. Choose another name, or add --overwrite.")
        try:
            part = _new_part(folder)
        except OSError as error:
            raise OutputError(
                f"{folder.absolute()} cannot be written ({error.strerror})."
                " Choose another folder with --save FOLDER."
            ) from None
        return cls(
            path.absolute(),
            Path(part.name).absolute(),
            overwrite and default is None,
            default and default.absolute(),
            part,
        )

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

    def commit(self) -> Path:
        """Give the finished file its final name, and return it.

        A name that cogmagic chose takes the next free number if another kernel has taken it.

        Raises:
            OutputError: when that fails; `drop` then removes the finished file.
        """
        try:
            os.fsync(self._locked.fileno())  # the content must be on the disk before its name
            if sys.platform == "win32":  # which does not rename open files
                self._locked.close()
            path = self._put_in_place()  # while it is locked, or another kernel may remove it
            self._locked.close()
        except FileExistsError:
            raise OutputError(
                f"{self.path} was created by another program during the run."
            ) from None
        except OSError as error:
            raise OutputError(f"{self.path.parent} cannot be written ({error.strerror}).") from None
        return path

    def _put_in_place(self) -> Path:
        if self.overwrite:
            return self.part.replace(self.path)
        for path in [self.path] if self.default is None else _numbered(self.default):
            with suppress(FileExistsError):
                return _rename_to_new(self.part, path)
        raise FileExistsError

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


def _new_part(folder: Path) -> BinaryIO:
    """A new temporary file in `folder`, open and locked; leftovers are removed."""
    for leftover in folder.glob(f".*{_PART}"):
        _remove_unlocked(leftover)
    while True:
        part = folder / f".{token_hex(8)}{_PART}"
        file = part.open("x+b")
        try_lock(file.fileno())
        if part.exists():  # else another kernel removed it before it was locked
            return file
        file.close()


def _remove_unlocked(part: Path) -> None:
    """Remove a temporary file unless a kernel has locked it."""
    with suppress(OSError), part.open("r+b") as file:
        if try_lock(file.fileno()):
            part.unlink()


def _rename_to_new(part: Path, path: Path) -> Path:
    """Rename a file atomically, to a name that no file has; returns the name.

    Raises:
        FileExistsError: when a file has it.
    """
    if sys.platform == "win32":  # where renaming never replaces a file
        return part.rename(path)
    try:
        path.hardlink_to(part)  # unlike a rename, never replaces a file
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links: reserve the name, then replace that file
        path.touch(exist_ok=False)
        try:
            return part.replace(path)
        except BaseException:
            path.unlink()
            raise
    part.unlink(missing_ok=True)
    return path


def _numbered(path: Path) -> Iterator[Path]:
    """`path`, ``path-2``, ``path-3`` and so on."""
    yield path
    for n in count(2):
        yield path.with_stem(f"{path.stem}-{n}")
