"""The panel's results: the clip that is shown, and the gallery of its folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import ipywidgets as w

from cogmagic._notebook.panel.clip_uses import FormUses
from cogmagic._notebook.panel.clip_view import ClipView
from cogmagic._notebook.panel.fields import Fields
from cogmagic._notebook.panel.gallery import Gallery, folder_of
from cogmagic._notebook.panel.record import Record
from cogmagic._video.library import stored_clip
from cogmagic._video.video import EMBED_LIMIT, Video

__all__ = ["Results"]


class Results:
    """The player of the last or chosen clip, its actions, and the clips of the folder.

    Args:
        fields: the form, for the settings of a clip.
        configured: the kernel's own defaults, by the names of the options.
        handler: makes a click handler of a function.
    """

    def __init__(
        self,
        fields: Fields,
        configured: Mapping[str, Any],
        handler: Callable[[Callable[[], None]], Callable[[Any], None]],
    ) -> None:
        self.uses = FormUses(fields, configured)
        self.record = Record(configured.get("embed_limit", EMBED_LIMIT))
        self.clip = ClipView(self.uses, lambda: self.gallery.refresh())
        self.gallery = Gallery(folder_of(configured.get("save")), self.clip.show, handler)

    @property
    def player(self) -> w.HTML:
        """The player of the clip that is shown."""
        return self.clip.player

    @property
    def widgets(self) -> tuple[Any, ...]:
        """The widgets in their order on the page."""
        return self.clip, self.gallery

    def open(self) -> None:
        """List the folder, once somebody sees the panel."""
        self.gallery.list_once()

    def add(self, video: Video, options: dict[str, Any]) -> None:
        """Show a video that has just been made, and the clips of its folder.

        Args:
            video: the result.
            options: what was entered for it.
        """
        self.uses.remember(video, options)
        self.record.add(video)
        clip = stored_clip(video.path)
        if clip is None:  # deleted since
            self.clip.show_video(video)
            return
        self.clip.show(clip)
        folder = folder_of(video.path)
        if self.gallery.folder.value != folder:
            self.gallery.folder.value = folder  # which lists it
        else:
            self.gallery.refresh()
