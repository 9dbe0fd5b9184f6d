"""One-line errors of a hub that refuses, answers wrongly or cannot be reached."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from cogmagic import CheckpointError, OutputError
from cogmagic._models.checkpoints.identify import identify
from cogmagic._models.find import find_model
from cogmagic._models.hub.cache import main_snapshot
from cogmagic._models.hub.download import download, fetch_tokenizer
from cogmagic._progress import silent
from tests.helpers.hub import REPO, SHARD, kernel
from tests.helpers.hub_server import Hub, Repository


def test_full_disk_is_refused_before_weights_are_fetched(hub: Hub) -> None:
    hub.repositories[REPO].claimed = {SHARD: 10**15}
    with pytest.raises(OutputError, match=r"needs 1000000\.\d GB of disk .* has \d+\.\d GB free"):
        download(find_model(REPO), silent)
    assert not hub.gets(".safetensors ")


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (403, "someone/finetune is gated: accept its terms at http"),
        (401, "The hub has no model someone/finetune, and no folder has that name"),
        (500, "answered 500. Wait a little"),
    ],
)
def test_http_error_of_the_hub_is_one_line_with_advice(
    hub: Hub, original: Path, status: int, message: str
) -> None:
    hub.repositories[REPO].status = status
    if status == 401:
        del hub.repositories[REPO]
    for attempt in (
        lambda: find_model(REPO),
        lambda: fetch_tokenizer(identify(original, REPO)),
        lambda: download(identify(original, REPO), silent),
    ):
        with pytest.raises(CheckpointError) as raised:
            attempt()
        assert message in str(raised.value)
        assert "\n" not in str(raised.value)


def test_unreachable_hub_is_one_line_with_advice(
    hub: Hub, original: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(
        CheckpointError, match=r"http://127.0.0.1:1 cannot be reached \(ConnectError"
    ):
        find_model(REPO)


def test_invalid_repository_name_is_refused_without_a_request(hub: Hub) -> None:
    with pytest.raises(CheckpointError, match=r"^a--b/c is neither a hub id"):
        find_model("a--b/c")
    assert not hub.requests


def test_login_page_instead_of_the_hub_is_recognised(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.helpers.hub_server.json.dumps", lambda _: "<html>Sign in</html>")
    with pytest.raises(CheckpointError, match="does not answer as a Hugging Face hub does"):
        find_model(REPO)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ('{"sha": "1"}', "cannot be read (KeyError: 'id')"),
        ('{"id": "x/y", "siblings": [5]}', "cannot be read (TypeError"),
        (
            '{"id": "x/y", "sha": "../..", "siblings": [{"rfilename": "model_index.json"}]}',
            "names the commit '../..'",
        ),
    ],
)
def test_malformed_answer_of_the_hub_is_one_line(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, answer: str, message: str
) -> None:
    monkeypatch.setattr("tests.helpers.hub_server.json.dumps", lambda _: answer)
    with pytest.raises(CheckpointError) as error:
        find_model(REPO)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_damaged_ref_counts_as_no_cached_snapshot(hub: Hub) -> None:
    assert find_model(REPO)
    (ref,) = _cache().rglob("refs/main")
    ref.write_bytes(b"\xff" * 40)
    assert main_snapshot(REPO) is None
    assert find_model(REPO)
    assert ref.read_text() == "1" * 40


def test_repository_without_a_pipeline_is_refused(hub: Hub, repository: Repository) -> None:
    index = json.loads((repository.folder / "model_index.json").read_text())
    index["_class_name"] = "StableDiffusionPipeline"
    (repository.folder / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match=f"^{REPO} holds a StableDiffusionPipeline"):
        find_model(REPO)
    (repository.folder / "model_index.json").unlink()
    repository.commit = "2" * 40
    hub.requests.clear()
    shutil.rmtree(_cache())
    with pytest.raises(CheckpointError, match=f"^{REPO} is not a diffusers pipeline"):
        find_model(REPO)
    assert not hub.gets()


def _cache() -> Path:
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


@pytest.mark.parametrize(
    ("instead", "message"),
    [
        ("diffusion_pytorch_model.bin", "only as pickled weights"),
        ("diffusion_pytorch_model.fp16.safetensors", "does not load variants"),
        ("notes.txt", "is missing on the hub"),
    ],
)
def test_repository_without_safetensors_is_refused(
    hub: Hub, repository: Repository, instead: str, message: str
) -> None:
    vae = repository.folder / "vae"
    (vae / "diffusion_pytorch_model.fp16.safetensors").unlink()
    (vae / "diffusion_pytorch_model.safetensors").rename(vae / instead)
    with pytest.raises(CheckpointError, match=message):
        download(find_model(REPO), silent)
    assert not hub.gets(".safetensors ")


def test_index_that_names_files_elsewhere_is_refused(hub: Hub, repository: Repository) -> None:
    index = repository.folder / "transformer/diffusion_pytorch_model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "../../../../escaped.safetensors"}}))
    with pytest.raises(CheckpointError):
        download(find_model(REPO), silent)


def test_unknown_name_is_refused_without_importing_torch(hub: Hub, tmp_path: Path) -> None:
    out, errors = kernel(hub, tmp_path, "no/such").communicate(timeout=300)
    assert out.startswith("CheckpointError The hub has no model no/such")
    assert errors == ""
