"""The masks of a batch's rows, each read once before the first row runs."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from cogmagic._errors import RequestError
from cogmagic._models.batch_row import Row
from cogmagic._progress import Clock
from cogmagic._video.mask_reader import with_mask_read

__all__ = ["check_masks"]


def check_masks(rows: Sequence[Row], clock: Clock) -> None:
    """Read the mask of each row as its run will, one in memory at a time.

    Rows that take the same frames of a mask share the check.

    Args:
        rows: those that are to be made.
        clock: receives the phase ``read masks``, and may stop it.

    Raises:
        RequestError: for the first row whose mask selects nothing or all, is a picture, is damaged
            or has changed, with the row's number.
    """
    distinct: dict[Hashable, Row] = {}
    for row in rows:
        if "mask" in row.inputs:
            distinct.setdefault(_read_by(row), row)
    if not distinct:
        return
    clock.phase("read masks", len(distinct))
    for number, row in enumerate(distinct.values(), 1):
        try:
            with_mask_read(row.complete(), clock.check)
        except RequestError as error:
            raise RequestError(f"Row {row.number}: {error}") from None
        clock.step(number, len(distinct))
    clock.end()


def _read_by(row: Row) -> Hashable:
    """All that decides which pixels a row takes of its mask."""
    r = row.request
    inputs = tuple((name, one.digest) for name, one in sorted(row.inputs.items()))
    path = row.inputs["mask"].value  # whose name may say what white stands for
    named = path if isinstance(path, str) else ""
    return inputs, named, r.start, r.fps, r.num_frames, r.size, r.fit, r.invert_mask
