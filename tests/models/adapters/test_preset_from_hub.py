"""A preset whose adapter is a repository of the hub: what is read when it is used."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import cogmagic
from cogmagic import CheckpointError, Machine, Request, RequestError
from cogmagic._models.adapters import hub_header
from cogmagic._planning.plan_json import as_json
from tests.helpers.adapters import diffusers_keys, factors, write
from tests.helpers.hub_server import Hub, Repository, serving

REPO = "Luo-Yihong/TDM_CogVideoX-2B_LoRA"

FILE = "pytorch_lora_weights.safetensors"


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter of random weights for 2b, in place of the published one."""
    folder = tmp_path_factory.mktemp("tdm")
    write(folder / FILE, diffusers_keys(factors(("attn1.to_q",), model="2b", rank=1)))
    (folder / "README.md").write_text("---\nlicense: mit\n---\n")
    return folder


@pytest.fixture
def hub(
    repository: Path, cwd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Hub]:
    from huggingface_hub import constants

    with serving() as server:
        monkeypatch.delenv("HF_TOKEN", raising=False)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        server.repositories = {REPO: Repository(repository)}
        hub_header._ask_header.cache_clear()
        yield server


def test_header_and_licence_are_read_before_the_plan(hub: Hub) -> None:
    request = Request.of("a fox", "2b", preset="tdm")
    (adapter,) = request.loras
    assert (adapter.name, adapter.weight) == (f"{REPO}/{FILE}", 1.0)
    assert (adapter.licence, adapter.file) == ("mit", None)
    assert adapter.download > 0
    assert not request.without_preset().loras
    weights = [asked for asked in hub.gets() if FILE in asked]
    assert len(weights) == 1
    assert "-" in weights[0]  # a range, not the file
    card = Machine.of("RTX 3060", ram=32)
    plan = cogmagic.plan("a fox", model="2b", preset="tdm", machine=card)
    (stored,) = json.loads(as_json(plan))["loras"]
    assert (stored["name"], stored["licence"]) == (f"{REPO}/{FILE}", "mit")
    assert stored["download"] == adapter.download
    assert "preset   tdm: " in str(plan)
    line = rf"\nLoRA     {REPO}/{FILE}@1 \(rank 1, scale 1\), licence mit, \d\.\d MB from the hub\n"
    assert re.search(line, str(plan))
    assert "instead of 11 min (4 steps without guidance (TDM); built from" in str(plan)
    cogmagic.plan("a fox", model="2b", preset="tdm", machine=card)
    assert [asked for asked in hub.gets() if FILE in asked] == weights


def test_nothing_is_asked_for_another_model_or_a_contradiction(hub: Hub) -> None:
    for model, options in (("5b", {}), ("2b", {"steps": 8})):
        with pytest.raises(RequestError):
            Request.of("a fox", model, preset="tdm", **options)
    assert not hub.gets()


def test_several_candidates_are_listed(hub: Hub, tmp_path: Path) -> None:
    folder = tmp_path / "several"
    for name in ("one.safetensors", "two.safetensors"):
        write(folder / name, diffusers_keys(factors(("attn1.to_q",), model="2b", rank=1)))
    hub.repositories[REPO] = Repository(folder)
    with pytest.raises(CheckpointError, match=r"2 \.safetensors files: one\.saf.*, two\.saf"):
        Request.of("a fox", "2b", preset="tdm")
    file = tmp_path / "presets.toml"
    file.write_text(f'[one]\nmodels = ["2b"]\nsteps = 4\nlora = "{REPO}/one.safetensors@0.5"')
    (adapter,) = Request.of("a fox", "2b", preset=f"{file}:one").loras
    assert (adapter.name, adapter.weight) == (f"{REPO}/one.safetensors", 0.5)


def test_adapter_of_the_preset_beside_it_is_refused(hub: Hub) -> None:
    with pytest.raises(RequestError, match="is part of preset tdm, with weight 1"):
        Request.of("a fox", "2b", preset="tdm", lora=REPO)


def test_further_adapters_follow_the_presets(hub: Hub, tmp_path: Path) -> None:
    style = tmp_path / "style.safetensors"
    write(style, diffusers_keys(factors(("attn1.to_k",), model="2b", rank=1)))
    request = Request.of("a fox", "2b", preset="tdm", lora=f"{style}@0.5")
    assert [(a.name, a.weight) for a in request.loras] == [
        (f"{REPO}/{FILE}", 1.0), ("style.safetensors", 0.5)
    ]  # fmt: skip
    assert request.without_preset().loras == request.loras[1:]
    assert request.checked() == request
