"""Clips from a user, checked by their headers; their frames are read when a run begins."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from cogmagic._errors import RequestError
from cogmagic._models.clips.header import VideoFile, header_of
from cogmagic._models.clips.memory import are_frames, stacked
from cogmagic._models.input_files import check_file, content_of, existing_path
from cogmagic._models.pictures import as_picture

if TYPE_CHECKING:
    from cogmagic._models.picture_arrays import Array

__all__ = ["Clip", "check_unchanged", "clip_of"]


_PICTURES = frozenset((".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"))
"""Suffixes of the frames in a folder."""

_VIDEOS = frozenset((".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mpg"))
"""Suffixes of what a folder or a list may have instead."""


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
            return _of_pictures(_pictures_in(path, shown), shown)
        return _of_file(path, shown)
    if hasattr(value, "read"):
        value = content_of(value)
    if isinstance(value, bytes | bytearray):
        return _of_bytes(bytes(value), "The file")
    if isinstance(value, list | tuple) and value and all(map(_is_path, value)):
        return _of_pictures(_pictures_at(value), "The clip")
    if isinstance(value, list | tuple) and any(isinstance(one, _Video) for one in value):
        raise RequestError(
            f"The clip is a list of {len(value)} videos. Pass one, such as video[0]."
        )
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
        return _of_pictures(_pictures_in(path, shown), shown, video.fps)
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


def _pictures_in(folder: Path, shown: str) -> tuple[Path, ...]:
    """The pictures of a folder, in the order of the numbers in their names."""
    try:
        files = [file for file in folder.iterdir() if not file.name.startswith(".")]
    except OSError as error:
        raise RequestError(
            f"{shown} cannot be read ({error.strerror}). Check its permissions."
        ) from None
    pictures = [file for file in files if file.suffix.lower() in _PICTURES]
    videos = [file for file in files if file.suffix.lower() in _VIDEOS]
    if videos and len(videos) >= len(pictures):  # as of a batch, whose pictures are contact sheets
        raise RequestError(f"{shown} is a folder of videos. Name one, such as {min(videos)}.")
    if not pictures:
        raise RequestError(f"{shown} is a folder without pictures. Name a video.")
    return tuple(sorted(pictures, key=_by_number))


def _pictures_at(paths: Sequence[str | os.PathLike[Any]]) -> tuple[Path, ...]:
    """The pictures that a list of paths names, none of which is read."""
    files = []
    for number, given in enumerate(paths, 1):
        try:
            file, shown = existing_path(given, "image")
            if file.suffix.lower() in _VIDEOS:
                raise RequestError(f"{shown} is a video. Pass its path alone: video[{number - 1}].")
            check_file(file, shown, "an image")
        except RequestError as error:
            raise RequestError(f"Frame {number}: {error}") from None
        files.append(file)
    return tuple(files)


def _is_path(value: object) -> bool:
    return isinstance(value, str | os.PathLike)


def _by_number(file: Path) -> list[tuple[int, str]]:
    parts = re.split(r"(\d+)", file.stem)
    return [(int(p), "") if p.isdecimal() else (-1, p) for p in parts]


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
