"""The hub's cache: reused files, damage, and processes that share it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import cogmagic
from cogmagic import CheckpointError, CogMagicError, OutputError
from cogmagic._errors import Cancelled
from cogmagic._models.checkpoints.identify import identify
from cogmagic._models.find import find_model, local_folder
from cogmagic._models.hub.download import cached_folder, download, fetch_tokenizer
from cogmagic._progress import silent
from tests.helpers.hub import NEEDED, REPO, SHARD, kernel, parts, same, stop_at
from tests.helpers.hub_server import Hub, Repository
from tests.helpers.published import write_published


def test_checkpoint_is_stored_as_the_hub_client_stores_it(
    hub: Hub, offline: Callable[[], None]
) -> None:
    from diffusers import CogVideoXPipeline

    download(find_model(REPO), silent)
    offline()
    assert CogVideoXPipeline.from_pretrained(REPO).vae is not None


def test_new_commit_is_not_mixed_with_old_files(
    hub: Hub, repository: Repository, tmp_path: Path
) -> None:
    model = find_model(REPO)
    with pytest.raises(Cancelled):
        download(model, stop_at(0.5))
    (old,) = parts(tmp_path)
    repository.commit = "2" * 40
    for path in repository.folder.rglob("*.safetensors"):
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    folder = download(model, silent)
    assert folder.name == "2" * 40
    assert same(folder, repository.folder)
    assert not old.exists()  # of no use any more


def test_new_commit_with_the_same_weights_fetches_no_weights(
    hub: Hub, repository: Repository
) -> None:
    download(find_model(REPO), silent)
    repository.commit = "2" * 40
    (repository.folder / "model_index.json").write_text(
        (repository.folder / "model_index.json").read_text() + "\n"
    )
    hub.requests.clear()
    assert download(find_model(REPO), silent).name == "2" * 40
    assert [r.split()[2] for r in hub.gets()] == ["model_index.json"]


def test_incomplete_checkpoint_is_completed(hub: Hub, original: Path) -> None:
    from huggingface_hub import snapshot_download

    snapshot_download(REPO, allow_patterns=["vae/*", "text_encoder/*", "README.md"])
    model = identify(original, REPO)
    assert cached_folder(model) is None
    hub.requests.clear()
    assert same(download(model, silent), original)
    assert not [r for r in hub.gets() if " vae/" in r or " text_encoder/" in r]


def test_checkpoint_of_the_hub_client_is_used(hub: Hub, original: Path) -> None:
    from huggingface_hub import snapshot_download

    snapshot_download(REPO, ignore_patterns=["*.png", "transformer/diffusion_pytorch_model.saf*s"])
    hub.requests.clear()
    assert cached_folder(identify(original, REPO)) is not None
    assert not hub.requests


def test_cached_weights_that_need_scales_are_refused_without_a_request(
    hub: Hub, original: Path
) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    model = find_model(REPO)
    blob = (download(model, silent) / SHARD).resolve()
    weights = {k: t.to(torch.int8) for k, t in load_file(blob).items()}
    save_file(weights, blob)
    hub.requests.clear()
    with pytest.raises(CheckpointError, match="does not hold plain weights: I8 tensors"):
        cached_folder(model)
    assert not hub.requests


@pytest.mark.parametrize("damage", ["short", "header", "config"])
def test_damaged_file_in_the_cache_is_fetched_again(hub: Hub, original: Path, damage: str) -> None:
    model = find_model(REPO)
    folder = download(model, silent)
    name = "vae/config.json" if damage == "config" else SHARD
    blob = (folder / name).resolve()
    content = blob.read_bytes()
    half = len(content) // 2
    blob.write_bytes(
        {
            "short": content[:half],
            "header": bytes(len(content)),
            "config": content.replace(b"8", b"9"),
        }[damage]
    )
    assert cached_folder(model) is None
    hub.requests.clear()
    assert same(download(model, silent), original)
    start = half if damage == "short" else 0
    assert hub.gets() == [f"GET {REPO} {name} {start}-"]


@pytest.mark.parametrize("name", ["5b", "zai-org/CogVideoX-5b", "thudm/cogvideox-5b"])
@pytest.mark.parametrize("owner", ["zai-org", "THUDM"])
def test_cached_model_is_used_under_either_organisation(
    hub: Hub, original: Path, name: str, owner: str
) -> None:
    cached = f"{owner}/CogVideoX-5b"
    hub.repositories[cached] = Repository(original)
    folder = download(identify(original, cached), silent)
    hub.requests.clear()
    assert local_folder(find_model(name)) == folder
    assert not hub.requests


def test_finetune_is_not_mistaken_for_its_base_model(
    hub: Hub, original: Path, repository: Repository
) -> None:
    base = "THUDM/CogVideoX-5b"
    hub.repositories[base] = Repository(original)
    download(identify(original, base), silent)
    write_published(repository.folder, "5b")
    model = find_model(REPO)
    assert (model.name, model.source) == ("5b", REPO)
    assert local_folder(model) is None


def test_content_of_another_repository_is_reused(hub: Hub, original: Path) -> None:
    download(find_model(REPO), silent)
    hub.repositories["someone/copy"] = Repository(original)
    hub.requests.clear()
    folder = download(find_model("someone/copy"), silent)
    assert same(folder, original)
    assert not hub.gets(".safetensors ")


def test_without_symlinks_each_file_is_stored_once(
    hub: Hub, original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_DISABLE_SYMLINKS", True)
    model = find_model(REPO)
    folder = download(model, silent)
    assert same(folder, original)
    assert not (folder / SHARD).is_symlink()
    assert not [p for p in folder.parents[1].glob("blobs/*") if p.is_file()]
    assert cached_folder(model) == folder
    (folder / SHARD).write_bytes(b"cut short")
    assert cached_folder(model) is None
    assert same(download(model, silent), original)


def test_unwritable_cache_is_refused_with_advice(
    hub: Hub, original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    (tmp_path / "file").touch()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(
        OutputError, match=r"cannot be written to .*Set HF_HOME to a writable folder"
    ):
        download(identify(original, REPO), silent)


def test_offline_run_uses_the_cache_or_is_refused(
    hub: Hub, original: Path, offline: Callable[[], None]
) -> None:
    model = identify(original, REPO)
    fetch_tokenizer(model)  # a beginning is here
    offline()
    for attempt in (lambda: find_model("someone/else"), lambda: download(model, silent)):
        with pytest.raises(
            CheckpointError, match=r"incomplete in the cache .* HF_HUB_OFFLINE is set"
        ):
            attempt()


def test_concurrent_kernels_download_each_file_once(
    hub: Hub, original: Path, tmp_path: Path
) -> None:
    hub.repositories[REPO].seconds_per_chunk = 0.01
    kernels = [kernel(hub, tmp_path) for _ in range(3)]
    outs = [k.communicate(timeout=600) for k in kernels]
    total = sum((original / f).stat().st_size for f in NEEDED)
    for process, (out, errors) in zip(kernels, outs, strict=True):
        assert (process.returncode, errors) == (0, "")
        assert out.splitlines()[-1] == f"{total} {total}"
    folder = cached_folder(identify(original, REPO))
    assert folder is not None
    assert same(folder, original)
    assert len(hub.gets(".safetensors ")) == 4  # each file once, by whoever came first
    assert not parts(tmp_path)


def test_cache_is_intact_on_file_systems_without_locks(
    hub: Hub, original: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some network file systems grant a lock to everybody."""
    from contextlib import nullcontext

    monkeypatch.setattr("cogmagic._models.hub.transfer._locked", lambda *_: nullcontext())
    model = find_model(REPO)
    hub.repositories[REPO].seconds_per_chunk = 0.002
    problems: list[BaseException] = []

    def run() -> None:
        try:
            download(model, silent)
        except CogMagicError as error:
            problems.append(error)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
        time.sleep(0.03)
    for thread in threads:
        thread.join()
    assert not problems
    folder = cached_folder(model)
    assert folder is not None
    assert same(folder, original)


def test_plan_counts_the_bytes_that_are_not_cached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    complete = cogmagic.plan(model="2b").download
    blobs = tmp_path / "models--zai-org--CogVideoX-2b" / "blobs"
    blobs.mkdir(parents=True)
    with (blobs / ("a" * 64)).open("wb") as file:
        file.truncate(9 * 10**9)  # takes no room
    with (blobs / f"{'b' * 64}.cogmagic.part").open("wb") as file:
        file.truncate(10**9)
    assert complete > 13e9
    assert cogmagic.plan(model="2b").download == complete - 10**10
