"""The answers that docs/troubleshooting.md prints are those that cells give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.notebook import beginner


@pytest.mark.slow
def test_troubleshooting_page_shows_what_cells_answer(shell: Any, cwd: Path) -> None:
    text = beginner.transcript(shell)
    assert text == beginner.stored_transcript()
    assert text.count("\n%") >= 50
    assert len(list(cwd.iterdir())) == text.count("clip.prompt is")  # refused cells leave no file
