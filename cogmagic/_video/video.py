"""A finished video: its file, its report, and its display under a cell."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from cogmagic._errors import OutputError, plain_line
from cogmagic._html import MARK, volatile_bundle
from cogmagic._units import duration, gib
from cogmagic._video.formats.base import Format, readable
from cogmagic._video.formats.gif import GIF
from cogmagic._video.formats.png import PNG
from cogmagic._video.formats.registry import FORMATS
from cogmagic._video.output_file import OutputFile
from cogmagic._video.player import Player
from cogmagic._video.report import Report

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

__all__ = ["EMBED_LIMIT", "Video"]


EMBED_LIMIT = 8_000_000
"""Bytes up to which a video is embedded in the notebook by default."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Video:
    """The result of a run: a path and facts, never frames."""

    path: Path
    prompt: str
    model: str
    width: int
    height: int
    num_frames: int
    fps: int
    seed: int
    report: Report
    embed_limit: int = field(default=EMBED_LIMIT, compare=False)
    """Largest file in bytes that is embedded in the notebook; larger ones are linked."""
    unsaved: bytes | None = field(default=None, compare=False)
    """The whole file, if it could not be written to `path`; `save` writes it elsewhere. Of a folder
    of frames, a ZIP archive."""
    format: str = "mp4"
    """The format of the file: ``mp4``, ``gif`` or ``webm``; ``png`` if `path` is a folder."""

    def __repr__(self) -> str:
        clip = f"{self.num_frames} frames of {self.width}×{self.height} at {self.fps} fps"
        return f"Video({str(_relative(self.path))!r}, {clip}, {self.model}, seed {self.seed})"

    def frames(self) -> np.ndarray[Any, Any]:
        """The frames as decoded from the file: uint8, frames × height × width × 3.

        Of a folder of PNGs they equal those that were generated; MP4, WebM and GIF are lossy.

        Raises:
            OutputError: when the file is missing or damaged.
        """
        with readable(self.path):
            return self._format.frames(self._source)

    def save(self, path: str | Path, *, overwrite: bool = False) -> Video:
        """Write the video to another path, atomically, and return it with that path.

        A file of the same format is copied as it is; another one is made from `frames`.

        Args:
            path: a file with the suffix of a format (``.mp4``, ``.gif``, ``.webm``; ``fox.png``
                for a folder ``fox`` of PNGs), or an existing folder.
            overwrite: whether an existing file, or folder of frames, may be replaced.

        Raises:
            OutputError: when it cannot be written, or the file exists already.
        """
        return self._save(path, overwrite, self._format)

    def to_gif(self, path: str | Path | None = None, *, overwrite: bool = False) -> Path:
        """Write the video as an animated GIF, and return the GIF's path.

        Args:
            path: a file that ends in ``.gif``, or an existing folder; by default the video's own
                name with that suffix.
            overwrite: whether an existing file may be replaced.

        Raises:
            OutputError: when it cannot be written, or the file exists already.
        """
        if path is None and self._format is GIF and self.unsaved is None:
            return self.path
        name = self.path.name if self._format.is_folder else self.path.stem
        path = _as_path(self.path.with_name(f"{name}.gif") if path is None else path)
        if path.suffix.lower() != GIF.suffix and not path.is_dir():
            raise OutputError(f"to_gif({str(path)!r}): the name of a GIF must end in .gif.")
        return self._save(path, overwrite, GIF).path

    @overload
    def to_frames(self, folder: None = None, *, overwrite: bool = False) -> list[Image]: ...
    @overload
    def to_frames(self, folder: str | Path, *, overwrite: bool = False) -> Path: ...
    def to_frames(
        self, folder: str | Path | None = None, *, overwrite: bool = False
    ) -> list[Image] | Path:
        """The frames as PIL images; or write them to a folder as PNGs, and return its path.

        Args:
            folder: a new folder for ``0001.png``, ``0002.png`` and so on.
            overwrite: whether an existing folder of frames may be replaced.

        Raises:
            OutputError: when the video cannot be read, or the folder exists or cannot be written.
        """
        if folder is None:
            from PIL import Image

            return [Image.fromarray(frame) for frame in self.frames()]
        path = _as_path(folder)
        if not path.name.strip("."):
            raise OutputError(f"to_frames({str(folder)!r}): give the name of a new folder.")
        if path.suffix.lower() != PNG.suffix:
            path = path.with_name(path.name + PNG.suffix)
        return self._save(path, overwrite, PNG).path

    def _save(self, path: str | Path, overwrite: bool, default_format: Format) -> Video:
        target = OutputFile.claim(
            path, self.seed, overwrite=overwrite, default_format=default_format
        )
        to = target.format
        try:
            if to is self._format:
                target.copy(self._source)
            else:
                to.check(self.fps)
                frames = self.frames()
                with readable(self.path):
                    facts = self._format.metadata(self._source)
                to.write(target.part, frames, self.fps, facts)
            saved = target.commit()
        finally:
            target.drop()
        return replace(self, path=saved, unsaved=None, format=to.suffix[1:])

    @property
    def _format(self) -> Format:
        return FORMATS[f".{self.format}"]

    @property
    def _source(self) -> Path | bytes:
        """What holds the video: its file or folder, or the whole file in memory."""
        return self.path if self.unsaved is None else self.unsaved

    def facts_line(self) -> str:
        """One line: tier with its reason, peak VRAM, time, seed, file; without the warning."""
        r = self.report
        return " · ".join(
            (
                f"tier {r.tier} ({r.reason})",
                *([r.split, r.differs] if r.split else []),
                *([f"preset {r.preset}"] if r.preset else []),
                *map(_typed, r.options),
                *([r.storage] if r.storage else []),
                *([r.reuse] if r.reuse else []),
                *([r.interval] if r.interval else []),
                *r.adapters,
                *([plain_line(r.extension)] if r.extension else []),
                *([r.fitted] if r.fitted else []),
                *([r.masked] if r.masked else []),
                f"peak VRAM {gib(r.peak_vram)}",
                duration(r.total_seconds, decimals=1),
                f"seed {self.seed}",
                "not saved" if self.unsaved else plain_line(str(_relative(self.path))),
                *([r.kept] if r.kept else []),
            )
        )

    def player_html(self) -> str:
        """The player alone, with the video embedded up to `embed_limit` and linked above it.

        A larger video that cannot be linked is a picture, with its path and the reason. A folder
        of frames is shown as a small MP4 of them, which is embedded.
        """
        return self._player.html()

    @property
    def _player(self) -> Player:
        return Player(
            self.path, self._format, self.unsaved,
            self.num_frames, self.width, self.height, self.fps, self.embed_limit,
        )  # fmt: skip

    def _poster(self) -> str:
        """The middle frame as a JPEG data URL, for viewers that do not show the video."""
        return self._player.poster()

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        del include, exclude
        facts = volatile_bundle(self.facts_line(), self.report.warning)["text/html"]
        return {
            "text/html": f"<div>{self.player_html()}{facts}</div>",
            "text/plain": f"{MARK}{self!r}",
        }


def _as_path(path: str | Path) -> Path:
    try:
        return Path(path)
    except TypeError as error:
        raise OutputError(f"{path!r:.100} is not a usable path ({error}).") from None


def _relative(path: Path) -> Path:
    """`path` relative to the working directory, if it is inside."""
    with suppress(OSError, ValueError):  # the working directory may have been removed
        return path.resolve().relative_to(Path.cwd())
    return path


def _typed(option: str) -> str:
    """An option of a report as one types it, with its value: ``--quantize int8:text_encoder``."""
    name, space, value = option.partition(" ")
    return f"--{name.replace('_', '-')}{space}{value}"
