"""A small picture of what a run uses of an input, with how it is fitted to the size."""

from __future__ import annotations

import os
from base64 import b64encode
from collections.abc import Mapping
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets as w

from cogmagic._errors import CogMagicError
from cogmagic._models.clips.clip import Clip, clip_of
from cogmagic._models.clips.lengths import check_start, times_to_end
from cogmagic._models.fitting import Fit, fitted
from cogmagic._models.masks.against_clip import Excerpt, times_of
from cogmagic._models.masks.mask import Mask, mask_of
from cogmagic._models.pictures.picture import as_picture
from cogmagic._notebook.panel.parts.html import show_html
from cogmagic._notebook.panel.parts.looks import make
from cogmagic._video.clip_reader import frames_at_times

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["SHOWN", "Thumbnail"]


_HEIGHT = 96


_FITTED = {"crop": "its edges cut off", "pad": "with bars", "stretch": "stretched"}


SHOWN = {
    "image": "The first frame as it is used",
    "last_image": "The last frame as it is used",
    "video": "The clip's first frame as it is used",
    "mask": "The mask of the clip's first frame, as it is used",
    "extend": "The frame from which the clip continues, as it is used",
}
"""The inputs of which there is a picture, and what it is."""


_OPTIONS = ("width", "height", "fit", "fps", "start", "overlap", "num_frames", "invert_mask")
"""Options that change the picture."""


class Thumbnail:
    """The widget of the picture, which is made once for each value and its options.

    Args:
        name: the input's, of `SHOWN`.
    """

    def __init__(self, name: str) -> None:
        self.view = make(w.HTML)
        self._name = name
        self._key: tuple[Any, ...] = ()
        self._value: Any = None  # kept, so that no other object gets its id

    def show(self, value: Any, options: Mapping[str, Any]) -> None:
        """Show the picture and its size; nothing where there is none, or it cannot be read.

        Args:
            value: what `generate` takes as the input; None for none.
            options: of `generate`, with the model itself; those of another input do not matter.
        """
        value = _as_path(value)
        changed = Path(value).stat().st_mtime_ns if _is_file(value) else id(value)
        used = tuple(options[name] for name in _OPTIONS)
        key = (str(value) if _is_file(value) else "", changed, *used)
        if key == self._key:
            return
        self._key, self._value, html = key, value, ""
        size = options["width"], options["height"]
        if value is not None and min(size) >= 1 and max(size) <= 4096:
            with suppress(CogMagicError, ValueError, OSError, IndexError, StopIteration):
                html = _html(self._name, value, size, options)
        show_html(self.view, html)


def _as_path(value: Any) -> Any:
    """The file of a canvas, which changes when it is drawn on; any other value as it is."""
    if not isinstance(value, os.PathLike):
        return value
    with suppress(CogMagicError):  # nothing is drawn
        return os.fspath(value)
    return None


def _is_file(value: Any) -> bool:
    try:
        return isinstance(value, str | Path) and Path(value).is_file()
    except (OSError, ValueError):
        return False


def _html(name: str, value: Any, size: tuple[int, int], options: Mapping[str, Any]) -> str:
    fit: Fit = options["fit"] or ("stretch" if name.endswith("image") else "crop")
    white = ""
    if name.endswith("image"):
        picture = as_picture(value)
        before, length, used = picture.size, "", fitted(picture, size, fit)
    elif name == "mask":
        mask = mask_of(value)
        before, length, used = mask.size, _length(mask.clip), _mask(mask, size, fit, options)
        white = _white(mask, options)
    else:
        clip = clip_of(value)
        before, length, used = clip.size, _length(clip), _frame(name, clip, size, fit, options)
    how = "" if before == size else f", {_FITTED[fit]} to {size[0]}×{size[1]}"
    words = f"{before[0]}×{before[1]}{length}{how}{white}"
    return f'<img alt="{SHOWN[name]}" src="{_url(used)}"><div>{words}</div>'


def _length(clip: Clip | None) -> str:
    return "" if clip is None or clip.seconds is None else f", {clip.seconds:.2g} s"


def _white(mask: Mask, options: Mapping[str, Any]) -> str:
    """What white stands for; nothing for masks whose levels decide it when a run begins."""
    white = mask.white or ("" if options["model"].task == "void" else "changed")
    if not white:
        return ""
    kept = (white == "kept") != bool(options["invert_mask"])
    return ", white is kept" if kept else ", white is made new"


def _mask(mask: Mask, size: tuple[int, int], fit: Fit, options: Mapping[str, Any]) -> Image:
    """The mask of the first frame of its clip that a run uses."""
    import numpy as np
    from PIL import Image

    if mask.clip is None:
        still = Image.fromarray(np.ascontiguousarray(mask.source))
        return fitted(still, size, fit, by_area=True)
    fps, start, of_clip = options["fps"], options["start"] or 0.0, clip_of(options["video"])
    count = 1 if mask.clip.fps and of_clip.fps else options["num_frames"]
    taken = times_of(mask.clip, Excerpt(of_clip, start, fps, count))
    frames = frames_at_times(taken.clip, taken.times[:1], taken.fps, size, fit, by_area=True)
    return Image.fromarray(next(frames))


def _frame(
    name: str, clip: Clip, size: tuple[int, int], fit: Fit, options: Mapping[str, Any]
) -> Image:
    """The first frame of the part of a clip that a run uses."""
    from PIL import Image

    if name == "extend":
        time = times_to_end(clip, options["fps"])[-(options["overlap"] or 1)]
    else:
        time = check_start(options["start"] or 0.0)
    return Image.fromarray(next(frames_at_times(clip, (time,), options["fps"], size, fit)))


def _url(picture: Image) -> str:
    small, out = picture.convert("RGB"), BytesIO()
    small.thumbnail((3 * _HEIGHT, _HEIGHT))
    small.save(out, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{b64encode(out.getvalue()).decode()}"
