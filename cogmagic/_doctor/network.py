"""Check of the proxies and certificates with which the hub is reached; nothing is sent."""

from __future__ import annotations

from cogmagic._doctor.check import Finding, failure, ok
from cogmagic._doctor.surroundings import Surroundings
from cogmagic._models.hub.network import certificates_flaw
from cogmagic._models.hub.proxies import configured_proxies

__all__ = ["check_proxies"]


def check_proxies(here: Surroundings) -> Finding:
    """The proxies of the environment, and the file of CA certificates."""
    proxies = configured_proxies()
    shown = ", ".join(map(str, proxies))
    for proxy in proxies:
        if proxy.flaw:
            return failure(
                f"{proxy.name} is not valid",
                f"export {proxy.name}=http://HOST:PORT, or unset it",
                private=f"{proxy.flaw}: {proxy}",  # which may quote a misplaced password
            )
        if proxy.lacks_package:
            return failure(
                f"{proxy.name} is a SOCKS proxy, which needs the package socksio",
                "pip install socksio, then restart the kernel",
            )
    if flaw := certificates_flaw():
        return failure(flaw, "correct SSL_CERT_FILE, or unset it")
    names = ", ".join(proxy.name for proxy in proxies)
    return ok(f"{names} set and valid" if names else "none", private=shown)
