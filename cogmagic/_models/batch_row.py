"""One row of a batch: the checked request of one video, without the pictures themselves."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from cogmagic._models.clips.clip import Clip, clip_of
from cogmagic._models.clips.digest import digest_of
from cogmagic._models.inputs import INPUTS
from cogmagic._models.masks.mask import Mask
from cogmagic._models.request import Request

__all__ = ["Row", "StoredInput"]


@dataclass(frozen=True)
class StoredInput:
    """An input of a row: its path, or the converted value of what was passed in memory."""

    value: Any
    digest: str
    """SHA-256 of the converted value."""

    @classmethod
    def of(cls, name: str, given: Any) -> StoredInput:
        """The checked input.

        A file is read once to check it and again when its row runs: the pictures of ten thousand
        rows do not fit in memory.

        Raises:
            RequestError: for a value that is not such an input.
        """
        converted = INPUTS[name].convert(given)
        if isinstance(converted, Clip):
            return cls(converted, digest_of(converted))
        if isinstance(converted, Mask):
            named = converted.clip is None and isinstance(given, str | os.PathLike)
            return cls(os.fsdecode(given) if named else converted, converted.digest())
        digest = sha256(f"{converted.size}".encode() + converted.tobytes()).hexdigest()
        if isinstance(given, str | os.PathLike):  # of a class that other processes may lack
            return cls(os.fsdecode(given), digest)
        return cls(converted, digest)


@dataclass(frozen=True)
class Row:
    """One row of a batch, which makes one video."""

    number: int
    """Its place in the batch, from 1."""
    request: Request
    """The checked request, with `ANY_INPUT` in place of each input."""
    drawn: bool = False
    """Whether its seed was drawn at random."""
    inputs: Mapping[str, StoredInput] = field(default_factory=dict)
    """The model's inputs beside the text, by name."""
    after: int = 0
    """The number of the row whose video it extends; 0 for none."""
    earlier: int = 0
    """Frames of the clip that it extends; 0 for none."""

    @property
    def num_frames(self) -> int:
        """Frames of its video."""
        new = self.request.num_frames
        return self.earlier + new - self.request.overlap if self.earlier else new

    def extending(self, before: Row, video: Path) -> Row:
        """The row with the finished video that it extends.

        That one's own clip is read from where it comes, so that no frame is compressed over and
        over.

        Args:
            before: the row of that video, with its clip.
            video: the file.

        Raises:
            RequestError: for a file that cannot be read.
        """
        clip = replace(
            clip_of(video),
            original=before.inputs["extend"].value,
            shared=before.earlier - before.request.overlap,
        )
        return replace(self, inputs={**self.inputs, "extend": StoredInput(clip, "")})

    def complete(self) -> Request:
        """The request with its inputs, whose files are read now.

        Raises:
            RequestError: for a file that can no longer be read.
        """
        if not self.inputs:
            return self.request
        inputs = {name: INPUTS[name].convert(one.value) for name, one in self.inputs.items()}
        return replace(self.request, inputs=inputs)
