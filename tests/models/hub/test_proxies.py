"""Downloads through proxies, past login pages and with certificates of one's own."""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import which

import pytest

from cogmagic import CheckpointError
from cogmagic._errors import Cancelled
from cogmagic._models.find import find_model
from cogmagic._models.hub.download import download
from cogmagic._models.hub.proxies import Proxy
from cogmagic._progress import silent
from tests.helpers.hub import REPO, SHARD, parts, same, stop_at
from tests.helpers.hub_server import Hub, serving
from tests.helpers.proxies import HttpProxy, SocksProxy, running

LOGIN = "me:secret"

VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No proxy, and no session of the hub client with one afterwards."""
    from huggingface_hub import close_session

    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    yield
    close_session()


@pytest.fixture
def proxy() -> Iterator[HttpProxy]:
    with running(HttpProxy()) as server:
        yield server


@pytest.fixture
def socks() -> Iterator[SocksProxy]:
    with running(SocksProxy()) as server:
        yield server


@pytest.fixture
def https(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], Path]]:
    """Call it to have the hub at an ``https`` URL of that host; returns its certificate."""
    from huggingface_hub import constants

    if which("openssl") is None:
        pytest.skip("needs openssl for a certificate")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=hub"),
            *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-keyout", key),
            *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-out", certificate),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    with serving() as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.repositories = hub.repositories

        def at(host: str) -> Path:
            url = f"https://{host}:{server.server_address[1]}"
            monkeypatch.setattr(constants, "ENDPOINT", url)
            template = url + "/{repo_id}/resolve/{revision}/{filename}"
            monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
            return certificate

        yield at


def problem() -> str:
    """The one line with which a look-up of the model is refused, for want of a way to the hub."""
    line = refused()
    assert line.startswith(f"{REPO} cannot be fetched: ")
    return line


def refused() -> str:
    """The one line with which a look-up of the model is refused."""
    with pytest.raises(CheckpointError) as raised:
        find_model(REPO)
    line = str(raised.value)
    assert "secret" not in line
    assert "\n" not in line
    return line


def test_checkpoint_is_downloaded_through_a_proxy_with_a_password(
    hub: Hub, proxy: HttpProxy, original: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy.password = LOGIN
    monkeypatch.setenv("HTTP_PROXY", f"http://{proxy.address}")
    assert (
        f"HTTP_PROXY=http://{proxy.address} asks for a user name and password (407). Set"
        " HTTP_PROXY to http://USER:PASSWORD@HOST:PORT"
    ) in problem()
    monkeypatch.setenv("HTTP_PROXY", f"http://me:secret2@{proxy.address}")
    assert f"http://me:***@{proxy.address} does not accept its user name and password" in problem()
    monkeypatch.setenv("HTTP_PROXY", f"http://me:secret@{proxy.address}")
    assert same(download(find_model(REPO), silent), original)
    assert any("/cdn/" in request for request in proxy.requests)


def test_socks_proxy_without_its_package_is_one_line_and_with_it_is_used(
    hub: Hub, socks: SocksProxy, original: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    socks.password = LOGIN
    monkeypatch.setenv("ALL_PROXY", f"socks5://me:secret@{socks.address}")
    with monkeypatch.context() as missing:
        missing.setitem(sys.modules, "socksio", None)
        assert (
            f"ALL_PROXY=socks5://me:***@{socks.address} needs the package socksio, which is not"
            " installed. Type %pip install socksio, restart the kernel, and run it again"
        ) in problem()
    assert not socks.hosts
    assert same(download(find_model(REPO), silent), original)
    assert set(socks.hosts) == {"127.0.0.1", "localhost"}


def test_socks_proxy_that_refuses_is_one_line(
    hub: Hub, socks: SocksProxy, proxy: HttpProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    socks.password = LOGIN
    monkeypatch.setenv("all_proxy", f"socks5h://{socks.address}")
    assert f"all_proxy=socks5h://{socks.address} asks for a user name and password" in problem()
    monkeypatch.setenv("all_proxy", f"socks5://me:secret2@{socks.address}")
    assert "does not accept its user name and password" in problem()
    monkeypatch.setenv("all_proxy", f"socks5://{proxy.address}")
    assert f"all_proxy=socks5://{proxy.address}" in problem()


@pytest.mark.parametrize(
    ("url", "flaw"),
    [
        ("foo://me:secret@host:1", "the scheme 'foo' is none of http, https, socks5, socks5h"),
        ("me:secret@x://host:1", "the scheme before :// is none of"),
        ("socks://host:1", "the scheme 'socks' is none of"),
        ("socks4://host:1", "the scheme 'socks4' is none of"),
        ("://host:1", "the scheme '' is none of"),
        ("http://host:abc", "the port 'abc' is not a number from 1 to 65535"),
        ("http://host:99999", "the port '99999' is not"),
        ("http://host:0", "the port '0' is not"),
        ("host:-5", "the port '-5' is not"),
        ("host:8080é", "the port '8080é' is not"),
        ("http://my host:80", "it has spaces, quotes or control characters"),
        (" http://me:secret@host:80", "it has spaces, quotes or control characters"),
        ('"http://host:80"', "it has spaces, quotes or control characters"),
        ("http://", "it names no host"),
        (":8080", "it names no host"),
        ("http//host:80", "it lacks :// after the scheme"),
        ("http:host:80", "it lacks :// after the scheme"),
        ("http:/host:80", "it lacks :// after the scheme"),
        ("http://me:sec#ret@host:80", "its user name or password has /, ? or #"),
        ("http://me:sec/ret@host:80", "its user name or password has /, ? or #"),
        ("http://[::1", "its IPv6 address is not one in brackets"),
        ("http://[zz]:1", "its IPv6 address is not one in brackets"),
        ("http://me:sec\x01ret@host:80", "it has spaces, quotes or control characters"),
        ("http://a..b:80", "'a..b' is not the name of a host"),
        ("http://ho$t:80", "'ho$t' is not the name of a host"),
    ],
)
def test_broken_url_of_a_proxy_is_one_line(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, url: str, flaw: str
) -> None:
    monkeypatch.setenv("HTTP_PROXY", url)
    line = problem()
    assert flaw in line
    assert "the proxy HTTP_PROXY=" in line
    assert "ret@" not in line
    assert "Set HTTP_PROXY to http://HOST:PORT or socks5://HOST:PORT, or unset it" in line
    assert not hub.requests


def test_hub_that_is_offline_is_not_blamed_on_the_proxy(
    hub: Hub, offline: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    offline()
    monkeypatch.setenv("HTTP_PROXY", "foo://host:1")
    with pytest.raises(CheckpointError, match="HF_HUB_OFFLINE is set"):
        find_model(REPO)


@pytest.mark.parametrize(
    "url",
    ["host", "host:3128", "http:3128", "HTTP://host:3128/", "https://[::1]:1", "me:a:b@c@h-1.x:80"],
)
def test_valid_url_of_a_proxy_has_no_flaw(url: str) -> None:
    assert Proxy("HTTPS_PROXY", url).flaw is None


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://me:secret@host:1", "http://me:***@host:1"),
        ("http://me:sec://@ret@host:1", "http://me:***@host:1"),
        ("me:secret@host:1", "me:***@host:1"),
        (" http://me:secret@host:1", " http:***@host:1"),
        ("http://me@host:1", "http://me@host:1"),
        ("http://me:secret:host:1", "http://me:***:1"),
        ("socks5://host:1", "socks5://host:1"),
    ],
)
def test_proxy_is_shown_without_its_password(url: str, shown: str) -> None:
    assert str(Proxy("HTTPS_PROXY", url)) == f"HTTPS_PROXY={shown}"


def test_proxy_that_cannot_be_reached_is_named_and_its_correction_counts_at_once(
    hub: Hub, proxy: HttpProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    monkeypatch.setenv("HTTP_PROXY", f"http://me:secret@127.0.0.1:{port}")
    assert (
        f"the proxy HTTP_PROXY=http://me:***@127.0.0.1:{port} cannot be reached (ConnectError:"
    ) in problem()
    monkeypatch.setenv("HTTP_PROXY", "proxy.invalid:3128")
    line = problem()
    assert "the name of the proxy HTTP_PROXY=proxy.invalid:3128 cannot be resolved" in line
    assert "Correct HTTP_PROXY or unset it, and run it again" in line
    monkeypatch.setenv("http_proxy", proxy.address)  # lower case counts first
    assert find_model(REPO)
    count = len(proxy.requests)
    assert count
    monkeypatch.setenv("http_proxy", "")  # and an empty one hides the other
    hub.requests.clear()
    _forget()
    assert find_model(REPO)
    assert hub.requests
    assert len(proxy.requests) == count


def test_changed_proxy_is_used_although_the_last_one_worked(
    hub: Hub, proxy: HttpProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find_model(REPO)
    _forget()
    monkeypatch.setenv("HTTP_PROXY", proxy.address)
    assert find_model(REPO)
    assert proxy.requests


def test_hosts_of_no_proxy_are_reached_without_the_proxy(
    hub: Hub, proxy: HttpProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setenv("HTTP_PROXY", proxy.address)
    for value in ("127.0.0.1", "other, 127.0.0.0/8", "*.0.1", "*"):
        monkeypatch.setenv("NO_PROXY", value)
        assert find_model(REPO)
        _forget()
    assert not proxy.requests
    monkeypatch.setenv("NO_PROXY", "other,127.0.0.0/8")
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:1")
    line = problem()
    assert "http://127.0.0.1:1 cannot be reached" in line
    assert "NO_PROXY=other,127.0.0.0/8 keeps it from the proxy" in line


@pytest.mark.parametrize("status", [401, 403, 511])
def test_web_page_with_a_refusal_is_not_taken_for_the_hubs(
    hub: Hub, proxy: HttpProxy, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    proxy.refusal = status
    monkeypatch.setenv("HTTP_PROXY", proxy.address)
    line = problem()
    assert "does not answer as a Hugging Face hub does through the proxy HTTP_PROXY=" in line
    assert f"(127.0.0.1 sent a web page, status {status})" in line


def test_redirects_in_a_loop_are_one_line(
    hub: Hub, proxy: HttpProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy.address)
    proxy.portal, proxy.login = lambda _: True, "http://login.invalid/"
    assert "(login.invalid redirects in a loop). Open it in a browser and log in" in problem()


@pytest.mark.parametrize("elsewhere", [True, False])
def test_login_page_in_place_of_the_list_of_files_is_one_line(
    hub: Hub, proxy: HttpProxy, monkeypatch: pytest.MonkeyPatch, elsewhere: bool
) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy.address)
    proxy.portal = lambda request: "/api/" in request
    if elsewhere:
        proxy.login = "http://login.invalid/"
        monkeypatch.setenv("NO_PROXY", "login.invalid")
        assert "redirects to login.invalid" in problem()
    else:
        line = problem()
        assert "does not answer as a Hugging Face hub does" in line
        assert "Open it in a browser and log in to the network" in line
        monkeypatch.setattr("tests.helpers.proxies.PAGE", b"{}")
        assert f"Check the proxy HTTP_PROXY={proxy.address} and HF_ENDPOINT" in refused()
    proxy.portal = lambda _: False
    assert find_model(REPO)


@pytest.mark.parametrize(
    "page", ["HEAD tokenizer.json", "GET tokenizer.json", f"HEAD {SHARD}", f"GET {SHARD}"]
)
def test_login_page_in_place_of_a_file_leaves_nothing_in_the_cache(
    hub: Hub,
    proxy: HttpProxy,
    original: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    page: str,
) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy.address)
    model = find_model(REPO)
    method, name = page.split()
    proxy.portal = lambda request: request.startswith(method) and name in request
    with pytest.raises(CheckpointError, match="does not answer as a Hugging Face hub does") as e:
        download(model, silent)
    assert "\n" not in str(e.value)
    blobs = list(tmp_path.glob("cache/*/blobs/*"))
    assert not any(b"<html" in blob.read_bytes() for blob in blobs)
    assert not any(blob.name.endswith((".incomplete", ".part")) for blob in blobs)
    proxy.portal = lambda _: False
    assert same(download(model, silent), original)


@pytest.mark.parametrize("kind", ["text/html", "application/octet-stream", None])
def test_login_page_is_not_appended_to_a_partial_download(
    hub: Hub,
    proxy: HttpProxy,
    original: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str | None,
) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy.address)
    model = find_model(REPO)
    with pytest.raises(Cancelled):
        download(model, stop_at(0.5))
    (part,) = parts(tmp_path)
    content = part.read_bytes()
    proxy.portal = lambda request: request.startswith("GET") and ".safetensors" in request
    proxy.kind = kind  # None: in chunks of no announced length
    with pytest.raises(CheckpointError):
        download(model, silent)
    assert part.read_bytes() == content
    proxy.portal = lambda _: False
    hub.requests.clear()
    assert same(download(model, silent), original)
    assert hub.gets(".safetensors ")[0].endswith(f" {len(content)}-")


def test_unknown_certificate_is_one_line_until_its_file_is_named(
    https: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = https("127.0.0.1")
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    line = problem()
    assert "the certificate of 127.0.0.1 cannot be verified (self" in line
    assert "Set SSL_CERT_FILE to a file with its CA certificate, and run it again" in line
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    assert f"Set SSL_CERT_FILE={certificate} (REQUESTS_CA_BUNDLE is not read)" in problem()
    for broken, reason in ((tmp_path / "none", "does not exist"), (tmp_path, "is not one (")):
        monkeypatch.setenv("SSL_CERT_FILE", str(broken))
        assert f"the file of CA certificates SSL_CERT_FILE={broken} {reason}" in problem()
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert find_model(REPO)


def test_tunnel_that_a_proxy_refuses_is_one_line(
    https: Callable[[str], Path],
    proxy: HttpProxy,
    socks: SocksProxy,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(https("localhost")))
    monkeypatch.setenv("HTTPS_PROXY", f"https://{proxy.address}")
    assert "Write http:// in place of https:// in HTTPS_PROXY" in problem()
    monkeypatch.setenv("HTTPS_PROXY", f"http://{socks.address}")
    assert f"through the proxy HTTPS_PROXY=http://{socks.address} broke" in (line := problem())
    assert "Check that HTTPS_PROXY names an HTTP proxy" in line
    monkeypatch.setenv("HTTPS_PROXY", f"http://{proxy.address}")
    proxy.password = LOGIN
    assert "asks for a user name and password (407" in problem()
    proxy.password, proxy.refusal = None, 403
    assert f"HTTPS_PROXY=http://{proxy.address} does not connect to localhost (403" in problem()
    proxy.refusal = None
    assert find_model(REPO)
    assert any(request.startswith("CONNECT localhost") for request in proxy.requests)


def _forget() -> None:
    """Remove the cached configurations, so that the hub is asked again."""
    from huggingface_hub import constants

    for index in Path(constants.HF_HUB_CACHE).rglob("model_index.json"):
        index.unlink()
