"""Errors of the network between this machine and the hub: proxies, certificates, statuses.

Types of the HTTP library are recognised by name: the hub client has changed libraries before.
"""

from __future__ import annotations

import os
import socket
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cogmagic._errors import CheckpointError, causes, error_line, first_line
from cogmagic._models.hub.pages import RETRY, is_page, page_problem
from cogmagic._models.hub.proxies import (
    Proxy,
    bypass,
    configured_proxies,
    proxy_for,
    renew_session,
)

__all__ = ["certificates_flaw", "network_problem", "setup_problem"]


_OTHER_BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""Variables that name CA certificates to other programs; the hub client does not read them."""


def setup_problem(repo_id: str, error: Exception) -> CheckpointError | None:
    """The error for an environment with which the hub client cannot open its session, or None."""
    names = {kind.__name__ for kind in type(error).__mro__}
    if isinstance(error, OSError) and "HTTPError" not in names:
        return _certificates_problem(repo_id)
    if isinstance(error, RuntimeError) and "socksio" in str(error):  # looked for at import only
        return CheckpointError(
            f"{repo_id} cannot be fetched: the package socksio was installed after this kernel had"
            f" imported the hub client. Restart the kernel, and {RETRY}"
        )
    if not isinstance(error, ImportError | ValueError) and "InvalidURL" not in names:
        return None
    for proxy in configured_proxies():
        problem = _proxy_problem(repo_id, proxy)
        if problem is not None:
            return problem
    return None


def network_problem(repo_id: str, error: Exception) -> CheckpointError | None:
    """The error for an HTTP status, or a hub that cannot be reached; None for other errors."""
    from huggingface_hub.errors import HfHubHTTPError, HTTPError

    chain = list(causes(error))
    answers = [e for e in chain if isinstance(e, HfHubHTTPError)]
    if answers:
        return _status_problem(repo_id, answers[-1].response)
    last = next((e for e in chain if isinstance(e, HTTPError) or _is_of_socks(e)), None)
    if last is None:
        return None
    renew_session(failed=True)  # the session may have been opened with another environment
    return _transport_problem(repo_id, last, chain)


def _status_problem(repo_id: str, response: Any) -> CheckpointError:
    """The error for an HTTP status of the hub, or of something that answers in its place."""
    from huggingface_hub import constants

    status, url = response.status_code, str(response.url)
    proxy = proxy_for(url)
    if status == 407:
        renew_session(failed=True)
        return _password_problem(repo_id, proxy)
    if is_page(response) and (status < 500 or status == 511) and status != 429:
        return page_problem(repo_id, f"{urlsplit(url).hostname} sent a web page, status {status}")
    if status == 511:
        return page_problem(repo_id, "status 511, Network Authentication Required")
    advice = "Check your token (`hf auth login`)" if status in {401, 403} else "Wait a little"
    through = f" through the proxy {proxy}" if proxy else ""
    return CheckpointError(
        f"{repo_id} cannot be fetched: {constants.ENDPOINT} answered {status}{through}. {advice},"
        f" and {RETRY}"
    )


def _transport_problem(
    repo_id: str, error: BaseException, chain: list[BaseException]
) -> CheckpointError:
    """The error for a request that had no answer."""
    from huggingface_hub import constants

    url = _url(error) or constants.ENDPOINT
    proxy = proxy_for(url)
    distrust = next((e for e in reversed(chain) if _is_distrust(e)), None)
    if distrust is not None:
        return _distrust_problem(repo_id, url, distrust)
    if type(error).__name__ == "TooManyRedirects":
        return page_problem(repo_id, f"{urlsplit(url).hostname} redirects in a loop")
    if proxy is not None:
        return _proxy_problem(repo_id, proxy) or _no_answer(repo_id, url, proxy, error, chain)
    reason = error_line(error)
    host = urlsplit(url).hostname
    if host != urlsplit(constants.ENDPOINT).hostname:
        reason = f"it redirects to {host}; {reason}"
    exception = bypass(url)
    advice = (
        f"{exception} keeps it from the proxy: change that if this network needs one"
        if exception
        else "Check the network (if it needs a proxy, set HTTPS_PROXY=http://HOST:PORT)"
    )
    return CheckpointError(
        f"{repo_id} cannot be fetched: {constants.ENDPOINT} cannot be reached ({reason})."
        f" {advice}, and {RETRY}"
    )


def _proxy_problem(repo_id: str, proxy: Proxy) -> CheckpointError | None:
    """The error for a proxy whose URL is wrong, or whose package is missing; else None."""
    if proxy.flaw:
        return CheckpointError(
            f"{repo_id} cannot be fetched: the proxy {proxy} is not valid: {proxy.flaw}. Set"
            f" {proxy.name} to http://HOST:PORT or socks5://HOST:PORT, or unset it, and {RETRY}"
        )
    if proxy.lacks_package:
        return CheckpointError(
            f"{repo_id} cannot be fetched: the proxy {proxy} needs the package socksio, which is"
            f" not installed. Type %pip install socksio, restart the kernel, and {RETRY}"
        )
    return None


def _no_answer(
    repo_id: str, url: str, proxy: Proxy, error: BaseException, chain: list[BaseException]
) -> CheckpointError:
    """The error for a request that ended at a proxy, whose URL is valid."""
    text = first_line(error)
    reason = f"{type(error).__name__}: {text}"
    host = urlsplit(url).hostname
    advice = f"Correct {proxy.name} or unset it"
    if type(error).__name__ == "ProxyError" or _is_of_socks(error):
        if text.startswith(("407", "Requested ", "Invalid username")):  # the last two by SOCKS
            return _password_problem(repo_id, proxy, text)
        problem = f"the proxy {proxy} does not connect to {host} ({text})"
        advice = f"Ask who runs it, or add {host} to NO_PROXY, or correct {proxy.name}"
    elif proxy.scheme == "https" and "WRONG_VERSION_NUMBER" in text:
        problem = f"the proxy {proxy} does not use TLS itself ({reason})"
        advice = f"Write http:// in place of https:// in {proxy.name}"
    elif any(isinstance(e, socket.gaierror) for e in chain):
        problem = f"the name of the proxy {proxy} cannot be resolved ({reason})"
    elif type(error).__name__ in {"ConnectError", "ConnectTimeout"}:
        problem = f"the proxy {proxy} cannot be reached ({reason})"
    else:
        problem = f"the connection to {host} through the proxy {proxy} broke ({reason})"
        kind = "a SOCKS" if proxy.scheme.startswith("socks") else "an HTTP"
        advice = f"Check that {proxy.name} names {kind} proxy"
    return CheckpointError(f"{repo_id} cannot be fetched: {problem}. {advice}, and {RETRY}")


def _password_problem(repo_id: str, proxy: Proxy | None, text: str = "407") -> CheckpointError:
    name = proxy.name if proxy else "HTTPS_PROXY"
    refuses = (
        "does not accept its user name and password"
        if proxy and proxy.has_credentials
        else "asks for a user name and password"
    )
    scheme = proxy.scheme if proxy else "http"
    return CheckpointError(
        f"{repo_id} cannot be fetched: the proxy {proxy or ''} {refuses} ({text}). Set {name} to"
        f" {scheme}://USER:PASSWORD@HOST:PORT, and {RETRY}"
    )


def _distrust_problem(repo_id: str, url: str, error: BaseException) -> CheckpointError:
    """The error for a TLS certificate that cannot be verified."""
    reason = getattr(error, "verify_message", "") or first_line(error)
    current = os.environ.get("SSL_CERT_FILE")
    other = next((n for n in _OTHER_BUNDLES if os.environ.get(n)), None)
    value = f"={os.environ[other]} ({other} is not read)" if other else ""
    now = f" (now {current})" if current else ""
    return CheckpointError(
        f"{repo_id} cannot be fetched: the certificate of {urlsplit(url).hostname} cannot be"
        f" verified ({reason}), as with a proxy or virus scanner that inspects TLS. Set"
        f" SSL_CERT_FILE{value or ' to a file with its CA certificate'}{now}, and {RETRY}"
    )


def _certificates_problem(repo_id: str) -> CheckpointError | None:
    """The error for an ``SSL_CERT_FILE`` that cannot be read, or holds no certificates."""
    flaw = certificates_flaw()
    if not flaw:
        return None
    return CheckpointError(
        f"{repo_id} cannot be fetched: {flaw}. Correct it or unset it, and {RETRY}"
    )


def certificates_flaw() -> str:
    """What is wrong with the file that ``SSL_CERT_FILE`` names, a clause; empty for nothing."""
    path = os.environ.get("SSL_CERT_FILE")
    if not path:
        return ""
    try:
        ssl.create_default_context(cafile=path)
    except OSError as error:
        missing = "does not exist" if not Path(path).exists() else f"is not one ({error})"
        return f"the file of CA certificates SSL_CERT_FILE={path} {missing}"
    return ""


def _is_distrust(error: BaseException) -> bool:
    return isinstance(error, ssl.SSLCertVerificationError) or (
        "CERTIFICATE_VERIFY_FAILED" in str(error)
    )


def _is_of_socks(error: BaseException) -> bool:
    """Whether the SOCKS package could not read a proxy's answer."""
    return type(error).__module__.partition(".")[0] == "socksio"


def _url(error: BaseException) -> str | None:
    """The URL of an HTTP error's request; None where it has none."""
    try:
        return str(error.request.url)  # type: ignore[attr-defined]
    except (AttributeError, RuntimeError):
        return None
