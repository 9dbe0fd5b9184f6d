"""A small picture of the first frame as a run uses it, with how it is fitted to the size."""

from __future__ import annotations

from base64 import b64encode
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import ipywidgets as w

from cogmagic._errors import CogMagicError
from cogmagic._models.fitting import fitted
from cogmagic._models.pictures import as_picture
from cogmagic._notebook.panel.parts import show_html

__all__ = ["Thumbnail"]


_HEIGHT = 90


_FITTED = {"crop": "its edges cut off", "pad": "with bars", "stretch": "stretched"}


class Thumbnail:
    """The widget of the picture, which is made once for each first frame, size and fit."""

    def __init__(self) -> None:
        self.view = w.HTML()
        self._key: tuple[Any, ...] = ()

    def show(self, image: Any, width: int, height: int, fit: str | None) -> None:
        """Show the picture and its size; nothing where there is none, or it cannot be read.

        Args:
            image: what `generate` takes as the first frame; None for none.
            width: of the video, in pixels.
            height: of the video.
            fit: how the picture is fitted; None for the default.
        """
        changed = Path(image).stat().st_mtime_ns if _is_file(image) else id(image)
        key = (str(image) if _is_file(image) else "", changed, width, height, fit)
        if key == self._key:
            return
        self._key, html = key, ""
        with suppress(CogMagicError, ValueError, OSError):
            html = _html(image, width, height, fit or "stretch")
        show_html(self.view, html)


def _is_file(image: Any) -> bool:
    try:
        return isinstance(image, str | Path) and Path(image).is_file()
    except (OSError, ValueError):
        return False


def _html(image: Any, width: int, height: int, fit: Any) -> str:
    if image is None or min(width, height) < 1 or max(width, height) > 4096:
        return ""
    picture = as_picture(image)
    used, out = fitted(picture, (width, height), fit).convert("RGB"), BytesIO()
    used.thumbnail((3 * _HEIGHT, _HEIGHT))
    used.save(out, "JPEG", quality=80)
    same = picture.size == (width, height)
    how = "" if same else f", {_FITTED[fit]} to {width}×{height}"
    words = f"{picture.width}×{picture.height}{how}"
    source = f"data:image/jpeg;base64,{b64encode(out.getvalue()).decode()}"
    return f'<img alt="First frame as it is used" src="{source}"><div>{words}</div>'
