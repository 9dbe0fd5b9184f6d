"""The chunks of a long clip: parts of it that are made one after the other. Pure."""

from __future__ import annotations

from dataclasses import replace

from cogmagic._models.request import Request

__all__ = ["CHUNK_OVERLAP", "chunk_count", "chunk_of", "chunk_spans"]


CHUNK_OVERLAP = 17
"""Frames that two chunks share at least: five latent frames. VOID's windows share four."""


def chunk_spans(request: Request) -> tuple[tuple[int, int], ...]:
    """The first frame of each chunk, and the one after its last; of a short clip, of the whole.

    All are equally long, as few and as short as cover the clip.
    """
    frames, most, shared = request.num_frames, request.model.frames.most, CHUNK_OVERLAP
    if frames <= most:
        return ((0, frames),)
    count = -(-(frames - shared) // (most - shared))
    length = -(-(frames + (count - 1) * shared) // count)
    starts = (i * (frames - length) // (count - 1) for i in range(count))
    return tuple((start, start + length) for start in starts)


def chunk_count(request: Request) -> int:
    """In how many chunks a request's video is made."""
    return len(chunk_spans(request))


def chunk_of(request: Request) -> Request:
    """The request for one chunk of a long clip; the request itself for a short one."""
    start, stop = chunk_spans(request)[0]
    return replace(request, num_frames=stop - start)
