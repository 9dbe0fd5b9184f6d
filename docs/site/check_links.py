"""Check the links of the built site: every internal one, or with --external every outside one.

python docs/site/check_links.py build/site               # files and anchors; connects to nothing
python docs/site/check_links.py build/site --external    # asks each server; not part of CI
"""

from __future__ import annotations

import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """The links and anchors of an HTML page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.anchors: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, _tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("href", "src") and value and not value.startswith("data:"):
                self.links.add(value)
            elif name == "id" and value:
                self.anchors.add(value)


def broken(site: Path, pages: dict[Path, Page]) -> Iterator[str]:
    """The internal links that lead to no file, or to no anchor in it."""
    for path, page in pages.items():
        for link in sorted(page.links):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            anchors = pages[target].anchors if target in pages else set()
            if not target.exists():
                yield f"{path.relative_to(site)}: {link}: no such file"
            elif target in pages and unquote(parts.fragment) not in {"", *anchors}:
                yield f"{path.relative_to(site)}: {link}: no such anchor"


def unreachable(pages: dict[Path, Page]) -> Iterator[str]:
    """The outside links to which a server answers with an error, or not at all."""
    links = {link.partition("#")[0] for page in pages.values() for link in page.links}
    for link in sorted(link for link in links if link.startswith("https://")):
        request = urllib.request.Request(link, headers={"User-Agent": "Mozilla/5.0"})  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=20):  # noqa: S310 - https alone
                pass
        except (urllib.error.URLError, TimeoutError) as error:
            yield f"{link}: {error}"


def main() -> None:
    site = Path(sys.argv[1]).resolve()
    pages = {path: Page(path) for path in site.rglob("*.html")}
    assert pages, f"no pages in {site}"
    external = "--external" in sys.argv
    wrong = list(unreachable(pages) if external else broken(site, pages))
    links = sum(len(page.links) for page in pages.values())
    print(*wrong, f"{len(pages)} pages, {links} links, {len(wrong)} broken", sep="\n")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
