"""Addresses of clusters, as a person types them: ``local``, ``HOST:PORT``, ``ray://HOST:PORT``."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass

from cogmagic._errors import ClusterError, RequestError, did_you_mean

__all__ = ["Address", "check_reachable"]

_CONNECT_SECONDS = 5.0
"""How long a cluster may take to accept a connection."""

_HEAD_PORT, _CLIENT_PORT, _DASHBOARD_PORT = 6379, 10001, 8265
"""Ray's default ports: of the head, of Ray's client server there, and of the dashboard."""

_WAYS = (
    "Type %cogvideo cluster local for this machine's GPUs, %cogvideo cluster HOST:6379 on a machine"
    " of a cluster, or %cogvideo cluster ray://HOST:10001 from outside it"
)
_HOST = re.compile(r"\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9_](?:[A-Za-z0-9._-]*))")


@dataclass(frozen=True)
class Address:
    """Where a cluster is: on this machine alone, or at the address of its head."""

    host: str = ""
    """Empty for a cluster of this machine alone."""
    port: int = 0
    client: bool = False
    """Whether this machine is outside the cluster: Ray's client connects it."""

    @classmethod
    def of(cls, typed: str) -> Address:
        """The address that a person has typed.

        Raises:
            RequestError: for anything else, with the nearest address.
        """
        text = typed.strip() if isinstance(typed, str) else ""
        if not text:
            raise RequestError(f"No address of a cluster was given. {_WAYS}.")
        if text.lower() == "local":
            return cls()
        scheme, separator, place = text.rpartition("://")
        client = scheme.lower() == "ray"
        if separator and not client:
            raise _wrong(typed, _of_url(place))
        host, port = _host(typed, place, client)
        return cls(host, port, client)

    @property
    def local(self) -> bool:
        """Whether it is a cluster of this machine alone, which this kernel starts and ends."""
        return not self.host

    @property
    def place(self) -> str:
        """Host and port."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        return "local" if self.local else f"{'ray://' * self.client}{self.place}"


def check_reachable(address: Address) -> None:
    """Check that something accepts connections at an address.

    Raises:
        ClusterError: when nothing does within five seconds.
    """
    if address.local:
        return
    try:
        socket.create_connection((address.host, address.port), _CONNECT_SECONDS).close()
    except (OSError, UnicodeError) as error:
        start = f"ray start --head --port={address.port}"
        if address.client:
            start = f"ray start --head --ray-client-server-port={address.port}"
        if isinstance(error, socket.gaierror | UnicodeError):
            raise ClusterError(
                f"The host {address.host!r} of {address} is unknown ({_reason(error)}). Check its"
                " name, or type its IP address."
            ) from None
        raise ClusterError(
            f"No cluster answers at {address} ({_reason(error)}). Start Ray on that host with"
            f" {start}, check the port and the firewall, or type %cogvideo cluster local."
        ) from None


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {_CONNECT_SECONDS:.0f} s"
    return getattr(error, "strerror", None) or str(error)


def _host(typed: str, place: str, client: bool) -> tuple[str, int]:
    """Host and port of ``HOST:PORT``."""
    default = _CLIENT_PORT if client else _HEAD_PORT
    prefix = "ray://" * client
    host, separator, port = place.rpartition(":")
    if not separator or place.endswith("]"):
        host, port = place, ""
    match = _HOST.fullmatch(host)
    if match is None:
        if ":" in host and re.fullmatch(r"[0-9A-Fa-f:.]+", place):
            raise _wrong(typed, f" An IPv6 address is in brackets: {prefix}[{place}]:{default}.")
        raise _wrong(typed, "")
    if not port:
        word = did_you_mean(host, ("local", "status", "off")) if not client else ""
        raise _wrong(typed, word or f" Its port is missing: {prefix}{host}:{default}.")
    if not re.fullmatch(r"[0-9]{1,9}", port) or not 1 <= int(port) <= 65535:
        near = f"{prefix}{host}:{default}"
        raise _wrong(typed, f" A port is a number from 1 to 65535. Ray's default: {near}.")
    if int(port) == _DASHBOARD_PORT:
        raise _wrong(
            typed,
            f" {_DASHBOARD_PORT} is the port of Ray's dashboard. Try {prefix}{host}:{default}.",
        )
    return match["v6"] or match["name"], int(port)


def _of_url(place: str) -> str:
    """The nearest address to that of a web page, or of another protocol."""
    host = place.split("/")[0].rpartition("@")[2]
    host = re.sub(r":[0-9]*$", "", host)
    return f" Try ray://{host}:{_CLIENT_PORT}." if _HOST.fullmatch(host) else ""


def _wrong(typed: str, near: str) -> RequestError:
    return RequestError(f"{typed.strip()[:80]!r} is not a cluster address.{near} {_WAYS}.")
