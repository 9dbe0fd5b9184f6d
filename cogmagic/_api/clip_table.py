"""The clips of a folder, as a table."""

from __future__ import annotations

import time
from itertools import islice
from pathlib import Path

from cogmagic._errors import OutputError, plain_line
from cogmagic._files import typed_path
from cogmagic._video.library import StoredClip, clips_in
from cogmagic._video.output_path import check_working_directory

__all__ = ["clip_table"]


_MOST = 30
"""Most rows of the table."""

_FORM = "{:<16}  {:<36}  {:<12}  {:<14}  {:>10}  {}"


def clip_table(folder: str | Path = "") -> str:
    """The newest clips that cogmagic has made in a folder, the newest last.

    Args:
        folder: the working directory by default.

    Raises:
        OutputError: when the folder cannot be read.
    """
    try:
        path = typed_path(folder)
    except RuntimeError as error:  # ~nobody
        raise OutputError(f"{folder} is not a usable path ({error}).") from None
    if not path.is_absolute():
        check_working_directory()
    clips = list(islice(clips_in(path), _MOST + 1))
    if not clips:
        return f"No clips made by cogmagic in {plain_line(str(path.absolute()))}."
    more = [f"The newest {_MOST}:"] if len(clips) > _MOST else []
    head = _FORM.format("when", "file", "model", "clip", "seed", "prompt")
    return "\n".join([*more, head, *(_row(clip) for clip in reversed(clips[:_MOST]))])


def _row(clip: StoredClip) -> str:
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(clip.modified))
    name = _short(clip.path.name, 36)
    if clip.error:
        return _FORM.format(when, name, "", "", "", f"cannot be read: {clip.error}")
    video = clip.video()
    size = f"{video.width}x{video.height}x{video.num_frames}"
    return _FORM.format(
        when, name, _short(video.model, 12), size, video.seed, _short(clip.prompt, 60)
    )


def _short(text: str, width: int) -> str:
    line = plain_line(" ".join(text[: 4 * width].split()))
    return line if len(line) <= width else line[: width - 1] + "…"
