"""Long clips in chunks: their spans, what each sees of the one before, and the join."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from cogmagic import Request
from cogmagic._models.chunks import CHUNK_OVERLAP, chunk_count, chunk_of, chunk_spans
from cogmagic._models.inputs import placeholders
from cogmagic._models.masks.levels import KEPT, REMOVED
from cogmagic._pipeline.chunks import FinishedChunks, in_chunks
from cogmagic._progress import Clock, Progress


def request(frames: int) -> Request:
    return Request.of("a", "void", num_frames=frames, **placeholders("void", {}))


@pytest.mark.parametrize("frames", [2, 197, 198, 210, 377, 378, 1000, 3600])
def test_chunks_cover_the_clip_with_frames_in_common(frames: int) -> None:
    spans = chunk_spans(request(frames))
    lengths = {stop - start for start, stop in spans}
    assert len(lengths) == 1
    assert max(lengths) <= 197
    assert (spans[0][0], spans[-1][1]) == (0, frames)
    shared = [before - start for (_, before), (start, _) in pairwise(spans)]
    assert all(n >= CHUNK_OVERLAP for n in shared)
    fewest = 1 if frames <= 197 else -(-(frames - CHUNK_OVERLAP) // (197 - CHUNK_OVERLAP))
    assert chunk_count(request(frames)) == fewest
    assert chunk_of(request(frames)).num_frames == lengths.pop()


def test_a_chunk_goes_on_from_the_frames_of_the_one_before() -> None:
    wish, seen = request(400), list[tuple[Any, Any]]()
    clip = np.full((400, 2, 2, 3), 9, np.uint8)
    mask = np.full((400, 2, 2), REMOVED, np.uint8)
    reports: list[Progress] = []

    def make(part: Request, own: Any, levels: Any, clock: Clock) -> Any:
        seen.append((own.copy(), levels.copy()))
        clock.phase("denoise", 2)
        for done in (1, 2):
            clock.step(done, 2)
        return np.full((part.num_frames, 2, 2, 3), 60 * len(seen), np.uint8)

    spans = chunk_spans(wish)
    finished, clock = FinishedChunks(spans), Clock(reports.append)
    frames = in_chunks(wish, clip, mask, clock, None, make, finished)[:, 0, 0, 0]
    assert len(spans) == len(seen) == 3
    for number, (own, levels) in enumerate(seen):
        shared = spans[number - 1][1] - spans[number][0] if number else 0
        assert (own[shared:] == 9).all()
        assert (levels[shared:] == REMOVED).all()
        assert (levels[:shared] == KEPT).all()
        assert (own[: max(shared, 1) - 1, 0, 0, 0] > 50 * number).all()  # what was made
    assert (clip == 9).all()
    steps = np.diff(frames.astype(int))
    assert (frames[0], frames[spans[0][1]], frames[-1]) == (60, 120, 180)
    assert ((steps >= 0) & (steps <= 4)).all()  # 60 levels over 17 frames
    assert [(p.done, p.total) for p in reports] == [
        (0, 6), (1, 6), (2, 6), (2, 6), (3, 6), (4, 6), (4, 6), (5, 6), (6, 6),
    ]  # fmt: skip
    assert reports[3].note == "chunk 2 of 3"


def test_short_clips_are_made_at_once() -> None:
    given = np.zeros((85, 2, 2, 3), np.uint8)
    clock, finished = Clock(print), FinishedChunks(chunk_spans(request(85)))
    made = in_chunks(request(85), given, None, clock, None, lambda *all_: all_[1], finished)
    assert made is given
    assert finished.text == ""


class Short(np.ndarray[Any, Any]):
    """Frames of which the sixth cannot be read for lack of memory."""

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, int) and key == 5:
            raise MemoryError
        return super().__getitem__(key)


def test_another_attempt_goes_on_after_the_finished_chunks() -> None:
    """Memory runs out in the second chunk, and then while the third is joined to it."""
    wish, started = request(400), list[int]()
    clip, mask = np.zeros((400, 2, 2, 3), np.uint8), np.full((400, 2, 2), REMOVED, np.uint8)
    finished, reports = FinishedChunks(chunk_spans(wish)), list[Progress]()
    clock = Clock(reports.append)
    failures = {1, 2}

    def make(part: Request, own: Any, levels: Any, clock: Clock) -> Any:
        number = own[0, 0, 0, 0] // 60  # by the frames of the one before
        started.append(number)
        clock.phase("denoise", 2)
        clock.step(1, 2)
        new = np.full((part.num_frames, 2, 2, 3), 60 * (number + 1), np.uint8)
        if number in failures:
            failures.remove(number)
            if number == 2:
                return new.view(Short)
            raise MemoryError
        clock.step(2, 2)
        return new

    def attempt(finished: FinishedChunks) -> Any:
        return in_chunks(wish, clip, mask, clock, None, make, finished)

    for text, frames in (("1 of 3 chunks", 145), ("2 of 3 chunks", 272)):
        with pytest.raises(MemoryError):
            attempt(finished)
        assert finished.text == text
        assert finished.nbytes == frames * 2 * 2 * 3
        reports.clear()
        clock.start_over("")
    made = attempt(finished)
    assert started == [0, 1, 1, 2, 2]
    denoising = [p for p in reports if p.phase == "denoise"]
    assert [(p.start, p.done, p.total) for p in denoising] == [(4, 4, 6), (4, 5, 6), (4, 6, 6)]
    assert [p.seconds_left is None for p in denoising] == [True, True, False]
    assert {p.note for p in denoising} == {"chunk 3 of 3", ""}
    assert (made == attempt(FinishedChunks(finished.spans))).all()
