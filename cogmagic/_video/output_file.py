"""The output file of a video: checked and reserved before the run, written atomically."""

from __future__ import annotations

import os
import shutil
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from cogmagic._errors import OutputError
from cogmagic._files import typed_path
from cogmagic._models.request import Request
from cogmagic._video.formats.base import Format
from cogmagic._video.formats.mp4 import MP4
from cogmagic._video.formats.png import is_folder_of_frames
from cogmagic._video.formats.registry import format_of
from cogmagic._video.output_path import check_working_directory, path_exists, refusal
from cogmagic._video.part import (
    folder_of,
    new_part,
    numbered,
    rename_to_new,
    replace_folder,
    synchronise,
)

__all__ = ["OutputFile", "check_disk_space"]


@dataclass(frozen=True)
class OutputFile:
    """The path of a video, checked and writable; the file, or folder of frames, does not exist."""

    path: Path
    """The video's final path; if cogmagic chose the name, `commit` may take the next free one."""
    format: Format
    part: Path
    """The temporary file or folder beside it, renamed when it is complete."""
    overwrite: bool
    """Whether `path` may replace a file; never if cogmagic chose the name."""
    default: Path | None
    """The name that cogmagic chose, before any number was added; None if the caller chose it."""
    _locked: BinaryIO = field(repr=False, compare=False)
    """The open temporary file, locked: without a lock it is left over from a killed kernel."""

    @classmethod
    def claim(
        cls,
        save: str | Path | None,
        seed: int,
        *,
        overwrite: bool = False,
        default_format: Format = MP4,
    ) -> OutputFile:
        """Choose the path and check now that it can be written.

        Temporary files that killed kernels have left in the folder are removed.

        Args:
            save: a file with the suffix of a format, an existing folder, or None for the working
                directory. Of ``fox.png`` the path is the folder ``fox``.
            seed: part of the default name, ``cogvideo-<time>-<seed>.mp4``.
            overwrite: whether an existing file may be replaced; never true for a default name. A
                folder is replaced only if it has no other files than frames.
            default_format: the format of a default name.

        Raises:
            OutputError: when it cannot be written, or exists already.
        """
        try:
            return cls._claim(save, seed, overwrite, default_format)
        except OSError as error:
            raise OutputError(refusal(Path(save or ""), error)) from None
        except (RuntimeError, TypeError, ValueError) as error:  # ~nobody, a number, not UTF-8
            raise OutputError(
                f"--save {str(save)[:100]!r} is not a usable path ({error})."
            ) from None

    @classmethod
    def _claim(
        cls, save: str | Path | None, seed: int, overwrite: bool, default_format: Format
    ) -> OutputFile:
        path, default = typed_path("" if save is None else save), None
        if "\0" in str(path):
            raise OutputError(f"--save {str(save)[:100]!r} has a NUL character. Remove it.")
        if not path.is_absolute():
            check_working_directory()
        path_exists(path)  # raises for a name that no file can have
        if path.is_dir() or str(save).endswith(("/", os.sep)):
            kind = default_format
            name = f"cogvideo-{time.strftime('%Y%m%d-%H%M%S')}-{seed}"
            default = path / (name + kind.ending)
            path = next(p for p in numbered(default, kind.ending) if not path_exists(p))
        else:
            kind = format_of(path, str(save))
            path = _folder_named(path) if kind.is_folder else path
        folder = path.parent
        if not folder.is_dir():
            if folder.exists():
                raise OutputError(f"--save {save}: {folder} is a file. Name a folder instead.")
            raise OutputError(
                f"--save {save}: the folder {folder} does not exist. Create it first."
            )
        if default is None:
            _check_free(path, kind, overwrite)
        try:
            part = new_part(folder.absolute(), kind.suffix)
        except OSError as error:
            raise OutputError(
                f"{folder.absolute()} cannot be written ({error.strerror})."
                " Choose another folder with --save FOLDER."
            ) from None
        temporary = Path(part.name)
        return cls(
            path.absolute(),
            kind,
            folder_of(temporary) if kind.is_folder else temporary,
            overwrite and default is None,
            default and default.absolute(),
            part,
        )

    def copy(self, source: Path | bytes) -> None:
        """Write the whole temporary file from a video of the same format.

        Raises:
            OutputError: when the video cannot be read, or the disk refuses it.
        """
        self.format.copy(source, self.part)

    def commit(self) -> Path:
        """Give the finished file its final name, and return it.

        A name that cogmagic chose takes the next free number if another kernel has taken it.

        Raises:
            OutputError: when that fails; `drop` then removes the finished file.
        """
        try:
            self._synchronise()
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

    def _synchronise(self) -> None:
        """Put the content on the disk, which must happen before it has its name."""
        if self.format.is_folder:
            synchronise(self.part)
        else:
            os.fsync(self._locked.fileno())

    def _put_in_place(self) -> Path:
        if self.overwrite and self.format.is_folder:
            return replace_folder(self.part, self.path)
        if self.overwrite:
            return self.part.replace(self.path)
        names = [self.path] if not self.default else numbered(self.default, self.format.ending)
        for path in names:
            with suppress(FileExistsError):
                return rename_to_new(self.part, path)
        raise FileExistsError

    def drop(self) -> None:
        """Remove the temporary file or folder, if it still exists."""
        if self.format.is_folder:
            shutil.rmtree(self.part, ignore_errors=True)
        self._locked.close()
        with suppress(OSError):
            Path(self._locked.name).unlink(missing_ok=True)


def _folder_named(path: Path) -> Path:
    """The folder of frames that ``fox.png`` names: ``fox``."""
    name = path.name[: -len(path.suffix)]
    if name in (".", ".."):
        raise OutputError(f"--save {path}: no folder has that name. Type --save NAME.png.")
    return path.with_name(name)


def _check_free(path: Path, kind: Format, overwrite: bool) -> None:
    """Check that a name is free, or may be replaced.

    Raises:
        OutputError: when it is not.
    """
    if not path_exists(path):
        return
    if not overwrite:
        what = "The folder " if kind.is_folder else ""
        raise OutputError(f"{what}{path} already exists. Choose another name, or add --overwrite.")
    if kind.is_folder and not is_folder_of_frames(path):
        raise OutputError(
            f"{path} is not a folder of frames (0001.png, 0002.png …) alone, so --overwrite does"
            " not replace it. Choose another name."
        )


def check_disk_space(target: OutputFile, request: Request, num_frames: int | None = None) -> None:
    """Check that the disk has space for a video: one bit a pixel as MP4, more in other formats.

    A still picture needs less.

    Args:
        target: its file.
        request: has its size.
        num_frames: its frames, if they are more than the request's.

    Raises:
        OutputError: when it has not.
    """
    pixels = (num_frames or request.num_frames) * request.height * request.width
    need = pixels * target.format.bits_per_pixel // 8
    free = shutil.disk_usage(target.path.parent).free
    if free < need:
        raise OutputError(
            f"{target.path.parent} has {free / 1e6:.1f} MB free, but the video may take"
            f" {need / 1e6:.1f} MB. Free some space, or choose another disk with --save FOLDER."
        )
