"""The pages of a folder's clips and their posters, read as far as somebody looks."""

from __future__ import annotations

from base64 import b64encode
from collections import OrderedDict
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from cogmagic._errors import OutputError
from cogmagic._video.library import StoredClip, clips_in
from cogmagic._video.posters import poster

__all__ = ["PAGE", "ClipPages", "Posters"]


PAGE = 12
"""Clips of one page."""


class ClipPages:
    """The clips of a folder in pages, the newest first; files are read up to the page shown."""

    def __init__(self, folder: Path) -> None:
        self._rest: Iterator[StoredClip] = clips_in(folder)
        self._clips: list[StoredClip] = []

    def page(self, number: int) -> list[StoredClip]:
        """The clips of a page, counted from 0.

        Raises:
            OutputError: when the folder cannot be read.
        """
        self._read((number + 1) * PAGE)
        return self._clips[number * PAGE : (number + 1) * PAGE]

    def has(self, number: int) -> bool:
        """Whether a page has any clip."""
        self._read(number * PAGE + 1)
        return len(self._clips) > number * PAGE

    def _read(self, count: int) -> None:
        while len(self._clips) < count:
            clip = next(self._rest, None)
            if clip is None:
                return
            self._clips.append(clip)


class Posters:
    """Small JPEGs of clips as data URLs; the last ones stay in memory."""

    _MOST = 10 * PAGE
    _WIDTH = 160

    def __init__(self) -> None:
        self._urls: OrderedDict[tuple[Path, float, int], str] = OrderedDict()

    def url(self, clip: StoredClip) -> str:
        """The poster of a clip; empty for a file that cannot be decoded."""
        key = clip.path, clip.modified, clip.size
        if key not in self._urls:
            self._urls[key] = self._made(clip)
            while len(self._urls) > self._MOST:
                self._urls.popitem(last=False)
        self._urls.move_to_end(key)
        return self._urls[key]

    def _made(self, clip: StoredClip) -> str:
        data = BytesIO()
        try:
            poster(clip.video(), self._WIDTH).save(data, "JPEG", quality=75)
        except OutputError:
            return ""
        return "data:image/jpeg;base64," + b64encode(data.getvalue()).decode()
