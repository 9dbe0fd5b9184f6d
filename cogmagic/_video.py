"""A finished video: an mp4 on disk that says how it was made, and its place under a cell."""

from __future__ import annotations

import json
import os
import tempfile
import time
from base64 import b64encode
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote as url_quote

from cogmagic._errors import OutputError
from cogmagic._report import Report, gib

if TYPE_CHECKING:
    import numpy as np
    from av.video.stream import VideoStream

__all__ = ["VOLATILE", "Target", "Video", "check_encoder", "write_mp4"]

# What changes from run to run sits in one element of this class (and plain text starts with MARK),
# so that a notebook test can strip it with one expression.
VOLATILE = "cogmagic-volatile"
MARK = "[cogmagic] "
_ENCODERS = ("libx264", "libopenh264", "h264_videotoolbox", "h264_nvenc")


@dataclass(frozen=True, kw_only=True, repr=False)
class Video:
    """The result of a run. It holds a path and facts, never frames."""

    path: Path
    prompt: str
    model: str
    width: int
    height: int
    num_frames: int
    fps: int
    seed: int
    report: Report
    embed_limit: int = field(default=8_000_000, compare=False)
    """Bytes up to which the file is embedded in the notebook; above, it is linked."""

    def __repr__(self) -> str:
        clip = f"{self.num_frames} frames of {self.width}×{self.height} at {self.fps} fps"
        return f"Video({str(_relative(self.path))!r}, {clip}, {self.model}, seed {self.seed})"

    def frames(self) -> np.ndarray[Any, Any]:
        """The frames as decoded from the file: uint8, frames × height × width × 3."""
        import av
        import numpy as np

        with av.open(str(self.path)) as file:
            return np.stack([f.to_ndarray(format="rgb24") for f in file.decode(video=0)])

    def facts_line(self) -> str:
        """One line: tier and why, peak VRAM, time, seed, file."""
        r = self.report
        return " · ".join(
            (
                f"{r.tier} ({r.reason})",
                *(f"--{option.replace('_', '-')}" for option in r.options),
                f"peak VRAM {gib(r.peak_vram)}",
                f"{r.total_seconds:.1f} s",
                f"seed {self.seed}",
                str(_relative(self.path)),
                *([r.kept] if r.kept else []),
            )
        )

    def player_html(self) -> str:
        """The player alone: embedded up to the limit, linked above it."""
        size = f"{self.width}×{self.height}"
        label = escape(f"{self.num_frames} frames of {size} at {self.fps} fps", quote=True)
        if not self.path.is_file():
            return f"<div>{escape(str(self.path))} is no longer there.</div>"
        if self.path.stat().st_size > self.embed_limit:
            source = escape(url_quote(_relative(self.path).as_posix()), quote=True)
        else:
            source = "data:video/mp4;base64," + b64encode(self.path.read_bytes()).decode()
        shown = min(max(self.width, 288), 720)  # the tiny model's clips are shown larger
        return (
            f'<video class="cogmagic-video" controls autoplay loop muted playsinline'
            f' aria-label="{label}" title="{label}" poster="{self._poster()}"'
            f' style="width:{shown}px;max-width:100%;height:auto" src="{source}"></video>'
        )

    def _poster(self) -> str:
        """The middle frame as a JPEG data URL, for where the video itself is not shown."""
        from io import BytesIO

        from PIL import Image

        frames = self.frames()
        out = BytesIO()
        Image.fromarray(frames[len(frames) // 2]).save(out, "JPEG", quality=80)
        return "data:image/jpeg;base64," + b64encode(out.getvalue()).decode()

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        del include, exclude
        facts = f'<div class="{VOLATILE}">{escape(self.facts_line())}</div>'
        return {
            "text/html": f"<div>{self.player_html()}{facts}</div>",
            "text/plain": f"{MARK}{self!r}",
        }


@dataclass(frozen=True)
class Target:
    """Where a video will be written: checked, reserved, and not yet there."""

    path: Path
    part: Path
    """The temporary name beside it, that is renamed when the file is whole."""
    overwrite: bool

    @classmethod
    def claim(cls, save: str | Path | None, seed: int, *, overwrite: bool = False) -> Target:
        """Decide on the name, and prove now that it can be written.

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
    def _claim(cls, save: str | Path | None, seed: int, overwrite: bool) -> Target:
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
            handle, part = tempfile.mkstemp(".part.mp4", f".{path.stem}.", folder)
            os.close(handle)
        except OSError as error:
            raise OutputError(f"{folder} cannot be written ({error.strerror}).") from None
        return cls(path.absolute(), Path(part).absolute(), overwrite)

    def commit(self) -> None:
        """Give the finished file its final name."""
        mask = os.umask(0)
        os.umask(mask)
        self.part.chmod(0o666 & ~mask)  # mkstemp made it private
        if self.overwrite:
            self.part.replace(self.path)
            return
        try:
            self.path.hardlink_to(self.part)  # unlike a rename, never replaces a file
        except FileExistsError:
            raise OutputError(f"{self.path} appeared while the video was made.") from None
        except OSError:  # a file system without hard links
            self.part.replace(self.path)
        self.drop()

    def drop(self) -> None:
        """Remove the temporary file, if it is still there."""
        with suppress(OSError):
            self.part.unlink(missing_ok=True)


def _free(path: Path) -> Path:
    """`path`, or the first of ``path-2``, ``path-3``… that is not there."""
    candidate, n = path, 2
    while candidate.exists():
        candidate, n = path.with_stem(f"{path.stem}-{n}"), n + 1
    return candidate


def check_encoder() -> str:
    """The name of an H.264 encoder that this machine has.

    Raises:
        OutputError: when there is none.
    """
    import av

    for name in _ENCODERS:
        if name in av.codecs_available:
            return name
    raise OutputError(
        "No H.264 encoder in this PyAV build. Install one that has it:"
        " pip install --force-reinstall --only-binary=:all: av"
    )


def write_mp4(
    path: Path, frames: np.ndarray[Any, Any], fps: int, metadata: Mapping[str, Any]
) -> None:
    """Write uint8 frames (frames × height × width × 3) as H.264, yuv420p, faststart.

    How it was made goes into the file's ``comment`` as JSON, the prompt into its ``title``.

    Raises:
        OutputError: when the disk is full or the file cannot be written.
    """
    import av

    try:
        with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as file:
            file.metadata["title"] = str(metadata.get("prompt", "")).replace("\0", "")[:200]
            file.metadata["comment"] = json.dumps(metadata, ensure_ascii=False, default=str)
            stream = cast("VideoStream", file.add_stream(check_encoder(), rate=fps))
            stream.height, stream.width = frames.shape[1], frames.shape[2]
            stream.pix_fmt = "yuv420p"
            stream.options = {"crf": "17"}
            for frame in frames:
                file.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            file.mux(stream.encode())
    except OSError as error:  # av's errors are OSErrors
        raise OutputError(f"{path.parent} cannot take the video ({error.strerror}).") from None


def read_metadata(path: Path) -> dict[str, Any]:
    """How an mp4 of cogmagic's was made, as its file says."""
    import av

    with av.open(str(path)) as file:
        return dict(json.loads(file.metadata["comment"]))


def _relative(path: Path) -> Path:
    """`path` as seen from the working directory, where a notebook's links start."""
    with suppress(ValueError):
        return path.resolve().relative_to(Path.cwd())
    return path
