"""Masks from a user, checked by their headers and shapes; their frames are read when a run begins.

A mask is a video or a folder of pictures, one frame for each of the clip's, or one picture for all
of them. Arrays are frames × height × width, or height × width.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cogmagic._errors import RequestError, first_line
from cogmagic._models.clips.clip import Clip, clip_of
from cogmagic._models.clips.digest import digest_of
from cogmagic._models.clips.header import VideoFile
from cogmagic._models.clips.memory import are_frames
from cogmagic._models.clips.picture_files import pictures_in
from cogmagic._models.input_files import check_file, existing_path
from cogmagic._models.masks.tag import is_tagged
from cogmagic._models.pictures.arrays import as_numpy, levels
from cogmagic._models.pictures.picture import as_picture

if TYPE_CHECKING:
    from cogmagic._models.pictures.arrays import Array

__all__ = ["Mask", "White", "mask_of"]


White = Literal["changed", "kept"]
"""What white stands for: the part that is made new, or the part that stays."""

_PICTURES = frozenset((".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif"))

_AUTHORS = ("quadmask", "trimask")
"""How the files of VOID's authors begin, in which white is kept."""

_LAYOUT = "a mask is frames × height × width, or height × width for all frames"


@dataclass(frozen=True)
class Mask:
    """A mask that was checked by its header."""

    shown: str
    """What messages call it."""
    source: Clip | Array = field(repr=False, compare=False)
    """Moving: a clip of grey frames. Still, for all frames: uint8 RGB, height × width × 3."""
    white: White | None = None
    """What white stands for; None where the levels decide (`cogmagic._models.masks.levels`)."""
    share: float | None = None
    """The share of the pixels that change; None before the frames have been read."""
    path: str = ""
    """As it was given; empty for a mask in memory."""

    @property
    def clip(self) -> Clip | None:
        """The frames of a moving mask; None for a still one."""
        return self.source if isinstance(self.source, Clip) else None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        if isinstance(self.source, Clip):
            return self.source.size
        height, width = self.source.shape[:2]
        return width, height

    def digest(self) -> str:
        """SHA-256 of its content, by which a resumed batch compares it.

        Raises:
            RequestError: for a file that can no longer be read.
        """
        if isinstance(self.source, Clip):
            return digest_of(self.source)
        return sha256(repr(self.source.shape).encode() + self.source.tobytes()).hexdigest()

    def in_memory(self) -> Mask:
        """The same mask with the content of its files: see `Clip.in_memory`."""
        clip = self.clip
        return replace(self, source=clip.in_memory()) if clip else self

    def read(self, white: White, share: float) -> Mask:
        """The same mask without its content, once its frames have been read."""
        source = self.source
        source = source.without_frames() if isinstance(source, Clip) else source[:0]
        return replace(self, source=source, white=white, share=share)


def mask_of(value: Any) -> Mask:
    """The mask that a user gives; of a video file, two frames are decoded.

    Args:
        value: the path of a video, of a picture, of a folder of pictures or of a ``.npy`` file; a
            PIL image; a list of pictures; a `cogmagic.Video`; or an array or a tensor of bools,
            floats from 0 to 1, or integers (0 and 1, or 0 to 255).

    Raises:
        RequestError: for anything else, and for files that are missing or damaged.
    """
    from PIL import Image

    if isinstance(value, str | os.PathLike):
        if not os.fspath(value):
            raise RequestError("The mask's path is empty. Name a video or a picture.")
        path, shown = existing_path(value, "mask")
        return replace(_of_path(path, shown), path=os.fsdecode(value))
    if isinstance(value, Image.Image):
        return _still(value, "The mask")
    pictures = isinstance(value, list | tuple) and any(
        isinstance(one, Image.Image | str | os.PathLike) for one in value
    )
    if pictures and len(value) == 1:
        return _still(value[0], "The mask")
    if are_frames(value) and not pictures:
        return _of_array(value, "The mask")
    has_frames = isinstance(value, bytes | bytearray) or hasattr(value, "read")
    if pictures or has_frames or hasattr(value, "frames"):
        return _moving(clip_of(value), "The mask")
    raise RequestError(
        f"The mask must be a path, a picture, an array or a Video, not {type(value).__name__}. Type"
        " --mask PATH, or a variable."
    )


def _of_path(path: Path, shown: str) -> Mask:
    if path.is_dir():
        pictures = pictures_in(path, shown)
        return _still(pictures[0], shown) if len(pictures) == 1 else _moving(clip_of(path), shown)
    check_file(path, shown, "a mask")
    if path.suffix.lower() == ".npy":
        return _of_array(_loaded(path, shown), shown)
    if path.suffix.lower() in _PICTURES and _has_one_frame(path):
        return _still(path, shown)
    clip = clip_of(path)
    white: White | None = "kept" if path.name.lower().startswith(_AUTHORS) else None
    if isinstance(clip.source, VideoFile) and is_tagged(path):
        white = "changed"
    return replace(_moving(clip, shown), white=white)


def _has_one_frame(path: Path) -> bool:
    from PIL import Image

    try:
        with Image.open(path) as opened:
            return getattr(opened, "n_frames", 1) == 1
    except Exception:  # whatever is wrong with it, `as_picture` says it
        return True


def _still(picture: Any, shown: str) -> Mask:
    import numpy as np

    return Mask(shown, np.asarray(as_picture(picture)))


def _moving(clip: Clip, shown: str) -> Mask:
    return Mask(shown, replace(clip, shown=shown))


def _loaded(path: Path, shown: str) -> Array:
    """An array from a file, which is mapped, not read."""
    import numpy as np

    try:
        array: Array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise RequestError(
            f"{shown} cannot be read as an array ({first_line(error).rstrip('.')}). Save it with"
            " np.save(path, mask)."
        ) from None
    return array


def _of_array(value: Any, shown: str) -> Mask:
    import numpy as np

    array, _ = as_numpy(value, shown)
    if array.dtype.kind not in "biuf":
        raise RequestError(
            f"{shown} has dtype {array.dtype}, which is not bool, integer or float. Convert it:"
            " np.asarray(mask, dtype=bool), True where the video is made new."
        )
    array = _frames_of(array, shown)
    white: White | None = "changed" if array.dtype.kind in "bf" else None
    if array.dtype.kind in "iu" and array.max() <= 1 and array.min() >= 0:
        array, white = array.astype(bool), "changed"
    grey = levels(array[..., None], shown)
    if len(grey) == 1:
        return Mask(shown, np.broadcast_to(grey[0], (*grey.shape[1:3], 3)), white)
    return replace(_moving(clip_of(grey), shown), white=white)


def _frames_of(array: Array, shown: str) -> Array:
    """The array as frames × height × width.

    Raises:
        RequestError: for other shapes, with what to pass.
    """
    shape = array.shape
    if 0 in shape:
        raise RequestError(f"{shown} has no frames or no pixels: its shape is {shape}.")
    if array.ndim > 2:  # a batch of one, one channel, one frame
        array = array.squeeze()
    if array.ndim == 2:
        array = array[None]
    if array.ndim == 3 and array.shape[-1] > 4:
        return array
    advice = ""
    if array.ndim in (3, 4) and shape[-1] in (1, 2, 3, 4):
        advice = " It has channels: pass one of them, such as mask[..., 0]."
    raise RequestError(f"{shown} has shape {shape}, but {_LAYOUT}.{advice}")
