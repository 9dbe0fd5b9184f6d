"""The panel's results: the clip that is shown, and the gallery of its folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import ipywidgets as w

from cogmagic._notebook.panel.clips.gallery import Gallery, folder_of
from cogmagic._notebook.panel.clips.record import Record
from cogmagic._notebook.panel.clips.uses import FormUses
from cogmagic._notebook.panel.clips.view import ClipView
from cogmagic._notebook.panel.form.fields import Fields
from cogmagic._notebook.panel.parts.browser import Browser
from cogmagic._notebook.panel.parts.looks import make
from cogmagic._notebook.panel.parts.page import in_row
from cogmagic._video.library import StoredClip, stored_clip
from cogmagic._video.video import EMBED_LIMIT, Video

__all__ = ["Results"]


class Results:
    """The player of the last or chosen clip, its actions, and the clips of the folder.

    Args:
        fields: the form, for the settings of a clip.
        configured: the kernel's own defaults, by the names of the options.
        handler: makes a click handler of a function.
        preview: shown in the place of the player while a video forms.
    """

    def __init__(
        self,
        fields: Fields,
        configured: Mapping[str, Any],
        handler: Callable[[Callable[[], None]], Callable[[Any], None]],
        preview: w.HTML,
    ) -> None:
        self.uses = FormUses(fields, configured)
        self.record = Record(configured.get("embed_limit", EMBED_LIMIT))
        self.browser = Browser()
        self.clip = ClipView(self.uses, self.browser, lambda clip: self.gallery.remove(clip))
        folder = folder_of(configured.get("save"))
        self.gallery = Gallery(folder, self._choose, handler, self.browser)
        for name, field in self.inputs.items():
            field.add_class(in_row(name))
        # The player and the preview share one place of fixed size, so that neither moves the rest.
        self.stage = make(w.Box, [self.clip.player, preview])
        self.stage.add_class("cogmagic-stage")

    @property
    def inputs(self) -> dict[str, Any]:
        """The fields of the results, by name."""
        return {**self.gallery.inputs, "cell": self.clip.cell}

    def make_room(self) -> None:
        """Show the next preview in the player's place."""
        self.stage.remove_class("cogmagic-chosen-clip")

    def _choose(self, clip: StoredClip) -> None:
        """Show a clip of the gallery; a preview goes to a corner."""
        self.stage.add_class("cogmagic-chosen-clip")
        self.clip.show(clip)

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
            self.gallery.add(clip)
