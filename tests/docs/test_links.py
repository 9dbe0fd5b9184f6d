"""Links between the files of the repository, as GitHub resolves them: pages, notebooks, anchors."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.helpers.pages import NOTEBOOKS, PAGES, markdown, name_of, without_code


def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, by GitHub's rule."""
    headings = re.findall(r"^#+ (.+?)\s*$", without_code(markdown(path)), re.MULTILINE)
    plain = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading) for heading in headings]
    return {re.sub(r"[^\w -]", "", h).strip().lower().replace(" ", "-") for h in plain}


@pytest.mark.parametrize("page", [*PAGES, *NOTEBOOKS], ids=name_of)
def test_links_lead_to_files_and_headings(page: Path) -> None:
    text = re.sub(r"`[^`\n]*`", "", without_code(markdown(page)))
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        address, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", address) or address.startswith("generated/"):
            continue
        target = (page.parent / address).resolve() if address else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link
