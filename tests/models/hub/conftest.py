"""A fake hub with one checkpoint, and this process' hub client pointed at it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.helpers.checkpoints import save_checkpoint, shard_weights
from tests.helpers.hub import REPO
from tests.helpers.hub_server import Hub, Repository, serving


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy checkpoint as a hub repository: in shards, beside files that no pipeline needs."""
    # With a VAE that takes several reads of the connection, so that it can break in between.
    folder = save_checkpoint(tmp_path_factory.mktemp("hub") / "repository", channels=8)
    shard_weights(folder, "transformer")
    second_copies = (
        "transformer/diffusion_pytorch_model.fp16.safetensors",
        "transformer/diffusion_pytorch_model.safetensors",
        "transformer/diffusion_pytorch_model.bin",
        "vae/diffusion_pytorch_model.fp16.safetensors",
        "lora/pytorch_lora_weights.safetensors",
        "transformer/old/diffusion_pytorch_model.safetensors",
        "README.md",
        ".gitattributes",
        "assets/fox.png",
        "onnx/config.json",
    )
    for name in second_copies:
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"never fetched")
    return folder


@pytest.fixture(scope="module")
def server() -> Iterator[Hub]:
    with serving() as hub:
        yield hub


@pytest.fixture
def hub(
    server: Hub, original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Hub]:
    """The hub, which has one repository; this process' client is pointed at it, cache empty."""
    from huggingface_hub import constants

    url = server.url
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", url)
    template = url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    server.repositories = {REPO: Repository(original)}
    server.requests.clear()
    server.moved.clear()
    yield server
    server.repositories = {}


@pytest.fixture
def repository(hub: Hub, original: Path, tmp_path: Path) -> Repository:
    """The hub's repository, in a copy that a test may change."""
    hub.repositories[REPO].folder = Path(shutil.copytree(original, tmp_path / "changed"))
    return hub.repositories[REPO]


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Call it to go offline, as with HF_HUB_OFFLINE=1."""
    from huggingface_hub import constants

    return lambda: monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
