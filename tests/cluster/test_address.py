"""Addresses of clusters: what is accepted, and one line for what is not."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from cogmagic import ClusterError, RequestError
from cogmagic._cluster.address import Address, check_reachable
from cogmagic._cluster.cluster import connect


@pytest.mark.parametrize(
    ("typed", "shown", "client"),
    [
        ("local", "local", False),
        (" LOCAL ", "local", False),
        ("head:6379", "head:6379", False),
        ("10.0.0.7:6380", "10.0.0.7:6380", False),
        ("[fe80::1]:6379", "[fe80::1]:6379", False),
        ("ray://gpu-box.example:10001", "ray://gpu-box.example:10001", True),
        ("RAY://[::1]:10001", "ray://[::1]:10001", True),
    ],
)
def test_addresses(typed: str, shown: str, client: bool) -> None:
    address = Address.of(typed)
    assert str(address) == shown
    assert (address.client, address.local) == (client, shown == "local")


@pytest.mark.parametrize(
    ("typed", "near"),
    [
        ("", "local"),
        ("  ", "local"),
        (None, "local"),
        (6379, "local"),
        ("locale", "Did you mean 'local'?"),
        ("stauts", "Did you mean 'status'?"),
        ("head", "port is missing: head:6379"),
        ("head:", "port is missing: head:6379"),
        ("ray://head", "port is missing: ray://head:10001"),
        ("[::1]", "port is missing: [::1]:6379"),
        ("head:0", "from 1 to 65535. Ray's default: head:6379"),
        ("head:65536", "from 1 to 65535"),
        ("head:-1", "from 1 to 65535"),
        ("head:six", "from 1 to 65535"),
        ("ray://head:10001/", "from 1 to 65535. Ray's default: ray://head:10001"),
        ("head:8265", "dashboard. Try head:6379"),
        ("http://head:8265", "Try ray://head:10001"),
        ("https://me@head/path", "Try ray://head:10001"),
        ("ssh://head", "Try ray://head:10001"),
        ("fe80::1:6379", "brackets: [fe80::1:6379]:6379"),
        ("two words:6379", "local"),
        ("head\n:6379", "local"),
        (":6379", "local"),
        ("ray://:10001", "local"),
        ("a" * 5000, "port is missing"),
    ],
)
def test_wrong_addresses_are_refused_in_one_line(typed: Any, near: str) -> None:
    with pytest.raises(RequestError) as caught:
        connect(typed)
    assert near in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unreachable_address_is_refused_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
        check_reachable(Address.of(f"127.0.0.1:{port}"))
    with socket.socket() as held:  # so that no other program listens there meanwhile
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        starts = {"": f"--head --port={port}", "ray://": "--ray-client-server-port"}
        for scheme, start in starts.items():
            with pytest.raises(ClusterError, match=r"^No cluster answers at .*refused") as caught:
                connect(f"{scheme}127.0.0.1:{port}")
            assert start in str(caught.value)
    with pytest.raises(ClusterError, match=r"^The host 'no\.such\.invalid' .* is unknown"):
        connect("no.such.invalid:6379")
