"""Finished chunks of a long clip after memory ran out: kept for the next tier, and no longer."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cogmagic
from cogmagic import Cancelled, OutOfMemoryError, Progress
from cogmagic._models.checkpoints import identify
from cogmagic._pipeline.chunks import FinishedChunks
from cogmagic._session.session import Session
from tests.helpers.clips import numbered
from tests.helpers.toy import PROMPT


@pytest.fixture
def in_two_chunks(toy_void: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Options of a video of two chunks."""
    monkeypatch.setattr(identify, "VOID_MOST", 30)
    clip, part = np.stack([numbered(n, (32, 32)) for n in range(40)]), np.zeros((32, 32), bool)
    part[10:20, 10:20] = True
    options = {"model": str(toy_void), "video": clip, "mask": part, "size": "32x32"}
    return options | {"num_inference_steps": 1, "seed": 1}


def failing(seen: list[Progress], *failures: BaseException) -> Callable[[Progress], None]:
    """What raises a failure each time the second of two chunks has been denoised."""
    left = [*failures]

    def follow(progress: Progress) -> None:
        seen.append(progress)
        if (progress.phase, progress.done) == ("denoise", 2) and left:
            raise left.pop(0)

    return follow


def test_finished_chunks_are_kept(
    in_two_chunks: dict[str, Any], cwd: Path, session: Session
) -> None:
    plain = cogmagic.generate(PROMPT, **in_two_chunks)
    seen: list[Progress] = []
    video = cogmagic.generate(PROMPT, on_progress=failing(seen, MemoryError()), **in_two_chunks)
    assert video.report.tier == "staged"
    assert video.report.frames_sha256 == plain.report.frames_sha256
    assert "with no offload after 1 of 2 chunks, host memory ran out" in video.facts_line()
    denoising = [(p.note, p.done, p.total) for p in seen if p.phase == "denoise"]
    second = [("chunk 2 of 2", 1, 2), ("", 2, 2)]
    assert denoising == [("chunk 1 of 2", 0, 2), ("", 1, 2), *second, *second]
    kept = "staged loading after no offload ran out of memory, keeping 1 of 2 chunks"
    assert f"void, {kept}" in [p.note for p in seen]


@pytest.mark.parametrize(
    ("failures", "error", "text"),
    [
        (
            [MemoryError, MemoryError],
            OutOfMemoryError,
            "no offload: after 1 of 2 chunks, host .* with staged loading: after 1 of 2 chunks",
        ),
        ([MemoryError, KeyboardInterrupt], Cancelled, "Stopped"),
    ],
    ids=["memory", "cancel"],
)
def test_no_finished_chunk_stays_after_an_error(
    in_two_chunks: dict[str, Any],
    cwd: Path,
    session: Session,
    failures: list[type[BaseException]],
    error: type[Exception],
    text: str,
) -> None:
    follow = failing([], *(failure() for failure in failures))
    with pytest.raises(error, match=text):
        cogmagic.generate(PROMPT, on_progress=follow, **in_two_chunks)
    gc.collect()
    assert not [one for one in gc.get_objects() if type(one) is FinishedChunks]
    assert not list(cwd.iterdir())
