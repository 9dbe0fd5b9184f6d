"""The player of a clip in the panel."""

from __future__ import annotations

from dataclasses import replace
from html import escape

from cogmagic._errors import plain_line
from cogmagic._video.video import Video

__all__ = ["PLAYER_LIMIT", "player"]


PLAYER_LIMIT = 64_000_000
"""Bytes up to which a video is sent to the page."""


def player(video: Video, limit: int = PLAYER_LIMIT) -> str:
    """The HTML player of a video, embedded because a link would be relative to the page.

    Nothing of it is stored in the notebook. A video over `limit` bytes is named instead.
    """
    path = video.path
    large = video.unsaved is None and path.is_file() and path.stat().st_size > limit
    if not large:
        return replace(video, embed_limit=limit).player_html()
    size = f"{path.stat().st_size / 1e6:.0f} MB"
    return f"<div>{escape(plain_line(str(path)))} ({size}) is too large to play here.</div>"
