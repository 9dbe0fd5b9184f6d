"""The script that checks the links of the built site."""

from __future__ import annotations

from pathlib import Path

from tests.docs.test_tables import site_module


def test_broken_links_and_anchors_are_reported(tmp_path: Path) -> None:
    script = site_module("check_links")
    links = ["b.html", "b.html#here", "#top", "https://x.org/y", "data:,z", "c.html", "b.html#gone"]
    body = "".join(f'<a href="{link}">x</a>' for link in links) + '<img src="missing.png">'
    (tmp_path / "a.html").write_text(f'<p id="top">{body}</p>')
    (tmp_path / "b.html").write_text('<h1 id="here">b</h1>')
    pages = {path: script.Page(path) for path in tmp_path.glob("*.html")}
    assert sorted(script.broken(tmp_path, pages)) == [
        "a.html: b.html#gone: no such anchor",
        "a.html: c.html: no such file",
        "a.html: missing.png: no such file",
    ]
