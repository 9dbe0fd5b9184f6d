"""A batch whose process is killed: the next start makes the rest, each row once, in order."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

import cogmagic
from cogmagic import Progress
from tests.helpers.benchmarks import script

ROWS = 20


@pytest.mark.slow
def test_killed_batch_is_resumed(toy: Path, cwd: Path, session: Any) -> None:
    batch, chance = script("batch"), random.Random()  # noqa: S311
    options = {"model": str(toy), "size": "48x32", "frames": 9, "steps": 1, "guidance_scale": 1}
    batch.run_batch(cwd, ROWS, chance.randrange(2, ROWS), chance, options)
    listed, made = batch.finished(cwd), set[int | None]()
    assert 1 <= len(listed) < ROWS

    def note(progress: Progress) -> None:
        if progress.phase == "denoise":
            made.add(progress.row)

    rows = batch.rows_of(ROWS)
    videos = list(cogmagic.generate_many(rows, save="batch", on_progress=note, **options))
    assert made == set(range(1, ROWS + 1)) - listed
    batch.check_once(cwd, ROWS, [video.path.name for video in videos])
    for number in (0, ROWS - 1):  # of the process that was killed, and of this one
        alone = cogmagic.generate(progress=False, **rows[number] | options)
        assert videos[number].report.frames_sha256 == alone.report.frames_sha256
