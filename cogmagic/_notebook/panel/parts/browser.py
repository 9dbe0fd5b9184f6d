"""What buttons need of the browser: its clipboard, its downloads, and the focus."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget

__all__ = ["Browser"]


_STATIC = Path(__file__).parents[1] / "static"


_NOT_COPIED = "The browser did not copy it: copy it from the field."


class Browser(anywidget.AnyWidget):
    """An invisible widget; the view in which a button was pressed last acts, no other one."""

    _esm = _STATIC / "browser.js"
    _css = _STATIC / "gallery.css"

    def __init__(self) -> None:
        super().__init__()
        self._pressed = ""
        self._say: Callable[[str], None] = lambda _: None
        self.on_msg(self._on_message)

    def copy_text(self, text: str, say: Callable[[str], None]) -> None:
        """Put a text on the clipboard; `say` is called with a line on whether the browser did."""
        self._say = say
        self._act({"copy": text})

    def download(self, name: str, mime: str, data: bytes) -> None:
        """Have the browser save a file."""
        self._act({"download": name, "mime": mime}, data)

    def focus(self, selector: str) -> None:
        """Move the focus to the first such element of the panel, once that is visible."""
        self._act({"focus": selector})

    def _act(self, message: dict[str, str], *buffers: bytes) -> None:
        self.send(message | {"view": self._pressed}, list(buffers))

    def _on_message(self, _: Any, content: Any, __: Any) -> None:
        if not isinstance(content, dict):
            return
        if isinstance(content.get("pressed"), str):
            self._pressed = content["pressed"]
        if isinstance(content.get("copied"), bool):
            self._say("Copied." if content["copied"] else _NOT_COPIED)
