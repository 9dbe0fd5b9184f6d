"""The mask's own file: lossless grey video beside the clip, with the drawing in its comment."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cogmagic._api.options.words import quoted
from cogmagic._errors import OutputError, RequestError, plain_line
from cogmagic._files import typed_path
from cogmagic._models.clips.clip import Clip
from cogmagic._models.masks.tag import TAG
from cogmagic._notebook.masks.drawing import Drawing
from cogmagic._notebook.masks.raster import each_raster
from cogmagic._video.formats.base import HEADER_ONLY, writable
from cogmagic._video.formats.bt709 import first_encoder
from cogmagic._video.output_file import OutputFile
from cogmagic._video.output_path import check_working_directory, path_exists

if TYPE_CHECKING:
    import numpy as np
    from av import VideoFrame

__all__ = ["MaskFile", "mask_path"]


_EMPTY = "The mask is empty. Draw on the canvas what is to be removed."

_SHORT = 2000
"""Frames up to which the file has every one; of more, those that repeat the one before are left
out, but for one a second, as players show a frame until the next."""


@dataclass(frozen=True)
class MaskFile:
    """The file of a clip's mask."""

    path: Path
    clip: Clip
    frames: int
    """How many frames the clip has."""
    interval: Fraction
    """Seconds from one frame to the next."""

    def check(self) -> None:
        """Check that the file can be written, without creating it.

        Raises:
            OutputError: when it cannot.
        """
        first_encoder("H.264", ("libx264",))
        self._claim().drop()

    def stored(self) -> Drawing:
        """The drawing in the file; an empty one if there is no file yet.

        Raises:
            RequestError: for a file of another clip, and for one that was not drawn here.
        """
        if not path_exists(self.path):
            return Drawing()
        facts = _facts(self.path)
        try:
            drawing, about = Drawing.of_json(facts["drawing"]), (*facts["size"], facts["frames"])
        except (LookupError, TypeError, ValueError):
            raise RequestError(
                f"{self._name} was not drawn here, so it is not replaced. Use it as it is, --mask"
                f" {quoted(self._name)}, or name another file: --save NAME.mp4."
            ) from None
        own = (*self.clip.size, self.frames)
        if about != own:
            raise RequestError(
                f"{self._name} is the mask of {_described(*about)}, but {self.clip.shown} has"
                f" {_described(*own)}. Name another file: --save NAME.mp4."
            )
        return drawing

    def write(self, drawing: Drawing) -> None:
        """Write the mask, and replace the file that is there; on an error, that one remains.

        Raises:
            RequestError: while nothing is painted in any frame.
            OutputError: when the disk is full or the file cannot be written.
        """
        if drawing.box_at(0) is None:
            raise RequestError(_EMPTY)
        target = self._claim()
        try:
            with writable(target.part, "mask"):
                self._encode(target.part, drawing)
            target.commit()
        except OutputError as error:
            raise OutputError(
                f"{error} What is drawn stays on the canvas: free some space, and save it again."
            ) from None
        finally:
            target.drop()

    @property
    def _name(self) -> str:
        return plain_line(str(self.path))

    def _claim(self) -> OutputFile:
        return OutputFile.claim(self.path, 0, overwrite=True)

    def _encode(self, path: Path, drawing: Drawing) -> None:
        import av
        from av.video.reformatter import ColorRange

        with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as file:
            file.metadata["title"] = plain_line(f"Mask of {self.clip.shown}")
            file.metadata["comment"] = json.dumps({TAG: self._about(drawing)})
            stream = file.add_stream("libx264", rate=1 / self.interval)
            stream.width, stream.height = self.clip.size
            stream.pix_fmt = "gray"
            stream.options = {"qp": "0", "preset": "ultrafast"}  # lossless
            stream.codec_context.color_range = ColorRange.JPEG
            painted = False
            for number, values in self._kept(drawing):
                painted = painted or bool(values.any())
                file.mux(stream.encode(_grey(values, number, self.interval)))
            file.mux(stream.encode())
        if not painted:  # erased, or outside the frame
            raise RequestError(_EMPTY)

    def _kept(self, drawing: Drawing) -> Iterator[tuple[int, np.ndarray[Any, Any]]]:
        """The frames of the file, by number."""
        rate, last = max(round(1 / self.interval), 1), None
        frames = range(self.frames)
        for number, values in zip(
            frames, each_raster(drawing, frames, self.clip.size), strict=True
        ):
            ends = number in (0, self.frames - 1) or number % rate == 0
            if self.frames <= _SHORT or values is not last or ends:
                yield number, values
            last = values

    def _about(self, drawing: Drawing) -> dict[str, Any]:
        return {
            "white": "change",
            "clip": self.clip.shown,
            "size": self.clip.size,
            "frames": self.frames,
            "fps": self.clip.fps,
            "drawing": drawing.as_json(),
        }


def mask_path(clip: Clip, save: str | Path | None) -> Path:
    """The mask's path: that of ``--save``, or ``<clip>-mask.mp4`` beside the clip.

    Args:
        clip: one in memory has its mask in the working directory.
        save: a file or an existing folder; None for the default.

    Raises:
        OutputError: for a path that cannot be used, and in a working directory that was removed.
    """
    check_working_directory()
    first, *others = clip.files or (Path("clip.mp4"),)
    file = Path(os.path.abspath(first))  # noqa: PTH100 - "." and ".." are no names
    file = file.parent if others else file
    name = f"{file.stem}-mask.mp4"
    if save is None or not str(save):
        return file.with_name(name)
    try:
        path = typed_path(save)
        path = path / name if path.is_dir() else path
    except (OSError, RuntimeError, ValueError) as error:
        raise OutputError(f"--save {str(save)[:100]!r} is not a usable path ({error}).") from None
    if path.suffix.lower() != ".mp4":
        raise OutputError(
            f"--save {path}: a mask is an MP4. Type --save {quoted(str(path.with_suffix('.mp4')))}"
        )
    return path.absolute()


def _facts(path: Path) -> Mapping[str, Any]:
    """What a mask's file says about it; nothing for another file."""
    import av

    try:
        with av.open(str(path), format="mp4", options=HEADER_ONLY) as file:
            facts = json.loads(file.metadata["comment"])[TAG]
    except Exception:  # of many types
        return {}
    return facts if isinstance(facts, dict) else {}


def _described(width: object, height: object, frames: object) -> str:
    return f"{frames} frames of {width}×{height}"


def _grey(values: np.ndarray[Any, Any], number: int, interval: Fraction) -> VideoFrame:
    """A frame of the file, in full range."""
    from av import VideoFrame
    from av.video.reformatter import ColorRange

    frame = VideoFrame.from_ndarray(values, format="gray")
    frame.color_range = ColorRange.JPEG
    frame.pts, frame.time_base = number, interval
    return frame
