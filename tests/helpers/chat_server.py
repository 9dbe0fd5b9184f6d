"""A server that speaks OpenAI's chat completions, on this machine."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event
from typing import Any


def completion(text: Any, **choice: Any) -> bytes:
    """The body of an answer with this text."""
    message = {"role": "assistant", "content": text}
    answer = {"object": "chat.completion", "choices": [{"index": 0, "message": message} | choice]}
    return json.dumps(answer).encode()


class Chat(ThreadingHTTPServer):
    """The server: its next answer, and what has arrived."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[tuple[str, dict[str, str], Any]] = []
        """Path, headers by lower-case name, and JSON."""
        self.asked, self.may_answer = Event(), Event()
        """Whether a request has arrived, and whether it gets its answer now."""
        self.may_answer.set()
        self.answer()

    def answer(
        self, body: bytes = completion("A red fox."), status: int = 200, **headers: str
    ) -> None:
        """Answer so from now on; ``Content_Type`` is a header."""
        self.body, self.status = body, status
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        self.headers = {"Content-Type": "application/json"} | given

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no news."""


class _Handler(BaseHTTPRequestHandler):
    server: Chat

    def do_POST(self) -> None:
        sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.requests.append((self.path, headers, sent))
        may_answer = self.server.may_answer  # a test may replace it once it knows of the request
        self.server.asked.set()
        may_answer.wait()
        self.send_response(self.server.status)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, *_: Any) -> None:
        """Keep the tests' output clean."""


@contextmanager
def serving() -> Iterator[Chat]:
    """The server, in a thread of its own."""
    with Chat() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()
