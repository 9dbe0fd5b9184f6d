"""The canvas: an anywidget whose page draws, and whose pixels are computed here."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anywidget
import traitlets as t

from cogmagic._api.options.words import quoted
from cogmagic._errors import CogMagicError, plain_line
from cogmagic._html import MARK
from cogmagic._models.clips.clip import Clip
from cogmagic._models.masks.levels import AFFECTED, KEPT, REMOVED
from cogmagic._notebook.masks.editor import Editor
from cogmagic._notebook.masks.file import MaskFile
from cogmagic._notebook.masks.frames import ClipFrames
from cogmagic._notebook.masks.overlay import COLOURS, film, film_frames, overlay

__all__ = ["MaskCanvas"]


_STATIC = Path(__file__).parent / "static"

_SCRIPTS = ("parts.js", "pen.js", "hands.js", "canvas.js")
"""The parts of the page's module, which is one, as anywidget loads no other files."""


class MaskCanvas(anywidget.AnyWidget):
    """A mask that is drawn on the frames of a clip; as a path, that of its video.

    Args:
        clip: the clip.
        path: the mask's video.

    Raises:
        RequestError: for a clip that cannot be read, and for a file that was not drawn here, or for
            another clip.
        OutputError: for a folder that cannot be written.
    """

    _esm = "\n".join((_STATIC / name).read_text(encoding="utf-8") for name in _SCRIPTS)
    _css = _STATIC / "canvas.css"
    about = t.Dict().tag(sync=True)
    """What does not change: the clip's size and length, the colours and values."""
    state = t.Dict().tag(sync=True)
    """The frame that is shown, the keyframes, and the texts below the canvas."""
    picture = t.Bytes().tag(sync=True)
    """The frame as a JPEG."""
    overlay = t.Bytes().tag(sync=True)
    """The mask as a PNG of the same size."""
    film = t.Bytes().tag(sync=True)
    """The preview as an MP4."""

    def __init__(self, clip: Clip, path: Path) -> None:
        self._frames = frames = ClipFrames(clip)
        self._file = MaskFile(path, clip, frames.count, frames.interval)
        self._stored = self._file.stored()
        self._file.check()
        self._editor = Editor(self._stored, frames.count)
        self._frame = self._answered = 0
        self._note = f"Loaded from {self._name}." if self._stored.shapes else ""
        self._error = ""
        about = {
            "width": clip.width,
            "height": clip.height,
            "shown": frames.shown_size,
            "frames": frames.count,
            "interval": float(frames.interval),
            "levels": {"remove": REMOVED, "affected": AFFECTED, "erase": KEPT},
            "colours": {level: f"rgb{colour}" for level, colour in COLOURS.items()},
        }
        super().__init__(about=about, picture=frames.jpeg(0))
        self._show()
        self.on_msg(self._on_message)

    @property
    def saved(self) -> bool:
        """Whether the file has what the canvas shows."""
        return bool(self._stored.shapes) and self._stored == self._editor.drawing

    @property
    def path(self) -> Path:
        """The mask's video for ``--mask``; what was drawn since it was saved is saved first.

        Raises:
            RequestError: while nothing is drawn.
            OutputError: when it cannot be written.
        """
        return self._file.path if self.saved and self._file.path.is_file() else self.save()

    def save(self) -> Path:
        """Write the mask's video, and return its path.

        Raises:
            RequestError: while nothing is drawn.
            OutputError: when the disk is full or the file cannot be written.
        """
        drawing = self._editor.drawing
        self._file.write(drawing)
        self._stored = drawing
        self._note = f"Saved as {self._name}. Use it: {self._use}"
        self._show()
        return self._file.path

    def __fspath__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        return f"{MARK}mask of {plain_line(self._file.clip.shown)}"

    @property
    def _name(self) -> str:
        return plain_line(_from_here(self._file.path))

    @property
    def _use(self) -> str:
        clip = self._file.clip
        video = f"--video {quoted(_from_here(clip.files[0]))} " if clip.files else ""
        return plain_line(f"{video}--mask {quoted(_from_here(self._file.path))}")

    def _on_message(self, _: Any, content: Any, __: Any) -> None:
        """Do what the page asks for; errors are shown below the canvas."""
        if not isinstance(content, dict) or not isinstance(content.get("id"), int):
            return
        self._answered, self._error = content["id"], ""
        try:
            self._do(content)
        except CogMagicError as error:
            self._error = str(error)
        except Exception as error:  # of numbers out of range, or of a library
            self._error = plain_line(f"That cannot be done ({type(error).__name__}: {error}).")
        self._show()

    def _do(self, command: Mapping[str, Any]) -> None:
        if self._editor.apply(command):
            self._note = ""
        elif command["do"] == "show":
            frame = min(max(int(command["frame"]), 0), self._frames.count - 1)
            self.picture = self._frames.jpeg(frame)
            self._frame = frame
        elif command["do"] == "save":
            self.save()
        elif command["do"] == "film":
            numbers = film_frames(self._frames, self._frame)
            self.film = film(self._frames, self._editor.drawing, numbers)
            self._note = f"Preview of frames {numbers[0] + 1} to {numbers[-1] + 1}."

    def _show(self) -> None:
        """Send the mask of the frame, and what the page needs to know."""
        editor, drawing = self._editor, self._editor.drawing
        note = self._note
        if not note and drawing.shapes:
            note = f"Saved as {self._name}." if self.saved else f"Not saved yet, as {self._name}."
        with self.hold_sync():
            self.overlay = overlay(self._frames, drawing, self._frame)
            self.state = {
                "answered": self._answered,
                "frame": self._frame,
                "keyframes": [one.frame for one in drawing.keyframes],
                "box": drawing.box_at(self._frame),
                "undo": editor.can_undo,
                "redo": editor.can_redo,
                "note": note,
                "error": self._error,
            }


def _from_here(path: Path) -> str:
    """A path as a person types it in the working directory."""
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except (OSError, ValueError):  # elsewhere, or the working directory is gone
        return os.fspath(path)
