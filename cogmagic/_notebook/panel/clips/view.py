"""The clip that the panel shows: its player, how it was made, and what can be done with it."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any, Protocol

import ipywidgets as w

from cogmagic._errors import OutputError, first_line, plain_line, reason_of
from cogmagic._html import lines_html
from cogmagic._notebook.panel.clips.player import PLAYER_LIMIT, player
from cogmagic._notebook.panel.parts.browser import Browser
from cogmagic._notebook.panel.parts.html import error_html, show_html
from cogmagic._notebook.panel.parts.looks import auto_width, make
from cogmagic._video.formats.registry import FORMATS
from cogmagic._video.library import StoredClip, delete_clip
from cogmagic._video.video import Video

__all__ = ["ClipUses", "ClipView"]


class ClipUses(Protocol):
    """What the panel's form does with a clip: each returns the line to show, or the cell."""

    def enter(self, clip: StoredClip) -> str:
        """Enter the clip's settings."""

    def cell(self, clip: StoredClip) -> str:
        """The cell that makes the clip again."""

    def extend(self, clip: StoredClip) -> str:
        """Enter the clip as the one to extend."""

    def as_first_frame(self, clip: StoredClip) -> str:
        """Enter the clip's last frame as the first frame of the next one."""


class ClipView(w.VBox):  # type: ignore[misc]  # it has no types
    """One clip, with its actions as buttons.

    Args:
        uses: what the form does with it.
        browser: copies, downloads, and moves the focus.
        deleted: called with the clip after it was deleted.
    """

    def __init__(
        self, uses: ClipUses, browser: Browser, deleted: Callable[[StoredClip], None]
    ) -> None:
        self._uses, self._browser, self._deleted = uses, browser, deleted
        self.clip: StoredClip | None = None
        self._asked: StoredClip | None = None
        """The clip of the question whether to delete it; a run may show another meanwhile."""
        self.player, self.facts, self.note = make(w.HTML), make(w.HTML), make(w.HTML)
        self.cell = make(
            w.Textarea, description="Cell", rows=3, layout=w.Layout(display="none", width="auto")
        )
        self.cell.tooltip = "the cell that makes the clip again"
        actions: dict[str, tuple[str, Callable[[], None]]] = {
            "Use these settings again": ("enter them into the form", self._enter),
            "Copy as a cell": ("the %%cogvideo cell that makes it again", self._copy),
            "Extend": ("enter it as the clip to extend", self._extend),
            "Use as first frame": (
                "enter its last frame as a first frame",
                self._first_frame,
            ),
            "Download": ("save the file with the browser", self._download),
            "Delete": ("delete the file; asks first", self._ask),
        }
        self.buttons = {
            name: self._button(name, act, tooltip) for name, (tooltip, act) in actions.items()
        }
        self.row = make(w.Box, list(self.buttons.values()), layout=_hidden())
        sure = self._button("Delete it", self._delete, "this cannot be undone")
        sure.button_style = "danger"
        back = self._button("Keep it", self._keep, "delete nothing")
        back.add_class("cogmagic-keep")
        self.buttons["Delete"].add_class("cogmagic-delete")
        self.question = make(w.HTML)
        self.confirmation = make(w.Box, [self.question, sure, back], layout=_hidden())
        super().__init__([self.facts, self.row, self.confirmation, self.note, self.cell])
        self.add_class("cogmagic-clip")

    def show(self, clip: StoredClip) -> None:
        """Show a clip; of a file that cannot be read, the reason."""
        self._clear()
        self.clip = clip
        if clip.error:
            self.facts.value = error_html(f"{plain_line(clip.path.name)}: {clip.error}.")
        else:
            try:
                self.show_video(clip.video())
            except Exception as error:  # its frames are damaged, or its facts are no run's
                self.facts.value = error_html(first_line(error))
        for action, button in self.buttons.items():
            button.disabled = bool(clip.error) and action not in ("Delete", "Download")
        self._show_actions()

    def show_video(self, video: Video) -> None:
        """Show a video's player, its prompt and its facts, of which the last is the file."""
        self.player.value = player(video)
        facts = lines_html(video.facts_line(), video.report.warning)
        prompt = escape(video.prompt[:2000])
        self.facts.value = f'<div>{prompt}</div><div class="cogmagic-note">{facts}</div>'

    def say(self, text: str) -> None:
        """Show a line below the actions, announced by screen readers."""
        show_html(self.note, f'<span role="status">{escape(text)}</span>' if text else "")

    def _clear(self) -> None:
        self.clip = self._asked = None
        self.player.value = self.facts.value = self.note.value = self.cell.value = ""
        self.cell.layout.display = self.row.layout.display = "none"
        self.confirmation.layout.display = "none"

    @property
    def _shown(self) -> StoredClip:
        if self.clip is None:
            raise OutputError("No clip is shown. Press one in the gallery.")
        return self.clip

    def _button(self, description: str, act: Callable[[], None], tooltip: str) -> w.Button:
        """A button whose errors are shown below the actions."""

        def click(_: Any) -> None:
            try:
                act()
            except Exception as error:
                self.note.value = error_html(reason_of(error))

        look = {"description": description, "tooltip": tooltip, "layout": auto_width()}
        button = make(w.Button, **look)
        button.on_click(click)
        return button

    def _enter(self) -> None:
        self.say(self._uses.enter(self._shown))

    def _copy(self) -> None:
        self._show_cell(self._uses.cell(self._shown))

    def _extend(self) -> None:
        self.say(self._uses.extend(self._shown))

    def _first_frame(self) -> None:
        self.say(self._uses.as_first_frame(self._shown))

    def _show_cell(self, text: str) -> None:
        self.cell.value, self.cell.layout.display = text, ""
        self.say("The cell is below.")
        self._browser.copy_text(text, self.say)

    def _download(self) -> None:
        path, mime = self._shown.path, FORMATS.get(self._shown.path.suffix.lower())
        try:
            if mime is None or path.is_dir():
                raise OutputError(f"A browser cannot download a folder of frames. It is {path}.")
            if path.stat().st_size > PLAYER_LIMIT:
                raise OutputError(f"{path} is too large to download here. Copy the file instead.")
            self._browser.download(path.name, mime.mime, path.read_bytes())
        except OSError as error:
            raise OutputError(f"{path} cannot be read ({error.strerror}).") from None

    def _ask(self) -> None:
        self._asked = self._shown
        name = escape(plain_line(self._asked.path.name))
        self.question.value = f'<span role="alert">Delete {name} for good?</span>'
        self.row.layout.display, self.confirmation.layout.display = "none", ""
        self._browser.focus(".cogmagic-keep")

    def _keep(self) -> None:
        self._show_actions()
        self._browser.focus(".cogmagic-delete")

    def _delete(self) -> None:
        clip = self._asked
        if clip is None:
            raise OutputError("Another clip is shown now. Press Delete again.")
        self._keep()
        delete_clip(clip)
        self._clear()
        self.say(f"Deleted {plain_line(clip.path.name)}.")
        self._deleted(clip)

    def _show_actions(self) -> None:
        self.row.layout.display, self.confirmation.layout.display = "", "none"
        self.question.value, self._asked = "", None


def _hidden() -> w.Layout:
    return w.Layout(display="none", flex_flow="row wrap", align_items="center")
