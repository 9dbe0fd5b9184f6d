"""Which files are downloaded, and which are not."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import cogmagic
from cogmagic import Progress, RequestError
from cogmagic._models.find import find_model
from cogmagic._models.hub.download import cached_folder, download
from cogmagic._progress import silent
from tests.helpers.hub import NEEDED, REPO, SHARD, files, same
from tests.helpers.hub_server import Hub, Repository, etag
from tests.helpers.toy import PROMPT, QUICK


def test_download_fetches_only_the_files_that_a_pipeline_needs(hub: Hub, original: Path) -> None:
    progress: list[Progress] = []
    folder = download(find_model(REPO), progress.append)
    assert files(folder) == NEEDED
    assert same(folder, original)
    total = sum((original / f).stat().st_size for f in NEEDED)
    assert {p.total for p in progress} == {total}
    done = [p.done for p in progress]
    assert done == sorted(done)
    assert done[0] == sum((original / f).stat().st_size for f in NEEDED if "safet" not in f[-11:])
    assert done[-1] == total
    assert progress[-1].note == REPO
    assert len(hub.gets()) == len(NEEDED)  # each once
    weights = [i for i, r in enumerate(hub.gets()) if ".safetensors " in r]
    assert weights == list(range(len(NEEDED) - 4, len(NEEDED)))  # after everything small


@pytest.mark.slow
def test_cell_downloads_once_and_then_works_offline(
    hub: Hub, shell: Any, offline: Callable[[], None]
) -> None:
    cell = f"%%cogvideo --model {REPO} --frames 9 --steps 2 --seed 1 --out {{}}\n{PROMPT}"
    shell.run(cell.format("first"))
    assert shell.user_ns["first"].report.seconds["download"] > 0
    assert shell.user_ns["first"].report.revision == "1" * 40
    asked = len(hub.requests)
    offline()
    shell.run(cell.format("second"))
    assert "download" not in shell.user_ns["second"].report.seconds
    assert len(hub.requests) == asked


def test_long_prompt_is_refused_before_weights_are_fetched(hub: Hub, cwd: Path) -> None:
    with pytest.raises(RequestError, match="it would ignore"):
        cogmagic.generate("red circle " * 20, model=REPO, **QUICK)
    assert hub.gets("tokenizer.json")
    assert not hub.gets(".safetensors ")


@pytest.mark.slow
def test_plan_fetches_configurations_only_and_knows_the_download(hub: Hub, original: Path) -> None:
    plan = cogmagic.plan(model=REPO, machine=cogmagic.Machine.of("RTX 3060"))
    assert plan.fits
    assert plan.peak_allocated
    weights = sum((original / f).stat().st_size for f in NEEDED if f.endswith(".safetensors"))
    assert 0 < weights - cogmagic.plan(model=REPO).download < 10_000  # less the configurations
    assert sorted(r.split()[2] for r in hub.gets()) == [
        "model_index.json",
        "scheduler/scheduler_config.json",
        "text_encoder/config.json",
        "transformer/config.json",
        "vae/config.json",
    ]


def test_unlisted_finetune_is_identified_by_its_configurations(
    hub: Hub, offline: Callable[[], None]
) -> None:
    model = find_model(REPO)
    assert (model.name, model.source, model.task) == ("finetune", REPO, "t2v")
    assert (model.width, model.height, model.max_tokens) == (96, 96, 16)
    offline()
    assert find_model(REPO) == model  # from the cache


def test_redirected_repository_name_is_followed(hub: Hub, original: Path) -> None:
    hub.repositories["zai-org/CogVideoX-5b"] = Repository(original)
    hub.moved["THUDM/CogVideoX-5b"] = "zai-org/CogVideoX-5b"
    model = find_model("THUDM/CogVideoX-5b")
    folder = download(model, silent)
    assert same(folder, original)
    assert cached_folder(model) == folder


def test_fake_hub_sends_git_and_sha256_etags(original: Path) -> None:
    weights = original / SHARD
    assert etag(weights) == hashlib.sha256(weights.read_bytes()).hexdigest()
    git = shutil.which("git")
    if git is None:
        pytest.skip("git is not here to compare with")
    config = original / "model_index.json"
    made = subprocess.run(
        [git, "hash-object", "--no-filters", str(config)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert etag(config) == made.stdout.strip()


def test_unknown_words_are_named_before_weights_are_fetched(hub: Hub, cwd: Path) -> None:
    seen: list[str] = []

    def stop(progress: Progress) -> None:
        if progress.warning:
            seen.append(progress.warning)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cogmagic.generate("一只猫", model=REPO, on_progress=stop, **QUICK)
    assert "does not know 3 of 3 words of the prompt (一只猫): it knows English only" in seen[0]
    assert hub.gets("tokenizer.json")
    assert not hub.gets(".safetensors ")
