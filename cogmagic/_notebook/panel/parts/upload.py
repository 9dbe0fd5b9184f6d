"""A button of the panel that takes a file, also dropped on its field."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import traitlets as t

from cogmagic._errors import plain_line

__all__ = ["Upload"]


class Upload(anywidget.AnyWidget):
    """The button. The file arrives in parts, and is in memory alone until it is complete.

    Args:
        label: of the field.
        accept: the files that the browser offers, as ``.gif,image/*``.
        limit: most bytes of a file.
        received: called with the name and the content of a file.
        refused: called with the reason why there is none.
    """

    _esm = Path(__file__).parents[1] / "static" / "upload.js"
    label = t.Unicode().tag(sync=True)
    accept = t.Unicode().tag(sync=True)
    help = t.Unicode().tag(sync=True)
    limit = t.Int().tag(sync=True)

    def __init__(
        self,
        received: Callable[[str, bytes], None],
        refused: Callable[[str], None],
        **traits: Any,
    ) -> None:
        super().__init__(**traits)
        self._received, self._refused = received, refused
        self._name, self._size, self._data = "", 0, bytearray()
        self.on_msg(self._on_message)

    def _on_message(self, _: Any, content: Any, buffers: Any) -> None:
        if not isinstance(content, dict):
            return
        if "begin" in content:
            self._begin(str(content["begin"]), content.get("size"))
        elif "failed" in content:
            self._end(f"{self._name} cannot be read: choose a file, not a folder.")
        elif self._size and len(buffers) == 1:
            self._take(bytes(buffers[0]))

    def _begin(self, name: str, size: object) -> None:
        self._name, self._data = plain_line(Path(name).name)[:200], bytearray()
        self._size = size if isinstance(size, int) else 0
        if not self._size:
            self._end(f"{self._name} is empty. Choose another file.")
        elif self._size > self.limit:
            self._end(
                f"{self._name} has {self._size / 1e6:,.0f} MB, and an upload may have"
                f" {self.limit / 1e6:,.0f}. Copy it to the notebook's folder, and enter its path."
            )
        else:
            self.send({"next": True})

    def _take(self, part: bytes) -> None:
        self._data += part
        if len(self._data) < self._size:
            self.send({"next": True})
            return
        name, data, right = self._name, bytes(self._data), len(self._data) == self._size
        self._end("" if right else f"{name} has changed while it was uploaded. Upload it again.")
        if right:
            self._received(name, data)

    def _end(self, refusal: str) -> None:
        self._size, self._data = 0, bytearray()
        self.send({"done": True})
        if refusal:
            self._refused(refusal)
