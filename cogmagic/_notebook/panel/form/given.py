"""Inputs of the form: uploads, which become variables or files that a cell can name.

A picture or a clip becomes a variable, so nothing of it is written. A LoRA must be a file, and a
mask, too, because its name and its kind tell how it is read: they are written to the folder
``uploads`` of the working directory.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, MutableMapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from cogmagic._errors import CogMagicError, OutputError, RequestError
from cogmagic._files import write_atomically
from cogmagic._models.adapters.adapter import Adapter
from cogmagic._models.clips.clip import clip_of
from cogmagic._models.masks.mask import mask_of
from cogmagic._models.pictures.picture import as_picture
from cogmagic._notebook.masks.widget import MaskCanvas
from cogmagic._notebook.panel.parts.labels import label
from cogmagic._notebook.panel.parts.looks import make
from cogmagic._notebook.panel.parts.upload import Upload
from cogmagic._video.video import Video

__all__ = ["FOLDER", "Given"]


FOLDER = "uploads"
"""Of the working directory; the folder of uploaded LoRAs and masks."""


_NAMES = {
    "image": "first_frame", "last_image": "last_frame", "video": "clip", "extend": "clip",
}  # fmt: skip
"""The variable of the first upload."""


_ACCEPT = {
    "image": "image/*",
    "last_image": "image/*",
    "video": "video/*,.gif,.apng,.webp",
    "extend": "video/*,.gif,.apng,.webp",
    "lora": ".safetensors",
    "mask": "video/*,image/*,.npy",
}


_LIMITS = {
    "image": 64_000_000, "last_image": 64_000_000, "video": 512_000_000, "extend": 512_000_000,
    "lora": 1_000_000_000, "mask": 512_000_000,
}  # fmt: skip


_CHECKS: Mapping[str, Callable[[Path], object]] = {"lora": Adapter.of, "mask": mask_of}
"""What reads the files of the fields whose uploads are files, and refuses others."""


_MOST_SUGGESTED = 50


_MOST_LETTERS = 50
"""Of the name of an uploaded file: file systems take 255 bytes, and a letter may have four."""


class Given:
    """The uploads of the form's fields, and the variables that the fields may name.

    Args:
        variables: the user's variables.
        enter: called with a field and the text to enter for an upload.
        changed: called after an upload that failed.
    """

    def __init__(
        self,
        variables: MutableMapping[str, Any],
        enter: Callable[[str, str], None],
        changed: Callable[[], None],
    ) -> None:
        self.variables = variables
        self.errors: dict[str, str] = {}
        """Why the last upload of a field failed."""
        self._enter, self._changed = enter, changed
        self.uploads = {name: self._upload(name) for name in _ACCEPT}

    def resolve(self, name: str | None) -> Any:
        """The content of that variable, or `name` itself as a path; None for None."""
        return None if name is None else self.variables.get(name, name)

    def add(self, field: str, value: Any) -> str:
        """Put a picture or clip into a new variable, enter its name, and return it."""
        self.errors.pop(field, None)
        first = _NAMES[field]
        names = (first, *(f"{first}_{i}" for i in range(2, 1000)))
        name = next(n for n in names if n not in self.variables)
        self.variables[name] = value
        self._enter(field, name)
        return name

    def suggestions(self) -> Mapping[str, tuple[str, ...]]:
        """Names of variables that each field may mean."""
        from PIL.Image import Image

        names = [n for n in tuple(self.variables) if not n.startswith("_")]
        pictures = tuple(n for n in names if isinstance(self.variables.get(n), Image))
        clips = tuple(n for n in names if isinstance(self.variables.get(n), Video))
        masks = tuple(n for n in names if isinstance(self.variables.get(n), MaskCanvas))
        of_fields = {"image": pictures, "last_image": pictures, "video": clips, "extend": clips}
        return {n: few[-_MOST_SUGGESTED:] for n, few in {**of_fields, "mask": masks}.items()}

    def _upload(self, field: str) -> Upload:
        kept = f"copied to the folder {FOLDER}" if field in _CHECKS else "kept in a variable"
        upload: Upload = make(
            Upload,
            partial(self._received, field),
            partial(self._refused, field),
            label=label(field),
            accept=_ACCEPT[field],
            limit=_LIMITS[field],
            help=f"up to {_LIMITS[field] / 1e6:,.0f} MB, {kept}",
        )
        return upload

    def _received(self, field: str, name: str, data: bytes) -> None:
        try:
            if field in _CHECKS:
                path = _written(field, name, data)
                self.errors.pop(field, None)
                self._enter(field, path)
            else:
                self.add(field, _checked(field, data))
        except CogMagicError as error:
            self._refused(field, f"{error} Upload another.")

    def _refused(self, field: str, reason: str) -> None:
        self.errors[field] = reason
        self._changed()


def _checked(field: str, data: bytes) -> Any:
    """The picture, or the bytes of the clip.

    Raises:
        RequestError: for anything else.
    """
    if field in ("image", "last_image"):
        return as_picture(data)
    clip_of(data)
    return data


def _written(field: str, name: str, data: bytes) -> str:
    """Write a LoRA or a mask to a new file in the folder, and return its path.

    Raises:
        RequestError: for a file of another kind, and for no mask; that is not kept.
        CheckpointError: for a LoRA that is damaged, or not of CogVideoX; it is not kept.
        OutputError: where it cannot be written.
    """
    stem, dot, kind = Path(name).name.rpartition(".")
    if field == "lora" and (kind.lower() != "safetensors" or not stem):
        raise RequestError(f"{name} is not a .safetensors file.")
    stem = re.sub(r"[^\w.-]+", "-", stem).strip(".-")[:_MOST_LETTERS] or field
    kind = re.sub(r"\W+", "", kind)[:12].lower()
    names = (stem, *(f"{stem}-{i}" for i in range(2, 1000)))
    folder = Path(FOLDER)
    try:
        folder.mkdir(exist_ok=True)
        path = next(p for p in (folder / f"{n}{dot}{kind}" for n in names) if not p.exists())
        write_atomically(path, data)
    except OSError as error:
        raise OutputError(
            f"The folder {FOLDER} of the working directory cannot be written ({error.strerror})."
        ) from None
    try:
        _CHECKS[field](path)
    except CogMagicError:
        path.unlink()
        with suppress(OSError):  # it has other files
            folder.rmdir()
        raise
    return str(path)
