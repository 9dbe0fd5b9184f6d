"""Digests of clips, by which a resumed batch compares them."""

from __future__ import annotations

from hashlib import file_digest, sha256
from typing import Any

from cogmagic._errors import RequestError
from cogmagic._models.clips.clip import Clip
from cogmagic._models.clips.header import VideoFile

__all__ = ["digest_of"]


def digest_of(clip: Clip) -> str:
    """SHA-256 of a clip's content: of its files, or of the data in memory.

    Raises:
        RequestError: for a file that can no longer be read.
    """
    content = sha256()
    for path in clip.files or ():
        try:
            with path.open("rb") as file:
                content.update(file_digest(file, "sha256").digest())
        except OSError as error:
            raise RequestError(f"{path} cannot be read ({error.strerror}).") from None
    if clip.files is None:
        data: Any = clip.source
        if isinstance(data, VideoFile):
            content.update(data.content)  # type: ignore[arg-type]  # bytes, since it has no file
        else:
            content.update(repr(data.shape).encode())
            for frame in data:
                content.update(frame.tobytes())
    return content.hexdigest()
