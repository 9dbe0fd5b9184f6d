"""The inputs of a request by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cogmagic._models.clips.clip import Clip
from cogmagic._models.masks.mask import Mask

__all__ = ["GivenInputs"]


class GivenInputs:
    """What has inputs beside a text: see `cogmagic._models.inputs.INPUTS`."""

    inputs: Mapping[str, Any]

    @property
    def image(self) -> Any:
        """The first frame as a ``PIL.Image.Image``, or None."""
        return self.inputs.get("image")

    @property
    def last_image(self) -> Any:
        """The last frame as a ``PIL.Image.Image``, or None."""
        return self.inputs.get("last_image")

    @property
    def video(self) -> Clip | None:
        """The video to begin from, or None."""
        return self.inputs.get("video")

    @property
    def mask(self) -> Mask | None:
        """The part of the video that is made new, or None."""
        return self.inputs.get("mask")

    @property
    def extend(self) -> Clip | None:
        """The clip from whose end the new frames go on, or None."""
        return self.inputs.get("extend")
