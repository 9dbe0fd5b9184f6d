"""The pages of a folder's clips and their posters, read as far as somebody looks."""

from __future__ import annotations

import time
from base64 import b64encode
from collections import OrderedDict
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from cogmagic._errors import OutputError
from cogmagic._video.library import StoredClip, clips_in
from cogmagic._video.posters import poster

__all__ = ["PAGE", "ClipPages", "Posters", "when"]


PAGE = 12
"""Clips of one page."""


class ClipPages:
    """The clips of a folder in pages, the newest first; each file is read once, when needed."""

    def __init__(self, folder: Path) -> None:
        self._rest: Iterator[StoredClip] = clips_in(folder)
        self._clips: list[StoredClip] = []
        self._found: list[StoredClip] = []
        self._words: list[str] = []
        self._added: set[Path] = set()
        self.is_complete = False
        """Whether all files have been read."""

    def search(self, text: str) -> None:
        """From now on have only the clips with all these words in the prompt, name or facts."""
        self._words = text.casefold().split()
        self._found = [clip for clip in self._clips if self._fits(clip)]

    @property
    def count(self) -> int:
        """The clips so far; all once `is_complete`."""
        return len(self._found)

    @property
    def pages(self) -> int:
        """The pages so far, at least one."""
        return max(-(-self.count // PAGE), 1)

    def page(self, number: int) -> list[StoredClip]:
        """The clips of a page, counted from 0.

        Raises:
            OutputError: when the folder cannot be read.
        """
        while self.count <= (number + 1) * PAGE and self.read_one():
            pass  # one more than the page has, which tells whether there is another
        return self._found[number * PAGE : (number + 1) * PAGE]

    def read_one(self) -> bool:
        """Read one more file; False where none is left."""
        clip = next(self._rest, None)
        if clip is None:
            self.is_complete = True
            return False
        if clip.path not in self._added:
            self._clips.append(clip)
            if self._fits(clip):
                self._found.append(clip)
        return True

    def add(self, clip: StoredClip) -> None:
        """Put a clip that has just been made first."""
        self.remove(clip.path)
        self._added.add(clip.path)
        self._clips.insert(0, clip)
        if self._fits(clip):
            self._found.insert(0, clip)

    def remove(self, path: Path) -> None:
        """Forget a clip that was deleted."""
        for clips in (self._clips, self._found):
            clips[:] = [clip for clip in clips if clip.path != path]

    def _fits(self, clip: StoredClip) -> bool:
        facts = [str(clip.facts.get(name, "")) for name in ("model", "seed")]
        text = " ".join([clip.prompt, clip.path.name, when(clip), *facts]).casefold()
        return all(word in text for word in self._words)


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


def when(clip: StoredClip) -> str:
    """The local date and time of a clip's file."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(clip.modified))
