"""A batch whose process is killed: the next start makes the rest, each row once, in order."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.helpers.benchmarks import script


@pytest.mark.slow
def test_killed_batch_is_resumed(tmp_path: Path) -> None:
    lines = script("batch").measured(tmp_path, rows=20, kills=1, chance=random.Random())  # noqa: S311
    assert lines[0]["finished"] >= 1
    assert lines[-1]["made_last"] == 20 - lines[0]["finished"]
