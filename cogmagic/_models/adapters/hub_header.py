"""The header of a LoRA file of the hub, read by a range request."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from cogmagic._errors import CheckpointError, first_line
from cogmagic._models.checkpoints.weights import StoredTensor, Weights
from cogmagic._models.hub.listing import Listing

__all__ = ["hub_header"]


_TIMEOUT = 10.0
"""Seconds that the hub may take to answer."""


def hub_header(listing: Listing, path: str) -> Weights:
    """The header of a file of the hub.

    Raises:
        CheckpointError: for an answer that is not one, or that does not fit the file's length.
    """
    from huggingface_hub import constants

    label = f"{listing.repo_id}/{path}"
    try:
        header = _ask_header(constants.ENDPOINT, listing.repo_id, path, listing.commit)
        tensors, end = {}, 0
        for name, info in header.tensors.items():
            shape = tuple(info.shape)
            if any(type(side) is not int or side < 0 for side in shape):
                raise ValueError(f"{name:.40} has the shape {shape!s:.40}")
            tensors[name] = StoredTensor(name, str(info.dtype), shape, Path(path))
            end = max(end, int(info.data_offsets[1]))
        metadata = {str(key): str(value) for key, value in dict(header.metadata or {}).items()}
    except (AttributeError, LookupError, TypeError, ValueError, RecursionError) as error:
        raise _damaged(label, listing.sizes[path], first_line(error)) from None
    if 0 < listing.sizes[path] < end:  # 0 where the hub gives no size
        raise _damaged(label, listing.sizes[path], f"its tensors need {end:,}")
    return Weights(tensors, metadata)


@lru_cache(maxsize=64)
def _ask_header(endpoint: str, repo_id: str, path: str, commit: str) -> Any:
    """The header of a file at a commit, by a range request; remembered, for it cannot change."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import SafetensorsParsingError

    try:
        return HfApi(endpoint=endpoint).parse_safetensors_file_metadata(
            repo_id, path, revision=commit, timeout=_TIMEOUT
        )
    except SafetensorsParsingError as error:
        raise ValueError(first_line(error)) from None


def _damaged(label: str, nbytes: int, reason: str) -> CheckpointError:
    return CheckpointError(
        f"{label} on the hub is not a sound .safetensors file ({nbytes:,} bytes: {reason})."
        " Use another file or repository."
    )
