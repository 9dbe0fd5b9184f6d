"""The English of the pages: short sentences, and none of the phrases on the list."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.english import wrong
from tests.helpers.pages import NOTEBOOKS, PAGES, name_of


@pytest.mark.parametrize("page", [*PAGES, *NOTEBOOKS], ids=name_of)
def test_page_has_short_sentences_and_no_old_habits(page: Path) -> None:
    lines = list(wrong(page))
    assert not lines, "\n".join(lines)


@pytest.mark.parametrize(
    "text",
    [
        "The plan is made anew.",
        "There are two notebooks for Colab.",
        "Whoever stops the run must wait.",
        "The user is told what to do.",
        "The weights are, " + "as the plan says, " * 16 + "on the GPU.",
        "The model " + "of the family " * 12 + "runs.",
        "| case | There is no room. |",
        "- In order to run it, type the cell.",
    ],
)
def test_check_notices(text: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    assert list(wrong(page))


def test_check_accepts(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    text = "Is there a plan? No: none fits. `there is` is code.\n\n    there is code, too\n"
    page.write_text(
        f"{text}\n```text\nThere is output.\n```\n\nA [link](there is.md) is no text.\n"
    )
    assert not list(wrong(page))
