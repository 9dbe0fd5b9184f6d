"""The chat endpoint that a user names: its address, its key, and one request to it.

The hub client's own `InferenceClient` is not used: without a key it sends the hub's token to any
server, it follows redirects, it reads answers of any length, and it adds ``/v1`` to every path.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from cogmagic._api.endpoint_problems import Answer, answer_problem, transport_problem
from cogmagic._errors import Cancelled, CogMagicError, RequestError, reworded
from cogmagic._version import __version__

if TYPE_CHECKING:
    import httpx2

__all__ = ["KEY", "Endpoint", "Reply", "checked_base_url"]


KEY = "COGMAGIC_API_KEY"
"""The environment variable of the key. It is read while a request is sent, and never stored."""


_PATH = "/chat/completions"


_MOST_BYTES = 1_000_000
"""Bytes of an answer; a prompt and the reasoning before it have some ten thousand."""


_CONNECT_SECONDS = 15.0


_SHORTEST_SECRET = 8
"""Characters of a key that is a secret; local servers take words such as ``none``."""


@dataclass(frozen=True)
class Reply:
    """The text that a server returned."""

    text: str
    is_cut: bool
    """Whether the server cut it at its own limit."""


@dataclass(frozen=True)
class Endpoint:
    """The address of an OpenAI-compatible server's chat completions, and a model's name there."""

    url: str
    model: str

    @classmethod
    def of(cls, base_url: Any, model: Any) -> Endpoint:
        """The endpoint of a base URL, such as ``http://localhost:11434/v1``.

        Raises:
            RequestError: for no URL, one that is not valid, one with a password or a query, a
                missing name of a model, or a key that would travel unencrypted.
        """
        if not base_url:
            raise RequestError(
                "No chat endpoint is named, so nothing was sent. Type --endpoint"
                " http://localhost:11434/v1 --endpoint-model NAME (the address is Ollama's), or set"
                " CogMagic.endpoint and CogMagic.endpoint_model with %config."
            )
        url = _parsed(base_url)
        if not isinstance(model, str) or not model.strip():
            raise RequestError(
                f"No model of {url.host} is named. Type --endpoint-model NAME, such as llama3.1."
            )
        if not _key_is_valid():
            raise RequestError(
                f"{KEY} has spaces, line ends or letters that no HTTP header can hold. Set it to"
                " the key alone."
            )
        endpoint = cls(str(url), model.strip())
        if endpoint.is_readable_by_others and _key():
            raise RequestError(
                f"{url.host} may be another machine, and http would send the key in {KEY}"
                " unencrypted. Use https://, or http://localhost for this machine, or unset the"
                " variable if the server needs no key."
            )
        return endpoint

    @property
    def is_local(self) -> bool:
        """Whether the server is on this machine."""
        name = urlsplit(self.url).hostname or ""
        try:
            return name == "localhost" or ipaddress.ip_address(name).is_loopback
        except ValueError:
            return False

    @property
    def is_readable_by_others(self) -> bool:
        """Whether others on the network can read what is sent."""
        return self.url.startswith("http://") and not self.is_local

    def reply(self, messages: Sequence[Mapping[str, str]], timeout: float) -> Reply:
        """The server's answer to these messages, from one request.

        Args:
            messages: ``role`` and ``content`` of each.
            timeout: seconds until the answer must have come.

        Raises:
            EndpointError: when the server cannot be reached, or gives no text.
            Cancelled: when interrupted.
        """
        problem: CogMagicError | Cancelled
        try:
            answer = self._post({"model": self.model, "messages": messages}, timeout)
        except KeyboardInterrupt:
            problem = Cancelled(f"Stopped before {self.url} had answered.")
        except Exception as error:  # of any kind: its frames hold the key
            problem = transport_problem(self.url, error, timeout, is_local=self.is_local)
        else:
            content = _content(answer)
            if answer.status == 200 and content is not None:
                return content
            problem = answer_problem(self.url, self.model, answer, has_key=bool(_key()))
        # Here, where no caught exception becomes its context.
        raise reworded(problem, _masked(str(problem)))

    def _post(self, payload: Mapping[str, Any], timeout: float) -> Answer:
        import httpx2

        deadline, body = time.monotonic() + timeout, bytearray()
        limits = httpx2.Timeout(timeout, connect=min(timeout, _CONNECT_SECONDS))
        headers = {"User-Agent": f"cogmagic/{__version__}", "Accept-Encoding": "identity"}
        with (
            httpx2.Client(
                auth=_with_key,
                headers=headers | {"Content-Type": "application/json"},
                timeout=limits,
                trust_env=not self.is_local,  # no proxy between this machine and itself
                follow_redirects=False,  # which would take the text, or the key, to another server
            ) as client,
            client.stream("POST", self.url, content=json.dumps(payload)) as response,
        ):
            for chunk in response.iter_bytes():
                body += chunk
                if len(body) > _MOST_BYTES:
                    raise OverflowError
                if time.monotonic() > deadline:
                    raise TimeoutError
            return Answer(
                status=response.status_code,
                content_type=_masked(response.headers.get("content-type", "")),
                location=_masked(response.headers.get("location", "")),
                retry_after=_masked(response.headers.get("retry-after", "")),
                body=_read(bytes(body)),
                length=len(body),
            )


def _parsed(base_url: Any) -> httpx2.URL:
    """The URL of the chat completions; its errors show no part that may be a secret."""
    import httpx2

    text = base_url.strip() if isinstance(base_url, str) else ""
    if re.fullmatch(r"[\w.-]+(:\d{1,5})?(/[\w./-]*)?", text):
        scheme = "http" if text.startswith(("localhost", "127.")) else "https"
        raise RequestError(f"The endpoint lacks its scheme. Type --endpoint {scheme}://{text}")
    try:
        url = httpx2.URL(text)
    except (httpx2.InvalidURL, ValueError):
        url = httpx2.URL("")
    is_server = url.scheme in ("http", "https") and url.host and (url.port or 1) < 2**16
    if not is_server or not text.isprintable() or " " in text:
        raise RequestError(
            "The endpoint is not the URL of a server. Type --endpoint https://HOST/v1, or"
            " --endpoint http://localhost:11434/v1 for Ollama on this machine."
        )
    if url.userinfo or url.query or url.fragment:
        raise RequestError(
            f"The endpoint on {url.host} has a user name, a password or a query, which would be"
            f" shown. Give the address alone, and the key in the environment variable {KEY}."
        )
    path = url.path.rstrip("/").removesuffix(_PATH)
    return url.copy_with(path=(path or "/v1") + _PATH)


def checked_base_url(base_url: str) -> str:
    """A base URL without white space around it; empty for none.

    Raises:
        RequestError: for one that is not valid, or that has a password or a query.
    """
    if base_url.strip():
        _parsed(base_url)
    return base_url.strip()


def _content(answer: Answer) -> Reply | None:
    """The text of a chat completion; None for an answer of another form."""
    try:
        choice = answer.body["choices"][0]
        content = choice["message"]["content"]
        if isinstance(content, list):  # of parts
            content = "".join(part["text"] for part in content if part.get("type") == "text")
    except (LookupError, TypeError, AttributeError):
        return None
    if not isinstance(content, str | None):
        return None
    return Reply(content or "", is_cut=choice.get("finish_reason") == "length")


def _read(body: bytes) -> Any:
    """The JSON of an answer, with the key masked; None for anything else."""
    try:
        return _masked(json.loads(body))
    except (ValueError, RecursionError):
        return None


def _masked(value: Any) -> Any:
    """`value` without the key, which a server may repeat."""
    if isinstance(value, dict):
        return {name: _masked(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_masked(one) for one in value]
    secret = isinstance(value, str) and len(_key()) >= _SHORTEST_SECRET
    return value.replace(_key(), "***") if secret else value


def _key() -> str:
    return os.environ.get(KEY, "").strip()


def _key_is_valid() -> bool:
    return re.fullmatch(r"[!-~]*", _key()) is not None


def _with_key(request: httpx2.Request) -> httpx2.Request:
    if _key():
        request.headers["Authorization"] = f"Bearer {_key()}"
    return request
