"""A proxy that is corrected in the kernel in which it failed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.checkpoints import save_checkpoint
from tests.helpers.hub import REPO
from tests.helpers.hub_server import Repository, serving
from tests.helpers.kernels import failed, kernel
from tests.helpers.proxies import HttpProxy, running


@pytest.mark.slow
def test_corrected_proxy_counts_in_the_same_kernel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notebook = tmp_path / "notebook"
    notebook.mkdir()
    with serving() as hub, running(HttpProxy()) as proxy:
        hub.repositories = {REPO: Repository(save_checkpoint(tmp_path / "repository"))}
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
            monkeypatch.delenv(name.lower(), raising=False)
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("HF_HUB_OFFLINE", "0")
        run = f"%cogvideo plan --model {REPO}"
        with kernel(notebook) as one:
            one.run("import sys; sys.modules['socksio'] = None")
            for url, words in (
                ("htp://me:secret@127.0.0.1:1", "HTTP_PROXY=htp://me:***@127.0.0.1:1 is not valid"),
                ("127.0.0.1:1", "HTTP_PROXY=127.0.0.1:1 cannot be reached"),
                ("socks5://127.0.0.1:1", "Type %pip install socksio"),
            ):
                one.run(f"%env HTTP_PROXY={url}")
                assert words in failed(one.run(run), "CheckpointError")["evalue"]
            one.run("del sys.modules['socksio']")
            assert "Restart the kernel, and" in failed(one.run(run), "CheckpointError")["evalue"]
            assert not proxy.requests
            one.run(f"%env HTTP_PROXY={proxy.address}")
            assert one.run(run).reply["status"] == "ok"
            assert proxy.requests
