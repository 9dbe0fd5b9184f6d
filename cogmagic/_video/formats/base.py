"""What a format of a video's file must do, and the errors of reading and writing."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from cogmagic._errors import OutputError, first_line

if TYPE_CHECKING:
    import numpy as np

__all__ = [
    "HEADER_ONLY",
    "Format",
    "Frames",
    "Streamed",
    "comment",
    "opened",
    "readable",
    "writable",
]


HEADER_ONLY = {"probesize": "5000", "analyzeduration": "1"}
"""Options under which FFmpeg opens a file without decoding its first frames."""


class Frames(Protocol):
    """uint8 RGB frames, each height × width × 3: an array, or frames that are read in turn."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Frames × height × width × 3."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Any]: ...


@dataclass(frozen=True)
class Streamed:
    """Frames of which one is in memory at a time; each pass over them reads them again."""

    shape: tuple[int, ...]
    """Frames × height × width × 3."""
    begin: Callable[[], Iterator[np.ndarray[Any, Any]]]
    """Begins a pass."""

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[np.ndarray[Any, Any]]:
        return self.begin()


class Format(ABC):
    """A format of a video's file, or of a folder of frames.

    A source is the path of the file or folder, or the whole file in memory.
    """

    suffix: ClassVar[str]
    """The end of the name after ``--save``, in lower case."""
    mime: ClassVar[str]
    """The type of the file in a data URL; empty if no browser shows it."""
    bits_per_pixel: ClassVar[int]
    """Bits of the file a pixel and frame, for the check of the disk: more than usual."""
    similar: ClassVar[tuple[str, ...]] = ()
    """Suffixes of other formats for which this one is the nearest."""
    is_folder: ClassVar[bool] = False
    """Whether it is a folder of files."""

    @property
    def ending(self) -> str:
        """The end of the file's own name; empty for a folder."""
        return "" if self.is_folder else self.suffix

    @abstractmethod
    def check(self, fps: int) -> None:
        """Check, before the run, that this format can be written at `fps` frames per second.

        Raises:
            OutputError: when it cannot.
        """

    @abstractmethod
    def write(
        self,
        to: Path | BytesIO,
        frames: Frames,
        fps: int,
        metadata: Mapping[str, Any],
    ) -> None:
        """Write uint8 RGB frames (frames × height × width × 3) and how they were made.

        Raises:
            OutputError: when the disk is full or the file cannot be written.
        """

    @abstractmethod
    def metadata(self, source: Path | bytes) -> dict[str, Any]:
        """The metadata that `write` has written."""

    def frames(self, source: Path | bytes) -> np.ndarray[Any, Any]:
        """The frames as decoded: uint8 RGB, frames × height × width × 3."""
        import numpy as np

        return np.stack(list(self.each(source)))

    def each(self, source: Path | bytes) -> Iterator[np.ndarray[Any, Any]]:
        """The frames as decoded, one after the other: uint8 RGB, height × width × 3."""
        import av

        with av.open(opened(source)) as file:
            for frame in file.decode(video=0):
                yield frame.to_ndarray(format="rgb24")

    def middle(self, source: Path | bytes, count: int) -> np.ndarray[Any, Any]:
        """The frame in the middle of `count`; of fewer frames the last.

        Raises:
            OutputError: when the source is missing or damaged.
        """
        with readable(source):
            return deque(islice(self.each(source), count // 2 + 1), maxlen=1)[0]

    def copy(self, source: Path | bytes, to: Path) -> None:
        """Write a source of this format to another path, as it is.

        Raises:
            OutputError: when it cannot be read or written.
        """
        with readable(source):
            data = source if isinstance(source, bytes) else source.read_bytes()
        with writable(to):
            to.write_bytes(data)


def opened(source: Path | bytes) -> Any:
    """A source as PyAV and Pillow open it."""
    return BytesIO(source) if isinstance(source, bytes) else str(source)


def comment(metadata: Mapping[str, Any], *, ascii_only: bool = False) -> str:
    """The metadata as JSON."""
    return json.dumps(metadata, ensure_ascii=ascii_only, default=str)


@contextmanager
def readable(source: Path | bytes) -> Iterator[None]:
    """Report in one line what a library raises for a damaged video, or one of another program."""
    try:
        yield
    except Exception as error:  # of many types
        name = source if isinstance(source, Path) else "The video in memory"
        raise OutputError(
            f"{name} cannot be read as a video made by cogmagic ({first_line(error)})."
            " Generate it or copy it again."
        ) from None


@contextmanager
def writable(to: Path | BytesIO, noun: str = "video") -> Iterator[None]:
    """Report in one line why a video, or what else `noun` names, cannot be written."""
    try:
        yield
    except OSError as error:  # av's errors are OSErrors
        folder = to.parent if isinstance(to, Path) else "memory"
        reason = error.strerror or first_line(error)
        raise OutputError(f"The {noun} cannot be written to {folder} ({reason}).") from None
