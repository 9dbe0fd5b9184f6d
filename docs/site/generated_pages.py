"""Pages that are made while the documentation is built: options, API, tutorials and others.

They are written into ``docs/generated``, which git ignores, and links to their sources lead to
them: a link to ``../notebooks/lora.ipynb`` leads to the tutorial's page on the site, and to the
notebook on GitHub.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from api_page import api_page
from options_page import options_page
from tutorial_pages import tutorial_page

if TYPE_CHECKING:
    from sphinx.application import Sphinx

ROOT = Path(__file__).parents[2]
GENERATED = ROOT / "docs" / "generated"


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("builder-inited", write_pages)
    app.connect("source-read", lead_links_to_pages)
    return {"parallel_read_safe": True}


def write_pages(_: Sphinx) -> None:
    """Write every page whose text has changed, so that an unchanged one is not read again."""
    pages = {"options.md": options_page(), "api.md": api_page()}
    for name in ("CHANGELOG", "CONTRIBUTING"):
        pages[f"{name.lower()}.md"] = (ROOT / f"{name}.md").read_text(encoding="utf-8")
    for notebook in sorted((ROOT / "notebooks").glob("*.ipynb")):
        pages[f"tutorials/{notebook.stem}.md"] = tutorial_page(notebook)
    (GENERATED / "tutorials").mkdir(parents=True, exist_ok=True)
    for old in GENERATED.rglob("*.md"):
        if old.relative_to(GENERATED).as_posix() not in pages:
            old.unlink()
    for name, text in pages.items():
        path = GENERATED / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def lead_links_to_pages(_: Sphinx, docname: str, source: list[str]) -> None:
    """Rewrite the links of a page to what has another address on the site."""
    text = source[0]
    notebooks = r"\]\((?:(?:\.\./)+notebooks/)?([\w-]+)\.ipynb\)"
    text = re.sub(notebooks, r"](/generated/tutorials/\1.md)", text)
    for name in ("CHANGELOG", "CONTRIBUTING"):
        text = re.sub(rf"\]\((?:\.\./)+{name}\.md\)", f"](/generated/{name.lower()}.md)", text)
    if docname.startswith("generated/"):  # whose sources link from other folders
        text = re.sub(r"\]\((?:\.\./)*docs/", "](/", text)
    source[0] = text
