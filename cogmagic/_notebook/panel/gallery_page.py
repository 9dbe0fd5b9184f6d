"""What the results need of the browser: its clipboard and its downloads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget

__all__ = ["GalleryPage"]


class GalleryPage(anywidget.AnyWidget):
    """An invisible widget; the page in which a button was pressed acts, no other one.

    Args:
        copied: called with whether the browser has copied the text.
    """

    _esm = Path(__file__).parent / "static" / "gallery.js"

    def __init__(self, copied: Callable[[bool], None]) -> None:
        super().__init__()
        self._copied = copied
        self.on_msg(self._on_message)

    def copy_text(self, text: str) -> None:
        """Put a text on the clipboard."""
        self.send({"copy": text})

    def download(self, name: str, mime: str, data: bytes) -> None:
        """Have the browser save a file."""
        self.send({"download": name, "mime": mime}, [data])

    def _on_message(self, _: Any, content: Any, __: Any) -> None:
        if isinstance(content, dict) and isinstance(content.get("copied"), bool):
            self._copied(content["copied"])
