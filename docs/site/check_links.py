"""Check the links of the built site: every internal one, or with --external every outside one.

python docs/site/check_links.py build/site               # files and anchors; connects to nothing
python docs/site/check_links.py build/site --external    # asks each server; not part of CI

Of outside links, pages are checked and not their anchors. It exits with 1 unless every link was
reached and is good; hosts that cannot be reached are listed once, and nothing is claimed of them.
"""

from __future__ import annotations

import http.client
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
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


@dataclass
class Answers:
    """What the servers of outside links answered."""

    broken: dict[str, str] = field(default_factory=dict)
    """Links of which the server says that there is no such page."""
    refused: dict[str, str] = field(default_factory=dict)
    """Links that a server does not show to a script, or not now: to be opened in a browser."""
    unreachable: dict[str, str] = field(default_factory=dict)
    """Hosts that were not reached, whose links say nothing."""

    def lines(self) -> Iterator[str]:
        """One line for each link or host."""
        yield from (f"{link}: {reason}" for link, reason in sorted(self.broken.items()))
        for link, reason in sorted(self.refused.items()):
            yield f"{link}: {reason}, open it in a browser"
        for host, reason in sorted(self.unreachable.items()):
            yield f"{host} cannot be reached ({reason}): its links were not checked"


def outside(pages: dict[Path, Page]) -> list[str]:
    """The links to other sites, without what follows a ``#``, each once."""
    links = {link.partition("#")[0] for page in pages.values() for link in page.links}
    return sorted(link for link in links if re.match("https?://", link))


def ask(links: list[str], seconds: float = 20) -> Answers:
    """Ask each server for its links, those of a host one after the other."""
    by_host: dict[str, list[str]] = {}
    for link in links:
        by_host.setdefault(urlsplit(link).netloc, []).append(link)
    answers = Answers()
    with ThreadPoolExecutor(8) as pool:
        for _ in pool.map(lambda own: _ask_host(own, answers, seconds), by_host.values()):
            pass
    return answers


def _ask_host(links: list[str], answers: Answers, seconds: float) -> None:
    for link in links:
        request = urllib.request.Request(link, headers={"User-Agent": "Mozilla/5.0"})  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=seconds):  # noqa: S310 - http and https
                pass
        except urllib.error.HTTPError as error:
            kind = answers.broken if error.code in (404, 410) else answers.refused
            kind[link] = f"{error.code} {error.reason}"
        except (OSError, http.client.HTTPException) as error:  # no answer at all
            reason = getattr(error, "reason", error)
            answers.unreachable[urlsplit(link).netloc] = str(reason) or type(error).__name__
            return


def main() -> None:
    site = Path(sys.argv[1]).resolve()
    pages = {path: Page(path) for path in site.rglob("*.html")}
    assert pages, f"no pages in {site}"
    if "--external" in sys.argv:
        links = outside(pages)
        answers = ask(links)
        wrong, count = list(answers.lines()), len(links)
        sums = f"{len(answers.broken)} broken, {len(answers.refused)} to be opened in a browser,"
        sums += f" {len(answers.unreachable)} hosts not reached"
    else:
        wrong = list(broken(site, pages))
        count, sums = sum(len(page.links) for page in pages.values()), f"{len(wrong)} broken"
    print(*wrong, f"{len(pages)} pages, {count} links, {sums}", sep="\n")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
