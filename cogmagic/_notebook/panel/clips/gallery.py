"""The panel's gallery: the clips of a folder as tiles, a page at a time."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from contextlib import suppress
from html import escape
from pathlib import Path
from typing import Any

import ipywidgets as w

from cogmagic._errors import OutputError, reason_of
from cogmagic._files import typed_path
from cogmagic._notebook.panel.clips.pages import PAGE, ClipPages, Posters
from cogmagic._notebook.panel.clips.tile import Tile
from cogmagic._notebook.panel.parts.browser import Browser
from cogmagic._notebook.panel.parts.html import error_html, show_html
from cogmagic._notebook.panel.parts.looks import auto_width, make
from cogmagic._video.formats.registry import names_file
from cogmagic._video.library import StoredClip

__all__ = ["Gallery", "folder_of"]


class Gallery(w.VBox):  # type: ignore[misc]  # it has no types
    """Tiles of a folder's clips; files are read in a thread.

    Args:
        folder: the first folder, as it is typed.
        show: called with the clip of the tile that is pressed.
        handler: makes a click handler of a function.
        browser: moves the focus.
    """

    def __init__(
        self,
        folder: str,
        show: Callable[[StoredClip], None],
        handler: Callable[[Callable[[], None]], Callable[[Any], None]],
        browser: Browser,
    ) -> None:
        self._browser = browser
        self._pages: ClipPages | None = None
        self._posters, self._reading = Posters(), threading.Lock()
        self._changes: list[Callable[[ClipPages], None]] = []
        self._number = self._asked = 0
        self._thread: threading.Thread | None = None
        self.folder = make(w.Text, value=folder, description="Folder", continuous_update=False)
        self.folder.placeholder = "the working directory"
        self.folder.tooltip = "the folder whose clips are listed; empty for the working directory"
        self.folder.observe(lambda _: self.refresh(), "value")
        self.search = make(
            w.Text, description="Search", placeholder="prompt, file, model, seed or date"
        )
        self.search.tooltip = "list the clips that have all of these words"
        self.search.observe(lambda _: self._search(), "value")
        self.number = make(w.BoundedIntText, 1, min=1, max=1, description="Page")
        self.number.tooltip = "page to show"
        self.number.observe(lambda change: self._go(change["new"] - 1), "value")
        self.newer = _button("Newer", "arrow-left", "the page before")
        self.older = _button("Older", "arrow-right", "the next page")
        again = _button("Refresh", "refresh", "list the folder's clips again")
        again.on_click(handler(self.refresh))
        self.newer.on_click(handler(lambda: self._go(self._number - 1)))
        self.older.on_click(handler(lambda: self._go(self._number + 1)))
        self.note = make(w.HTML)
        self.tiles = [Tile(show, handler) for _ in range(PAGE)]
        tiles = _box("cogmagic-tiles", *(tile.view for tile in self.tiles))
        fields = _box("cogmagic-bar", self.folder, self.search, again)
        pages = _box("cogmagic-bar", self.newer, self.number, self.older, self.note)
        super().__init__([fields, tiles, pages])
        self.add_class("cogmagic-gallery")

    @property
    def inputs(self) -> dict[str, Any]:
        """Its fields, by name."""
        return {"folder": self.folder, "search": self.search, "number": self.number}

    def close(self) -> None:
        """Stop reading, and close the widgets."""
        self._asked += 1
        self.wait()
        super().close()

    def wait(self) -> None:
        """Wait until the page is complete, and all files have been read."""
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def refresh(self) -> None:
        """List the folder again, and show its newest clips."""
        self._pages, self._number = None, 0
        self._begin()

    def list_once(self) -> None:
        """List the folder, unless that has been done."""
        if self._thread is None:
            self.refresh()

    def add(self, clip: StoredClip) -> None:
        """Put a clip that has just been made first."""
        self._changes.append(lambda pages: pages.add(clip))
        self._begin()

    def remove(self, clip: StoredClip) -> None:
        """Leave out a clip that was deleted; the focus goes to the clip in its place."""
        place = next((i for i, tile in enumerate(self.tiles) if tile.clip == clip), 0)
        self._changes.append(lambda pages: pages.remove(clip.path))
        self._begin(focus=place)

    def _search(self) -> None:
        self._number = 0
        self._begin()

    def _go(self, number: int) -> None:
        """Show the page of that number, counted from 0."""
        if number != self._number:
            self._number = max(number, 0)
            self._begin()

    def _begin(self, focus: int | None = None) -> None:
        self._asked += 1
        run = contextvars.copy_context().run
        self._thread = threading.Thread(
            target=run, args=(self._read, self._asked, focus), name="cogmagic-gallery", daemon=True
        )
        self._thread.start()

    def _read(self, asked: int, focus: int | None) -> None:
        """In a thread: fill the tiles of the page, then their posters, then read the rest."""
        with self._reading:
            if asked != self._asked:
                return
            try:
                pages = self._fill()
                if focus is not None:
                    self._focus(focus)
                for tile in self.tiles:
                    if asked != self._asked:
                        return
                    if tile.clip is not None and not tile.clip.error:
                        tile.show_poster(self._posters.url(tile.clip))
                while asked == self._asked and pages.read_one():
                    pass
                if asked == self._asked:
                    self._show_place(pages)
            except Exception as error:
                self._show_none(error_html(reason_of(error)))

    def _fill(self) -> ClipPages:
        pages = self._pages = self._pages or ClipPages(_path(self.folder.value))
        while self._changes:
            self._changes.pop(0)(pages)
        pages.search(self.search.value)
        clips = pages.page(self._number)
        if not clips and self._number:  # its last clip was deleted
            self._number = pages.pages - 1
            clips = pages.page(self._number)
        for i, tile in enumerate(self.tiles):
            tile.put(clips[i] if i < len(clips) else None)
        self._show_place(pages)
        return pages

    def _show_place(self, pages: ClipPages) -> None:
        """Show which of the pages this is."""
        self.newer.disabled = self._number == 0
        self.older.disabled = self._number + 1 >= pages.pages
        with self.number.hold_trait_notifications():  # else a lower `max` changes the value first
            self.number.max, self.number.value = pages.pages, self._number + 1
        first, count = self._number * PAGE + 1, pages.count
        last = min(first + PAGE - 1, count)
        text = f"of at least {pages.pages}: clips {first} to {last}"
        if pages.is_complete:
            text = f"of {pages.pages}: clips {first} to {last} of {count}"
        if not count:
            search = self.search.value.strip()
            none = "No clips made by cogmagic in this folder yet."
            text = f"No clip has {search!r}." if search else none
        show_html(self.note, f'<span role="status">{escape(text)}</span>')

    def _focus(self, place: int) -> None:
        """Move the focus to the tile at that place or the last one; to the folder without tiles."""
        shown = sum(tile.clip is not None for tile in self.tiles)
        tile = f".cogmagic-tile:nth-child({min(place, shown - 1) + 1}) button"
        self._browser.focus(tile if shown else ".cogmagic-gallery input")

    def _show_none(self, html: str) -> None:
        for tile in self.tiles:
            tile.put(None)
        self.newer.disabled = self.older.disabled = True
        show_html(self.note, html)


def folder_of(save: object) -> str:
    """The folder that ``--save`` writes to, as it is typed; empty for the working directory."""
    if not isinstance(save, str | Path) or not str(save):
        return ""
    folder = Path(save).parent if names_file(save) else Path(save)
    with suppress(OSError, ValueError):  # in another folder, or the working directory is gone
        folder = folder.relative_to(Path.cwd())
    return "" if str(folder) == "." else str(folder)


def _path(typed: str) -> Path:
    try:
        return typed_path(typed.strip()).absolute()
    except (RuntimeError, OSError) as error:  # ~nobody; a working directory that was removed
        raise OutputError(f"{typed or 'The working directory'} cannot be read ({error}).") from None


def _button(description: str, icon: str, tooltip: str) -> w.Button:
    look = {"description": description, "icon": icon, "tooltip": tooltip}
    return make(w.Button, layout=auto_width(), **look)


def _box(name: str, *parts: w.Widget) -> w.Box:
    box = make(w.Box, parts)
    box.add_class(name)
    return box
