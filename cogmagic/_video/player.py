"""The HTML that shows a video: embedded, linked, or a still picture with the reason."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from html import escape
from io import BytesIO
from math import ceil
from typing import TYPE_CHECKING

from cogmagic._errors import OutputError, plain_line
from cogmagic._video.formats.base import Streamed, readable
from cogmagic._video.formats.mp4 import MP4
from cogmagic._video.link import NoLinkError, relative_url

if TYPE_CHECKING:
    from pathlib import Path

    from cogmagic._video.formats.base import Format

__all__ = ["Player"]


@dataclass(frozen=True)
class Player:
    """The player of a video under a cell or in the panel."""

    path: Path
    format: Format
    unsaved: bytes | None
    num_frames: int
    width: int
    height: int
    fps: int
    embed_limit: int

    def html(self) -> str:
        """The player, or a line that the file no longer exists."""
        if self.unsaved is None and not self.path.exists():
            return f"<div>{escape(plain_line(str(self.path)))} no longer exists.</div>"
        size = f"{self.width}×{self.height}"
        label = escape(f"{self.num_frames} frames of {size} at {self.fps} fps", quote=True)
        shown = min(max(self.width, 288), 720)  # the embedded model's small clips are enlarged
        style = f'style="width:{shown}px;max-width:100%;height:auto"'
        picture = self.poster()
        try:
            source = self._preview() if self.format.is_folder else self._source()
        except (NoLinkError, OutputError) as error:
            image = f'<img alt="{label}" title="{label}" {style} src="{picture}">'
            return f"{image}<div>{escape(str(error))}</div>"
        if self.format.mime.startswith("image/"):
            return (
                f'<img class="cogmagic-video" alt="{label}" title="{label}" {style} src="{source}">'
            )
        return (
            f'<video class="cogmagic-video" controls autoplay loop muted playsinline'
            f' aria-label="{label}" title="{label}" poster="{picture}"'
            f' {style} src="{source}"></video>'
        )

    def poster(self) -> str:
        """The middle frame as a JPEG data URL, for viewers that do not show the video."""
        from PIL import Image

        out = BytesIO()
        frame = self.format.middle(self._content, self.num_frames)
        Image.fromarray(frame).save(out, "JPEG", quality=80)
        return _data_url("image/jpeg", out.getvalue())

    @property
    def _content(self) -> Path | bytes:
        return self.path if self.unsaved is None else self.unsaved

    def _source(self) -> str:
        """The URL of the file: its content up to the limit, else a link.

        Raises:
            NoLinkError: when a front end would not serve it, with what to do.
        """
        if self.unsaved is not None:
            return _data_url(self.format.mime, self.unsaved)
        size = self.path.stat().st_size
        if size <= self.embed_limit:
            with readable(self.path):
                return _data_url(self.format.mime, self.path.read_bytes())
        try:
            return escape(relative_url(self.path), quote=True)
        except NoLinkError as error:
            raise NoLinkError(
                f"{plain_line(str(self.path))} cannot be linked: {error}. It is not embedded"
                f" because its {self._above(size)}. Save it in the notebook's folder (--save), or"
                f" embed it: {_higher_limit(size)}."
            ) from None

    def _preview(self) -> str:
        """A folder of frames as an MP4 in memory, which browsers play.

        Raises:
            OutputError: when it cannot be encoded, or is larger than the limit.
        """
        out, shape = BytesIO(), (self.num_frames, self.height, self.width, 3)
        MP4.write(out, Streamed(shape, lambda: self.format.each(self._content)), self.fps, {})
        size = len(out.getvalue())
        if size > self.embed_limit:
            raise OutputError(
                f"The frames in {plain_line(str(self.path))} are not played here: their preview's"
                f" {self._above(size)}. To embed it: {_higher_limit(size)}."
            )
        return _data_url(MP4.mime, out.getvalue())

    def _above(self, size: int) -> str:
        return f"{size / 1e6:.2f} MB exceed the limit of {self.embed_limit / 1e6:g} MB"


def _higher_limit(size: int) -> str:
    return f"%config CogMagic.embed_limit_mb = {ceil(size / 1e6)}"


def _data_url(mime: str, data: bytes) -> str:
    return f"data:{mime};base64," + b64encode(data).decode()
