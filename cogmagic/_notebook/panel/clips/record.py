"""What a notebook keeps of the panel: an ordinary output below it with its last videos."""

from __future__ import annotations

import os
from base64 import b64encode
from html import escape
from io import BytesIO
from secrets import token_hex
from typing import TYPE_CHECKING

from cogmagic._errors import OutputError, plain_line
from cogmagic._html import MARK, VOLATILE
from cogmagic._video.formats.registry import FORMATS
from cogmagic._video.posters import poster
from cogmagic._video.video import Video

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Record", "without_widget"]


_MOST = 3
"""Videos of the record."""

_WIDTH = 192
"""Pixels of its pictures."""

_ABSENT = "The panel needs a running kernel with Jupyter widgets. Run this cell to open it."
_EMPTY = "The last videos of the panel appear here, too, and stay in a saved notebook."

_STYLE = f'style="width:{_WIDTH}px;max-width:100%;height:auto"'

# In a trusted notebook JupyterLab shows the widget's output by its renderer of widgets alone, and
# an error without elements where no kernel has the widget. The style has the same words instead.
_ERROR = (
    ".jp-OutputArea-child:has(+ .jp-OutputArea-child .cogmagic-record)"
    " > .jupyter-widgets:not(:has(> *))"
)
_REPLACED = f'{_ERROR} {{font-size:0}} {_ERROR}::after {{font-size:13px;content:"{_ABSENT}"}}'


class Record:
    """The panel's last videos as HTML, as a picture, and as text.

    A notebook stores no widget. This output it does: reopened, trusted or not, or exported, it
    shows what was made.

    Args:
        limit: the most bytes of all embedded files together; of others it has a picture.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._display_id = f"cogmagic-panel-{token_hex(8)}"
        self._shown = False
        self._videos: list[Video] = []

    def show(self) -> None:
        """Display it, below what the cell has displayed already; Voila stores no notebook."""
        from IPython.display import display

        if os.environ.get("SERVER_SOFTWARE", "").startswith("voila/"):
            return
        self._shown = True
        display(self.bundle(), raw=True, display_id=self._display_id)

    def add(self, video: Video) -> None:
        """Put a video first, wherever the record is displayed."""
        from IPython.display import update_display

        self._videos = [video, *self._videos][:_MOST]
        if self._shown:
            update_display(self.bundle(), raw=True, display_id=self._display_id)

    def bundle(self) -> dict[str, str]:
        """The MIME bundle; the picture is for viewers that show no HTML of others."""
        if not self._videos:
            return {"text/html": _marked(f"<small>{_EMPTY}</small>"), "text/plain": MARK + _EMPTY}
        pictures = [_poster(video) for video in self._videos]
        left, parts = self._limit, []
        for video, picture in zip(self._videos, pictures, strict=True):
            data = _content(video, left)
            left -= len(data)
            parts.append(_figure(video, data, picture))
        text = "\n".join(f"{MARK}{video!r} {plain_line(video.prompt)}" for video in self._videos)
        row = f'<section style="display:flex;flex-wrap:wrap;gap:8px">{"".join(parts)}</section>'
        html = _marked(f"{row}<small>The panel's last videos.</small>")
        made = [picture for picture in pictures if picture is not None]
        strip = {"image/png": b64encode(_png(_strip(made))).decode()} if made else {}
        return {"text/html": html, "text/plain": text, **strip}


def without_widget() -> str:
    """HTML in place of the panel, for viewers without its widgets."""
    return f"<small>{_ABSENT}</small>"


def _marked(html: str) -> str:
    inside = f'<section class="cogmagic-record"><style>{_REPLACED}</style>{html}</section>'
    return f'<div class="{VOLATILE}">{inside}</div>'


def _figure(video: Video, data: bytes, picture: Image | None) -> str:
    """A video, or its picture, above its prompt and its name."""
    label = escape(repr(video))
    source = picture and "data:image/png;base64," + b64encode(_png(picture)).decode()
    image = f'<img alt="{label}" {_STYLE} src="{source}">' if source else ""
    mime = FORMATS[f".{video.format}"].mime
    url = f"data:{mime};base64,{b64encode(data).decode()}"
    if data and mime.startswith("image/"):
        image = f'<img alt="{label}" {_STYLE} src="{url}">'
    elif data:
        image = f'<video controls loop muted playsinline aria-label="{label}" {_STYLE} src="{url}">'
        image += "</video>"
    prompt = escape(plain_line(" ".join(video.prompt[:200].split())))
    name = escape(plain_line(video.path.name))
    caption = f"<figcaption><small>{prompt}<br>{name}, seed {video.seed}</small></figcaption>"
    return f'<figure style="margin:0;width:{_WIDTH}px">{image}{caption}</figure>'


def _content(video: Video, limit: int) -> bytes:
    """The file, if it has at most `limit` bytes; nothing for a folder of frames."""
    try:
        if video.path.is_file() and video.path.stat().st_size <= limit:
            return video.path.read_bytes()
    except OSError:  # removed since
        pass
    return b""


def _poster(video: Video) -> Image | None:
    try:
        return poster(video, _WIDTH)
    except OutputError:
        return None


def _strip(pictures: list[Image]) -> Image:
    """Pictures beside each other."""
    from PIL import Image

    gap = 4
    size = len(pictures) * (_WIDTH + gap) - gap, max(picture.height for picture in pictures)
    strip = Image.new("RGBA", size)
    for i, picture in enumerate(pictures):
        strip.paste(picture, (i * (_WIDTH + gap), 0))
    return strip


def _png(picture: Image) -> bytes:
    data = BytesIO()
    picture.save(data, "PNG")
    return data.getvalue()
