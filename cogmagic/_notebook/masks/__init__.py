"""Masks that are drawn on the frames of a clip, in the notebook."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cogmagic._errors import RequestError

__all__ = ["mask"]


def mask(clip: Any, save: str | Path | None = None) -> Any:
    """A canvas on which a mask of a clip is drawn, an ipywidget; ``%cogvideo mask`` shows it.

    It is a path, too: give the canvas itself, or its `path`, to ``--mask``. What has been drawn is
    then saved as lossless grey video: white where the clip is removed or made again, grey where it
    is affected (shadows, reflections), black where it stays. The canvas begins with what that file
    has, if a canvas has written it before.

    Args:
        clip: a path, a `Video`, frames × height × width × 3, or a list of PIL images.
        save: the mask's file, or a folder; by default ``<clip>-mask.mp4`` beside the clip.

    Raises:
        RequestError: for a clip that cannot be read or has one frame; for a file that is no mask
            of this clip; and where the packages that the canvas needs are not installed.
        OutputError: for a folder that cannot be written.
    """
    from cogmagic._models.clips.clip import clip_of
    from cogmagic._notebook.masks.file import mask_path

    try:
        from cogmagic._notebook.masks.widget import MaskCanvas
    except ModuleNotFoundError as missing:
        raise RequestError(
            f"The canvas needs {missing.name}. Type %pip install anywidget ipywidgets, then restart"
            " the kernel."
        ) from None
    opened = clip_of(clip)
    return MaskCanvas(opened, mask_path(opened, save))
