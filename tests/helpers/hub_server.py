"""A small Hugging Face hub on 127.0.0.1: real HTTP for the real client, with faults on demand."""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

AGENTS = {
    "standardEnvVars": ["AI_AGENT", "AGENT"],
    "harnesses": {"some-agent": {"envVars": {"SOME_AGENT": "*"}}},
}
"""The answer of ``/api/agent-harnesses``: how the hub client recognises the agent that runs it."""

_INFO = re.compile(r"/api/models/([^/]+/[^/]+)(?:/revision/([^/]+))?")
_TREE = re.compile(r"/api/models/([^/]+/[^/]+)/tree/([^/]+)")
_FILE = re.compile(r"/(?:cdn/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)")


@dataclass(frozen=True)
class Sent:
    """A request as it arrived, with its headers' names in lower case."""

    method: str
    path: str
    headers: dict[str, str]

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass
class Repository:
    """A folder served as a model, and how it misbehaves."""

    folder: Path
    commit: str = "1" * 40
    status: int = 200
    """What every request for it is answered with; 403 means gated."""
    cut_after: dict[str, int] = field(default_factory=dict)
    """Bytes of a file that an answer holds before the connection breaks."""
    cuts: int = 10**9
    """How many answers are cut before all goes well."""
    silent_seconds: float = 0.0
    """How long such a connection is silent before it breaks."""
    seconds_per_chunk: float = 0.0
    ranges: bool = True
    """Whether ``Range`` is obeyed."""
    corrupt: set[str] = field(default_factory=set)
    """Files of which one byte arrives changed."""
    claimed: dict[str, int] = field(default_factory=dict)
    """Lengths announced instead of the true ones."""
    xet: bool = False
    """Whether large files are offered through Xet as well, as on the real hub."""

    def size(self, path: str) -> int:
        return self.claimed.get(path, (self.folder / path).stat().st_size)

    def info(self) -> dict[str, Any]:
        paths = sorted(p for p in self.folder.rglob("*") if p.is_file())
        siblings = []
        for path in paths:
            name = path.relative_to(self.folder).as_posix()
            entry: dict[str, Any] = {"rfilename": name, "size": self.size(name)}
            if is_lfs(path):
                lfs = {"sha256": etag(path), "size": self.size(name), "pointerSize": 134}
                entry |= {"lfs": lfs, "blobId": "0" * 40}
            else:
                entry |= {"blobId": etag(path)}
            siblings.append(entry)
        return {"_id": "0", "id": "x/y", "sha": self.commit, "siblings": siblings}

    def tree(self) -> list[dict[str, Any]]:
        """The same listing in the words of the other endpoint."""
        entries = []
        for file in self.info()["siblings"]:
            entry = {"type": "file", "path": file["rfilename"], "size": file["size"]}
            lfs = file.get("lfs")
            more = {"lfs": {**lfs, "oid": lfs["sha256"]}} if lfs else {}
            entries.append({**entry, "oid": file["blobId"], **more})
        return entries


class Hub(ThreadingHTTPServer):
    """The server: its repositories, and the requests that it has had."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories: dict[str, Repository] = {}
        self.requests: list[str] = []
        """``GET owner/name path start-`` for every file's content, and ``INFO owner/name``."""
        self.sent: list[Sent] = []
        """Everything that has arrived."""
        self.moved: dict[str, str] = {}
        """Old ids, which are redirected to new ones."""
        self.tokens: dict[str, set[str | None]] = {"hub": set(), "cdn": set()}
        """Who was shown which token."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def gets(self, suffix: str = "") -> list[str]:
        return [r for r in self.requests if r.startswith("GET") and suffix in r]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each answer waits for an acknowledgement, 40 ms
    server: Hub

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    do_POST = do_PUT = do_GET

    def log_message(self, *_: Any) -> None:
        """Keep the tests' output clean."""

    def _answer(self, *, body: bool) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.sent.append(Sent(self.command, self.path, headers))
        path = self.path.partition("?")[0]
        info, tree, file = (r.fullmatch(path) for r in (_INFO, _TREE, _FILE))
        match = info or tree or file
        cdn = path.startswith("/cdn/")
        self.server.tokens["cdn" if cdn else "hub"].add(self.headers.get("Authorization"))
        repository = self.server.repositories.get(match[1]) if match else None
        if match and match[1] in self.server.moved:
            new = self.server.moved[match[1]]
            self._send(307, b"", {"Location": self.path.replace(match[1], new)})
        elif path == "/api/agent-harnesses":
            self._send(200, json.dumps(AGENTS).encode(), {})
        elif match is None or repository is None:
            # The real hub answers so to a stranger: there may be a private one.
            self._refuse(401, "RepoNotFound")
        elif repository.status == 403:
            self._refuse(403, "GatedRepo")
        elif repository.status != 200:
            self._refuse(repository.status, "")
        elif info:
            self.server.requests.append(f"INFO {info[1]}")
            self._send(200, json.dumps(repository.info()).encode(), {})
        elif tree:
            self._send(200, json.dumps(repository.tree()).encode(), {})
        else:
            self._file(repository, match, body=body)

    def _file(self, repository: Repository, match: re.Match[str], *, body: bool) -> None:
        path = repository.folder / match[3]
        if not path.is_file():
            return self._refuse(404, "EntryNotFound", {"X-Repo-Commit": repository.commit})
        content, size = path.read_bytes(), repository.size(match[3])
        headers = {"X-Repo-Commit": repository.commit, "ETag": f'"{etag(path)}"'}
        if is_lfs(path) and not self.path.startswith("/cdn/"):
            # As on the real hub: large files come from another host, by a signed address.
            port = self.server.server_address[1]
            headers |= {"X-Linked-Etag": headers["ETag"], "X-Linked-Size": str(size)}
            headers |= {"Location": f"http://localhost:{port}/cdn{self.path}?signature=x"}
            if repository.xet:
                token = f"{self.server.url}/api/models/{match[1]}/xet-read-token/{match[2]}"
                headers |= {"X-Xet-Hash": etag(path), "Link": f'<{token}>; rel="xet-auth"'}
            return self._send(302, b"elsewhere", headers | {"ETag": '"of the pointer"'})
        if not body:
            return self._send(200, None, headers | {"Content-Length": str(size)})
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        start = int(wanted[1]) if wanted and repository.ranges else 0
        span = f"{wanted[1]}-{wanted[2]}" if wanted else "0-"
        self.server.requests.append(f"GET {match[1]} {match[3]} {span}")
        if wanted and wanted[2] and repository.ranges:
            content = content[: int(wanted[2]) + 1]
        if match[3] in repository.corrupt:
            content = content[:-1] + bytes([content[-1] ^ 1])
        status = 206 if wanted and repository.ranges else 200
        if status == 206:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{size}"
        return self._stream(status, content[start:], headers, repository, match[3])

    def _stream(
        self,
        status: int,
        content: bytes,
        headers: dict[str, str],
        repository: Repository,
        name: str,
    ) -> None:
        self._send(status, None, headers | {"Content-Length": str(len(content))})
        cut = repository.cut_after.get(name) if repository.cuts > 0 else None
        if cut is not None:
            repository.cuts -= 1
            content = content[:cut]
        for at in range(0, len(content), 4096):
            if name.endswith(".safetensors"):
                time.sleep(repository.seconds_per_chunk)
            self.wfile.write(content[at : at + 4096])
        if cut is not None:
            time.sleep(repository.silent_seconds)
            self.close_connection = True

    def _refuse(self, status: int, code: str, headers: dict[str, str] | None = None) -> None:
        self._send(status, b"{}", (headers or {}) | ({"X-Error-Code": code} if code else {}))

    def _send(self, status: int, content: bytes | None, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if content is not None:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if content is not None and self.command != "HEAD":
            self.wfile.write(content)


def is_lfs(path: Path) -> bool:
    return path.suffix in {".safetensors", ".model", ".bin", ".png"}


def etag(path: Path) -> str:
    """The name of a file's content: its SHA-256 if large, else git's SHA-1, as on the hub."""
    return _etag(path, path.stat().st_mtime_ns)


@lru_cache
def _etag(path: Path, _changed: int) -> str:
    content = path.read_bytes()
    if is_lfs(path):
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


@contextmanager
def serving() -> Iterator[Hub]:
    """A hub that runs in a thread."""
    hub = Hub()
    thread = threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
        thread.join()
