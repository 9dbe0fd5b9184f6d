"""Errors of a chat endpoint as one line each: no answer, a status, or an answer without a text."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

from cogmagic._errors import EndpointError, causes, error_line
from cogmagic._models.hub.proxies import configured_proxies, proxy_for

__all__ = ["Answer", "answer_problem", "transport_problem"]


_NEW_KEY = (
    'Type import os, getpass; os.environ["COGMAGIC_API_KEY"] = getpass.getpass() and enter it, or'
    " set the variable before Jupyter starts"
)


@dataclass(frozen=True)
class Answer:
    """A server's answer, without the key where the server repeats it."""

    status: int
    content_type: str
    location: str
    retry_after: str
    body: Any
    """The JSON; None if it is none."""
    length: int
    """Bytes of the body."""


def transport_problem(
    url: str, error: Exception, timeout: float, *, is_local: bool
) -> EndpointError:
    """The error for a request that had no answer, or too long a one."""
    names, host = {kind.__name__ for kind in type(error).__mro__}, urlsplit(url).netloc
    if isinstance(error, OverflowError):
        return EndpointError(
            f"{url} sent more than 1 MB, which is no prompt. Check --endpoint and --endpoint-model."
        )
    if "ConnectTimeout" not in names and names & {"TimeoutError", "TimeoutException"}:
        return EndpointError(
            f"{url} did not answer within {timeout:g} s. Try again, or name a smaller model with"
            " --endpoint-model."
        )
    reason = error_line(error)
    proxy = None if is_local else proxy_for(url)
    for one in [] if is_local else configured_proxies():
        if one.flaw or one.lacks_package:
            problem = one.flaw or "the package socksio is not installed"
            return EndpointError(f"{url} was not asked: the proxy {one}: {problem}. Correct it.")
    if any(isinstance(e, ssl.SSLError) for e in causes(error)):
        advice = "Check the address (http or https?), or set SSL_CERT_FILE for its certificate"
    elif isinstance(error, OSError):  # which HTTP errors are not
        advice = "Check SSL_CERT_FILE and SSL_CERT_DIR"
    elif proxy is not None:
        advice = f"Check the proxy {proxy}"
    elif is_local:
        advice = "Start the server, or correct its port in --endpoint"
    else:
        advice = "Check --endpoint and the network"
    return EndpointError(f"No answer from {host} ({reason}). {advice}.")


def answer_problem(url: str, model: str, answer: Answer, *, has_key: bool) -> EndpointError:
    """The error for a status other than 200, or an answer without a text."""
    status, message = answer.status, _message(answer.body)
    if 300 <= status < 400:
        return _redirect_problem(url, answer.location)
    if 200 <= status < 300 and not message:
        kind = answer.content_type.partition(";")[0][:60] or "no type"
        return EndpointError(
            f"{url} answered without a chat completion ({kind}, {answer.length:,} bytes). Check"
            " --endpoint: it is the base URL of an OpenAI-compatible server, often with /v1."
        )
    if status in (401, 403):
        refuses = "does not accept the key in COGMAGIC_API_KEY" if has_key else "asks for a key"
        reason, advice = refuses, _NEW_KEY
    elif status in (404, 405):
        reason = f"has no chat completions here, or no model {model!r:.80}"
        advice = "Check --endpoint (it often ends in /v1) and --endpoint-model"
    elif status in (402, 429):
        wait = f" in {answer.retry_after} s" if answer.retry_after.isdecimal() else " later"
        reason = "has had too many requests, or your quota is used up"
        advice = f"Try again{wait}"
    elif status >= 500 or status == 408:
        reason, advice = "failed", "Try again later, or see the server's log"
    else:
        reason = f"did not accept the request for the model {model!r:.80}"
        advice = "Check --endpoint-model"
    quote = f": {message}" if message else ""
    return EndpointError(f"{url} {reason} (HTTP {status}{quote}). {advice}.")


def _redirect_problem(url: str, location: str) -> EndpointError:
    """The error for a redirect, with the address to type; a query in it may be a secret."""
    target = urlsplit(urljoin(url, location))
    host = target.netloc.rpartition("@")[2]
    base = f"{target.scheme}://{host}{target.path}".removesuffix("/chat/completions")
    return EndpointError(
        f"{url} redirects to {host or 'nowhere'}. Neither the text nor the key is sent on. If that"
        f" is the server you mean, type --endpoint {base[:200]}"
    )


def _message(body: Any) -> str:
    """What a server says of its error, at most 200 characters; empty if nothing."""
    if not isinstance(body, dict):
        return ""
    error = body.get("error", body.get("message", body.get("detail")))
    text = error.get("message") if isinstance(error, dict) else error
    return " ".join(text.split())[:200].rstrip(".") if isinstance(text, str) else ""
