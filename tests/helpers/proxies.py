"""Proxies on 127.0.0.1: HTTP (forwarding, CONNECT, login pages) and SOCKS5, with passwords."""

from __future__ import annotations

import base64
import http.client
import select
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler
from socketserver import BaseServer, StreamRequestHandler, ThreadingTCPServer
from typing import Any, TypeVar
from urllib.parse import urlsplit

_Server = TypeVar("_Server", bound=BaseServer)


PAGE = b"<html><body>Accept the terms of this network</body></html>"


class HttpProxy(ThreadingTCPServer):
    """An HTTP proxy, and the requests that it has had."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _HttpHandler)
        self.requests: list[str] = []
        self.password: str | None = None
        """``user:words`` that it asks for."""
        self.refusal: int | None = None
        """Status of its answer to every request."""
        self.portal: Callable[[str], bool] = lambda _: False
        """Which requests (``GET http://…``) are answered with a login page."""
        self.kind: str | None = "text/html"
        """Content type of that page; None to send it in chunks, without type and length."""
        self.login: str | None = None
        """Where the login page is; None if it comes in place of the answer."""

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no news."""


class _HttpHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: HttpProxy

    def do_GET(self) -> None:
        self.server.requests.append(f"{self.command} {self.path}")
        expected = self.server.password
        if expected is not None:
            token = "Basic " + base64.b64encode(expected.encode()).decode()
            if self.headers.get("Proxy-Authorization") != token:
                return self._answer(407, b"", {"Proxy-Authenticate": "Basic"})
        if self.server.refusal is not None:
            return self._answer(self.server.refusal, PAGE, {"Content-Type": "text/html"})
        if self.server.portal(f"{self.command} {self.path}"):
            if self.server.login is not None:
                return self._answer(302, b"", {"Location": self.server.login})
            if self.server.kind is None:
                chunks = b"%x\r\n%s\r\n0\r\n\r\n" % (len(PAGE), PAGE)
                return self._answer(200, chunks, {"Transfer-Encoding": "chunked"})
            return self._answer(200, PAGE, {"Content-Type": self.server.kind})
        if self.command == "CONNECT":
            return self._tunnel()
        return self._forward()

    do_HEAD = do_CONNECT = do_GET

    def log_message(self, *_: Any) -> None:
        """Keep the tests' output clean."""

    def _forward(self) -> None:
        url = urlsplit(self.path)
        upstream = http.client.HTTPConnection(url.hostname or "", url.port)
        headers = {k: v for k, v in self.headers.items() if not k.startswith("Proxy-")}
        upstream.request(self.command, url._replace(scheme="", netloc="").geturl(), headers=headers)
        answer = upstream.getresponse()
        self._answer(answer.status, answer.read(), dict(answer.getheaders()))
        upstream.close()

    def _tunnel(self) -> None:
        host, _, port = self.path.rpartition(":")
        with socket.create_connection((host, int(port))) as upstream:
            self.send_response(200)
            self.end_headers()
            relay(self.connection, upstream)
        self.close_connection = True

    def _answer(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if not {"Content-Length", "Transfer-Encoding"} & set(headers):
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


class SocksProxy(ThreadingTCPServer):
    """A SOCKS5 proxy (RFC 1928, RFC 1929), and the hosts that it has connected to."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _SocksHandler)
        self.hosts: list[str] = []
        self.password: str | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no news."""


class _SocksHandler(StreamRequestHandler):
    server: SocksProxy

    def handle(self) -> None:
        version, count = self.rfile.read(2)
        if version != 5:
            return
        methods = self.rfile.read(count)
        method = 0 if self.server.password is None else 2
        if method not in methods:
            self.wfile.write(b"\x05\xff")
            return
        self.wfile.write(bytes((5, method)))
        if method == 2:
            user = self.rfile.read(self.rfile.read(2)[1])
            password = self.rfile.read(self.rfile.read(1)[0])
            accepted = f"{user.decode()}:{password.decode()}" == self.server.password
            self.wfile.write(bytes((1, not accepted)))
            if not accepted:
                return
        kind = self.rfile.read(4)[3]
        length = {1: 4, 4: 16}.get(kind) or self.rfile.read(1)[0]
        name = self.rfile.read(length)
        host = name.decode() if kind == 3 else str(socket.inet_ntop(socket.AF_INET, name))
        port = int.from_bytes(self.rfile.read(2), "big")
        self.server.hosts.append(host)
        with socket.create_connection((host, port)) as upstream:
            self.wfile.write(b"\x05\x00\x00\x01" + bytes(6))
            relay(self.connection, upstream)


def relay(one: socket.socket, other: socket.socket) -> None:
    """Copy bytes in both directions until either end hangs up."""
    with suppress(OSError):
        while True:
            ready, _, _ = select.select((one, other), (), ())
            for source in ready:
                content = source.recv(65536)
                if not content:
                    return
                (other if source is one else one).sendall(content)


@contextmanager
def running(server: _Server) -> Iterator[_Server]:
    """A server that answers in a thread of its own."""
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
