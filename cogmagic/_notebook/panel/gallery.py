"""The panel's gallery: the clips of a folder as tiles, a page at a time."""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from html import escape
from pathlib import Path
from typing import Any

import ipywidgets as w

from cogmagic._errors import OutputError, plain_line
from cogmagic._files import typed_path
from cogmagic._notebook.panel.gallery_pages import PAGE, ClipPages, Posters
from cogmagic._notebook.panel.parts import error_html, show_html
from cogmagic._video.formats.registry import names_file
from cogmagic._video.library import StoredClip

__all__ = ["Gallery", "folder_of"]


class Gallery(w.VBox):  # type: ignore[misc]  # it has no types
    """Tiles of a folder's clips; files are read in a thread.

    Args:
        folder: the first folder, as it is typed.
        show: called with the clip of the tile that is pressed.
        handler: makes a click handler of a function.
    """

    def __init__(
        self,
        folder: str,
        show: Callable[[StoredClip], None],
        handler: Callable[[Callable[[], None]], Callable[[Any], None]],
    ) -> None:
        self._pages: ClipPages | None = None
        self._posters, self._reading = Posters(), threading.Lock()
        self._number = self._asked = 0
        self._thread: threading.Thread | None = None
        self.folder = w.Text(value=folder, description="Folder", continuous_update=False)
        self.folder.placeholder = "the working directory"
        self.folder.observe(lambda _: self.refresh(), "value")
        self.newer, self.older = _small("Newer", "arrow-left"), _small("Older", "arrow-right")
        again = _small("Refresh", "refresh")
        again.tooltip = "list the folder's clips again"
        for button, act in (
            (again, self.refresh),
            (self.newer, self._back),
            (self.older, self._on),
        ):
            button.on_click(handler(act))
        self.note = w.HTML()
        self.tiles = [_Tile(show, handler) for _ in range(PAGE)]
        tiles = w.Box([tile.view for tile in self.tiles])
        tiles.add_class("cogmagic-tiles")
        bar = w.Box([self.folder, again, self.newer, self.older], layout=_wrap())
        super().__init__([bar, self.note, tiles])
        self.add_class("cogmagic-gallery")

    def close(self) -> None:
        """Stop reading, and close the widgets."""
        self._asked += 1
        self.wait()
        super().close()

    def wait(self) -> None:
        """Wait until the page is complete."""
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

    def _back(self) -> None:
        self._number = max(self._number - 1, 0)
        self._begin()

    def _on(self) -> None:
        self._number += 1
        self._begin()

    def _begin(self) -> None:
        self._asked += 1
        run = contextvars.copy_context().run
        self._thread = threading.Thread(
            target=run, args=(self._read, self._asked), name="cogmagic-gallery", daemon=True
        )
        self._thread.start()

    def _read(self, asked: int) -> None:
        """In a thread: fill the tiles of the page, and then their posters."""
        with self._reading:
            if asked != self._asked:
                return
            try:
                self._fill()
                for tile in self.tiles:
                    if asked != self._asked:
                        return
                    if tile.clip is not None and not tile.clip.error:
                        tile.show_poster(self._posters.url(tile.clip))
            except OutputError as error:
                self._show_none(error_html(str(error)))
            except Exception as error:
                self._show_none(error_html(f"{type(error).__name__}: {error}"))

    def _fill(self) -> None:
        if self._pages is None:
            self._pages = ClipPages(_path(self.folder.value))
        clips = self._pages.page(self._number)
        for i, tile in enumerate(self.tiles):
            tile.put(clips[i] if i < len(clips) else None)
        self.newer.disabled = self._number == 0
        self.older.disabled = not self._pages.has(self._number + 1)
        first = self._number * PAGE + 1
        some = f"Clips {first} to {first + len(clips) - 1}, the newest first."
        show_html(self.note, some if clips else "No clips made by cogmagic in this folder yet.")

    def _show_none(self, html: str) -> None:
        for tile in self.tiles:
            tile.put(None)
        self.newer.disabled = self.older.disabled = True
        show_html(self.note, html)


class _Tile:
    """A clip's poster, and the button that shows it."""

    def __init__(
        self,
        show: Callable[[StoredClip], None],
        handler: Callable[[Callable[[], None]], Callable[[Any], None]],
    ) -> None:
        self.clip: StoredClip | None = None
        self.picture, self.button = w.HTML(), w.Button(layout=w.Layout(width="auto"))
        self.button.on_click(handler(lambda: show(self.clip) if self.clip else None))
        self.view = w.VBox([self.picture, self.button], layout=w.Layout(display="none"))
        self.view.add_class("cogmagic-tile")

    def put(self, clip: StoredClip | None) -> None:
        """Show a clip, without its poster; hide the tile for None."""
        if clip == self.clip:
            return
        self.clip = clip
        self.view.layout.display = "none" if clip is None else ""
        if clip is None:
            self.picture.value = ""
            return
        name = plain_line(clip.path.name)
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(clip.modified))
        words = plain_line(" ".join(clip.prompt[:400].split()))
        self.button.description = (words or name)[:60]
        self.button.tooltip = f"{words[:300]}\n{name}, {when}".strip()
        self.picture.value = f"<div>cannot be read: {escape(clip.error)}</div>" * bool(clip.error)

    def show_poster(self, url: str) -> None:
        """Show the clip's poster; without a URL, that it cannot be decoded."""
        image = f'<img alt="" src="{url}">' if url else "<div>cannot be decoded</div>"
        show_html(self.picture, image)


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


def _small(description: str, icon: str) -> w.Button:
    return w.Button(description=description, icon=icon, layout=w.Layout(width="auto"))


def _wrap() -> w.Layout:
    return w.Layout(flex_flow="row wrap", align_items="center")
