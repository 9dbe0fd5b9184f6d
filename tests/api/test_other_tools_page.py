"""docs/other-tools.md: what it says to type in place of another tool's option exists."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import cogmagic
from cogmagic._api.options.parser import parse_line
from cogmagic._api.options.table import cell_options
from cogmagic._models.other_tools import known_elsewhere
from cogmagic._notebook.verbs import VERBS

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "other-tools.md").read_text(encoding="utf-8")
VIDEO = {*dir(cogmagic.Video), *inspect.get_annotations(cogmagic.Video)}


def rows() -> Iterator[list[str]]:
    """The cells of each row of the page's tables, without their headings."""
    lines = PAGE.replace(r"\|", "¦").splitlines()
    for line, below in zip(lines, [*lines[1:], ""], strict=True):
        if line.startswith("|") and not line.startswith("|-") and not below.startswith("|-"):
            yield [cell.strip() for cell in line.strip("|").split(" | ")]


def typed() -> list[str]:
    """The code of the page, without the columns of the other tools."""
    prose = "\n".join(line for line in PAGE.splitlines() if not line.startswith(("|", "#")))
    return re.findall("`([^`]+)`", "\n".join([prose, *(cells[-1] for cells in rows())]))


LINES = sorted({code for code in typed() if code.startswith("--")})


def test_every_option_of_another_tool_has_an_answer() -> None:
    answers = [cells for cells in rows() if len(cells) == 2]
    assert len(answers) > 120
    assert all(all(cells) for cells in answers)


def test_page_names_enough_options_to_be_a_check() -> None:
    named = {word.split("=")[0] for line in LINES for word in line.split() if word[:2] == "--"}
    assert len(named) > 25


@pytest.mark.parametrize("line", LINES)
def test_options_are_those_of_a_cell(line: str) -> None:
    options = {option.dest: option for option in cell_options()}
    for dest, value in parse_line(line, "%%cogvideo").items():
        if dest not in ("width", "height") and (choices := options[dest].choices):
            assert value in choices


def test_cells_answer_the_options_that_have_an_answer() -> None:
    flags = {flag for option in cell_options() for flag in option.flags}
    for options, answer in (cells for cells in rows() if len(cells) == 2):
        for option in re.findall(r"`(--\w+)", options):
            if "not supported" not in answer:
                assert option.replace("_", "-") in flags or known_elsewhere(option), option


def test_python_and_verbs_exist() -> None:
    dests = {option.dest for option in cell_options()}
    dests |= {*inspect.signature(cogmagic.generate).parameters, "num_videos"}
    for code in typed():
        if match := re.fullmatch(r"(cogmagic|video)\.(\w+)(\(\))?", code):
            assert match[2] in {"cogmagic": dir(cogmagic), "video": VIDEO}[match[1]]
        elif code.startswith("%cogvideo "):
            assert code.split()[1] in VERBS
        elif match := re.fullmatch(r"(\w+)=\w*", code):
            assert match[1] in dests
