"""Clips from a user, checked by their headers; their frames are read when a run begins."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeGuard, runtime_checkable

from cogmagic._errors import RequestError
from cogmagic._models.clips.header import VideoFile, header_of
from cogmagic._models.clips.memory import are_frames, stacked
from cogmagic._models.clips.picture_files import names_video, pictures_at, pictures_in
from cogmagic._models.input_files import check_file, content_of, existing_path
from cogmagic._models.pictures.picture import as_picture

if TYPE_CHECKING:
    from cogmagic._models.pictures.arrays import Array

__all__ = ["Clip", "check_unchanged", "clip_of"]


@runtime_checkable
class _Video(Protocol):
    """A `cogmagic.Video`, which this package may not import."""

    path: Path
    fps: int
    format: str
    unsaved: bytes | None

    def frames(self) -> Array: ...


@dataclass(frozen=True)
class Clip:
    """A clip that was checked by its header; `read_frames` reads it."""

    shown: str
    """What messages call it."""
    source: VideoFile | tuple[Path, ...] | Array = field(repr=False, compare=False)
    """A file; the pictures of a folder; or uint8 RGB, frames × height × width × 3."""
    stamp: str
    """Size and time of the files, which change with their content; empty for data in memory."""
    width: int
    """In square pixels, after the rotation that the file specifies."""
    height: int
    fps: float | None
    """Usual frames per second; None for frames without a rate, which are used one for one."""
    seconds: float | None
    """The length by the file's header, which may be wrong; None for unknown."""
    frames: int | None = None
    """The number of frames, where that is known without reading them."""
    original: Clip | None = field(default=None, repr=False, compare=False)
    """A clip that this one begins with, and which has been compressed less often."""
    shared: int = 0
    """How many of its first frames, at the request's rate, are those of `original`."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.width, self.height

    def without_frames(self) -> Clip:
        """The same clip without its content, once its frames have been read."""
        return replace(self, source=(), original=None)

    def in_memory(self) -> Clip:
        """The same clip with the content of its files, for another host.

        Raises:
            RequestError: for a file that can no longer be read, or has changed.
        """
        if self.files is None:
            return self
        check_unchanged(self)
        if isinstance(self.source, VideoFile):
            source: Any = replace(self.source, content=self.files[0].read_bytes())
        else:
            source = stacked([as_picture(path) for path in self.files], self.shown)
        return replace(self, source=source, stamp="", original=None)

    @property
    def files(self) -> tuple[Path, ...] | None:
        """The video's file, or those of the pictures; None for data in memory."""
        content = self.source.content if isinstance(self.source, VideoFile) else self.source
        paths = (content,) if isinstance(content, Path) else content
        return paths if isinstance(paths, tuple) else None


def clip_of(value: Any) -> Clip:
    """The clip that a user gives; of a file, two frames are decoded.

    Args:
        value: the path of a video, of an animation (GIF, APNG, WebP) or of a folder of pictures;
            the bytes of a video file, or such a file, open for reading; a list of pictures, of
            their paths, or of arrays; an array or a tensor, by the rules of `stacked`; a
            `cogmagic.Video`; or the output of a diffusers pipeline.

    Raises:
        RequestError: for anything else, for files that are missing, damaged or have no video, and
            for a single picture.
    """
    if isinstance(value, _Video):
        return _of_video(value)
    if isinstance(value, str | os.PathLike):
        if not os.fspath(value):
            raise RequestError("The clip's path is empty. Name a video file, such as clip.mp4.")
        path, shown = existing_path(value, "clip")
        if path.is_dir():
            return _of_pictures(pictures_in(path, shown), shown)
        return _of_file(path, shown)
    if hasattr(value, "read"):
        value = content_of(value)
    if isinstance(value, bytes | bytearray):
        return _of_bytes(bytes(value), "The file")
    if isinstance(value, list | tuple):
        _check_items(value)
        if value and all(map(_is_path, value)):
            return _of_pictures(pictures_at(value), "The clip")
    batch = getattr(value, "frames", value)  # of the output of a diffusers pipeline
    if are_frames(batch):
        return _of_frames(stacked(batch, "The clip"), "The clip", None)
    advice = " Pass a list of them: list(video)." if isinstance(value, Iterator) else ""
    raise RequestError(
        "The clip must be a path, a Video or frames (a list of PIL images, or an array of frames ×"
        f" height × width × 3), not {type(value).__name__}.{advice}"
    )


def check_unchanged(clip: Clip) -> None:
    """Check that a clip's files are those that `clip_of` has checked.

    Raises:
        RequestError: for one that has changed, or has been removed.
    """
    if clip.files is None:
        return
    try:
        changed = clip_stamp(*clip.files) != clip.stamp
    except OSError:
        one = "has been removed" if len(clip.files) == 1 else "has lost a picture"
        raise RequestError(f"{clip.shown} {one} since it was checked. Pass it again.") from None
    if changed:
        raise RequestError(f"{clip.shown} has changed since it was checked. Pass it again.")


def _of_video(video: _Video) -> Clip:
    shown = str(video.path)
    if video.format == "png" and video.unsaved is None:
        path, shown = existing_path(video.path, "video")
        return _of_pictures(pictures_in(path, shown), shown, video.fps)
    if video.format == "png":
        return _of_frames(video.frames(), shown, video.fps)
    if video.unsaved is not None:
        return _of_bytes(video.unsaved, shown)
    return _of_file(*existing_path(video.path, "video"))


def _of_file(path: Path, shown: str) -> Clip:
    check_file(path, shown, "a clip")
    return _with_header(path, shown, clip_stamp(path))


def _of_bytes(content: bytes, shown: str) -> Clip:
    if not content:
        raise RequestError(f"{shown} is not a clip: it is empty (0 bytes).")
    return _with_header(content, shown, "")


def _with_header(source: Path | bytes, shown: str, stamp: str) -> Clip:
    header = header_of(source, shown)
    fps = float(1 / header.clock.interval)
    return Clip(shown, VideoFile(source, header), stamp, *header.size, fps, header.seconds)


def clip_stamp(*paths: Path) -> str:
    """Size and time of files."""
    facts = [path.stat() for path in paths]
    stamps = ["-".join(map(str, (f.st_size, f.st_mtime_ns))) for f in facts]
    return stamps[0] if len(stamps) == 1 else sha256(" ".join(stamps).encode()).hexdigest()


def _check_items(items: Sequence[object]) -> None:
    """Check that no item of a list is a video, or the path of one."""
    for i, item in enumerate(items):
        if isinstance(item, _Video) or (_is_path(item) and names_video(item)):
            raise RequestError(
                f"The clip is a list, but its item {i} is a video. Pass that alone: video[{i}]."
            )


def _is_path(value: object) -> TypeGuard[str | os.PathLike[Any]]:
    return isinstance(value, str | os.PathLike)


def _of_pictures(paths: tuple[Path, ...], shown: str, fps: float | None = None) -> Clip:
    _check_count(len(paths), shown)
    size = as_picture(paths[0]).size
    return _of_sequence(paths, shown, clip_stamp(*paths), size, fps)


def _of_frames(frames: Array, shown: str, fps: float | None) -> Clip:
    _check_count(len(frames), shown)
    height, width = frames.shape[1:3]
    return _of_sequence(frames, shown, "", (width, height), fps)


def _of_sequence(
    source: tuple[Path, ...] | Array, shown: str, stamp: str, size: tuple[int, int],
    fps: float | None,
) -> Clip:  # fmt: skip
    count = len(source)
    return Clip(shown, source, stamp, *size, fps, count / fps if fps else None, count)


def _check_count(count: int, shown: str) -> None:
    if count == 1:
        raise RequestError(
            f"{shown} has 1 frame: it is a picture, not a clip. For image-to-video: --image PATH."
        )
