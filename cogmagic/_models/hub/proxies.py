"""The proxy of a request to the hub, from the environment, and what is wrong with its URL."""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass
from importlib.util import find_spec
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

__all__ = ["Proxy", "bypass", "configured_proxies", "proxy_for", "renew_session"]


_SCHEMES = ("http", "https", "socks5", "socks5h")
"""Schemes of proxies that the hub client knows."""


_HOST = r"(?!-)[\w-]{1,63}(\.[\w-]{1,63})*\.?"
"""Names of hosts that the resolver accepts."""


_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")


@dataclass(frozen=True)
class Proxy:
    """A proxy of the environment: the variable that names it, and its URL."""

    name: str
    url: str

    def __str__(self) -> str:
        """``HTTPS_PROXY=http://user:***@host:8080``, without the password."""
        start = re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", self.url)
        scheme = start[0] if start else ""
        credentials, at, address = self.url.removeprefix(scheme).rpartition("@")
        user, colon, _ = credentials.partition(":")
        if not at and not address.startswith("["):  # a forgotten @ leaves the password here
            address = re.sub(r"(?<=:)[^/]*(?=:)", "***", address)
        return f"{self.name}={scheme}{user}{colon and ':***'}{at}{address}"[:120]

    @property
    def scheme(self) -> str:
        """The scheme in lower case; the hub client takes a URL without one for ``http``."""
        scheme, separator, _ = self.url.partition("://")
        return scheme.lower() if separator else "http"

    @property
    def has_credentials(self) -> bool:
        """Whether the URL has a user name."""
        return "@" in self.url

    @property
    def lacks_package(self) -> bool:
        """Whether it is a SOCKS proxy, and the package for those is not installed."""
        return self.scheme.startswith("socks") and find_spec("socksio") is None

    @property
    def flaw(self) -> str | None:
        """What is wrong with the URL, or None."""
        if re.search(r"[\s\"'<>`]", self.url) or not self.url.isprintable():
            return "it has spaces, quotes or control characters"
        scheme, separator, rest = self.url.partition("://")
        if not separator:
            rest = self.url
            if re.match(r"(https?|socks\w*)(:?/|:(?!\d+$))", rest, re.IGNORECASE):
                return "it lacks :// after the scheme"
        elif self.scheme not in _SCHEMES:
            # Text of another form may hold a password.
            shown = repr(scheme) if re.fullmatch(r"[A-Za-z0-9+.-]{0,20}", scheme) else "before ://"
            return f"the scheme {shown} is none of {', '.join(_SCHEMES)}"
        credentials, _, address = rest.rpartition("@")
        if re.search(r"[/?#]", credentials):
            return "its user name or password has /, ? or #, which are written %2F, %3F and %23"
        return _address_flaw(re.split(r"[/?#]", address)[0])


def _address_flaw(address: str) -> str | None:
    """What is wrong with ``host:port``, or None."""
    match = re.fullmatch(r"(\[.*\]|[^:]*)(?::(.*))?", address)
    if match is None or (address.startswith("[") and not _is_ipv6(match[1])):
        return "its IPv6 address is not one in brackets, such as [::1]"
    host, port = match[1], match[2]
    if not host:
        return "it names no host"
    if not host.startswith("[") and not re.fullmatch(_HOST, host):
        return f"{host!r:.40} is not the name of a host"
    if ":" in (port or ""):
        return (
            "it lacks the @ between the password and the host, or the brackets of an IPv6 address"
        )
    if port and not (re.fullmatch(r"[0-9]{1,5}", port) and 1 <= int(port) <= 65535):
        return f"the port {port!r:.20} is not a number from 1 to 65535"
    return None


def _is_ipv6(host: str) -> bool:
    try:
        ipaddress.IPv6Address(host.strip("[]"))
    except ValueError:
        return False
    return True


def configured_proxies() -> list[Proxy]:
    """The proxies for which the hub client prepares itself, whether a request uses them or not."""
    urls = getproxies()
    if "*" in _exceptions(urls):
        return []
    return [Proxy(_variable(s), urls[s]) for s in ("https", "http", "all") if urls.get(s)]


def proxy_for(url: str) -> Proxy | None:
    """The proxy of a request to `url`, or None."""
    proxy = _proxy_before_exceptions(url)
    return None if proxy is None or bypass(url) else proxy


def bypass(url: str) -> str | None:
    """``NO_PROXY=VALUE`` where it keeps a request to `url` from the proxy, or None."""
    urls = getproxies()
    parts = urlsplit(url)
    matches = any(_matches(parts.hostname or "", word) for word in _exceptions(urls))
    matches = matches or bool(proxy_bypass(parts.netloc.rpartition("@")[2]))
    if not matches or _proxy_before_exceptions(url) is None:
        return None
    return f"{_variable('no')}={urls.get('no', '')}"[:120]


def _proxy_before_exceptions(url: str) -> Proxy | None:
    """The proxy for the scheme of `url`, else for all schemes."""
    urls = getproxies()
    schemes = (urlsplit(url).scheme.lower(), "all")
    return next((Proxy(_variable(s), urls[s]) for s in schemes if s and urls.get(s)), None)


def _exceptions(urls: dict[str, str]) -> list[str]:
    return [word.strip() for word in urls.get("no", "").split(",") if word.strip()]


def _matches(host: str, exception: str) -> bool:
    """Whether a host is in a domain (``*.org``) or network (``10.0.0.0/8``) of ``NO_PROXY``."""
    if exception.startswith("*."):
        return host.endswith(exception[1:].lower())
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(exception, strict=False)
    except ValueError:
        return False


def _variable(scheme: str) -> str:
    """The variable that counts for a scheme: the one in lower case, if both are set."""
    names = [name for name in os.environ if name.lower() == f"{scheme}_proxy" and os.environ[name]]
    names.sort(key=lambda name: name != name.lower())
    return names[0] if names else "system"


def _environment() -> tuple[tuple[str, str], ...]:
    """The variables that the hub client reads when it opens its session."""
    return tuple(
        sorted(
            (name, value)
            for name, value in os.environ.items()
            if name.lower().endswith("_proxy") or name in _CERTIFICATES
        )
    )


_environment_seen = _environment()


def renew_session(*, failed: bool = False) -> None:
    """Make the hub client read the environment again, where it has changed or a request failed.

    The client keeps one session for the process, with the proxies and certificates that the
    environment named when the session was opened.
    """
    global _environment_seen
    from huggingface_hub import close_session

    environment = _environment()
    if failed or environment != _environment_seen:
        _environment_seen = environment
        close_session()
