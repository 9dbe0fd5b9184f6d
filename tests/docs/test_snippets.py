"""Snippets of the pages can be pasted into a notebook as they are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.helpers.benchmarks import ROOT
from tests.helpers.pages import NOTEBOOKS, PAGES, code_blocks, name_of

TRANSCRIPT = "troubleshooting.md"
"""The page whose blocks are transcripts: cells with their answers."""


@pytest.mark.parametrize("page", [*PAGES, *NOTEBOOKS], ids=name_of)
def test_cell_magics_are_the_first_line_of_their_block(page: Path) -> None:
    if page.name == TRANSCRIPT:
        return
    for block in code_blocks(page):
        lines = block.strip().splitlines()
        below = [line for line in lines[1:] if re.match("%%cogvideo", line)]
        assert not below, f"a cell magic below other code is a SyntaxError: {below[0]}"
        magics = [line for line in lines if line.startswith("%cogvideo") or "load_ext" in line]
        assert not (lines and lines[0].startswith("%%cogvideo") and magics), block


def test_nothing_installs_cogmagic_from_an_index() -> None:
    sources = [*PAGES, *NOTEBOOKS, *(ROOT / "cogmagic").rglob("*.py")]
    for path in sources:
        for line in path.read_text(encoding="utf-8").splitlines():
            named = re.search(r"pip install[^|\n]*[\s\"'\\]cogmagic(?:\[|==|\b(?![-./\w]))", line)
            assert not named, f"{name_of(path)}: {line.strip()}"
