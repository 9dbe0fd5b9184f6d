"""The pages that people read: Markdown files and the texts of notebooks."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from tests.helpers.benchmarks import ROOT

HOW_TO = sorted((ROOT / "docs" / "how-to").glob("*.md"))
PAGES = sorted(
    page
    for page in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"))
    if "generated" not in page.parts
)
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def name_of(path: Path) -> str:
    """The path as a person names it."""
    return path.relative_to(ROOT).as_posix()


def markdown(path: Path) -> str:
    """The Markdown of a page, or of all text cells of a notebook."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        return text
    cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "markdown"]
    return "\n\n".join("".join(cell["source"]) for cell in cells)


def blocks(path: Path, language: str) -> Iterator[str]:
    """The fenced code blocks of a language, in order."""
    for found in re.finditer(
        rf"^```{language}\n(.*?)^```$", markdown(path), re.MULTILINE | re.DOTALL
    ):
        yield found[1]


def code_blocks(path: Path) -> Iterator[str]:
    """Every block of code, fenced or indented."""
    text = markdown(path)
    for found in re.finditer(r"^```[\w{}-]*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        yield found[1]
    text = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    for found in re.finditer(r"(?:^ {4}.*\n?(?:\n(?= {4}))*)+", text, re.MULTILINE):
        yield re.sub("^ {4}", "", found[0], flags=re.MULTILINE)


def without_code(text: str) -> str:
    """Markdown without code blocks, indented code and HTML comments."""
    text = re.sub(r"^(```|:::).*?^\1$", "", text, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    return re.sub(r"^(?: {4}|\t).*$", "", text, flags=re.MULTILINE)
