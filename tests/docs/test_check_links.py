"""The script that checks the links of the built site."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

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


class Answering(BaseHTTPRequestHandler):
    """Answers with the status that the path names; hangs up for 0."""

    def do_GET(self) -> None:
        if status := int(self.path.strip("/")):
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_outside_links_are_good_broken_refused_or_not_reached(tmp_path: Path) -> None:
    script = site_module("check_links")
    with (
        ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server,
        ThreadingHTTPServer(("127.0.0.1", 0), Answering) as silent,
    ):
        for each in (server, silent):
            Thread(target=each.serve_forever, args=(0.05,), daemon=True).start()
        here, there = (f"http://127.0.0.1:{each.server_port}" for each in (server, silent))
        links = [f"{here}/{status}" for status in (200, 404, 410, 403, 503)]
        links += [f"{there}/0", f"{here}/200#part", "http://no-such-host.invalid/", "b.html"]
        (tmp_path / "a.html").write_text("".join(f'<a href="{link}">x</a>' for link in links))
        asked = script.outside({tmp_path: script.Page(tmp_path / "a.html")})
        answers = script.ask(asked, seconds=60)
        for each in (server, silent):
            each.shutdown()
    assert len(asked) == 7
    assert sorted(answers.broken) == [f"{here}/404", f"{here}/410"]
    assert sorted(answers.refused) == [f"{here}/403", f"{here}/503"]
    assert sorted(answers.unreachable) == [there.removeprefix("http://"), "no-such-host.invalid"]
    assert sum("cannot be reached" in line for line in answers.lines()) == 2
