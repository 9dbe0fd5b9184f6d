"""Cached prompt embeddings: a repeated prompt skips the text encoder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch

import cogmagic
from cogmagic import Request
from cogmagic._models.catalog import catalogued
from cogmagic._pipeline.prompt_cache import PromptCache
from cogmagic._session.session import Session
from tests.helpers.toy import PROMPT


@pytest.mark.slow
@pytest.mark.parametrize("tier", ["none", "model", "stream", "sequential"])
def test_repeated_prompt_needs_no_text_encoder(
    toy: Path, cwd: Path, session: Session, tier: str
) -> None:
    options: dict[str, Any] = {"model": str(toy), "seed": 3, "num_inference_steps": 1}
    first = cogmagic.generate(PROMPT, tier=tier, **options)
    assert "encode" in first.report.seconds
    assert session.loaded is not None
    encoder = session.loaded.pipe.text_encoder
    called: list[int] = []
    encoder.register_forward_hook(lambda *_: called.append(1))
    again = cogmagic.generate(PROMPT, tier=tier, **options)
    assert called == []
    assert "encode" not in again.report.seconds
    assert again.report.frames_sha256 == first.report.frames_sha256
    assert session.loaded.pipe.text_encoder is encoder
    cogmagic.generate("a blue square", tier=tier, **options)
    assert called
    assert cogmagic.release(prompts=True).endswith("Deleted 3 cached prompts.")


def test_damaged_embeddings_are_encoded_again(
    toy: Path, cwd: Path, session: Session, own_cache: Path
) -> None:
    options: dict[str, Any] = {"model": str(toy), "seed": 3, "num_inference_steps": 1}
    first = cogmagic.generate(PROMPT, **options)
    for file in (own_cache / "prompts-v1").iterdir():
        file.write_bytes(file.read_bytes()[:-7])
    again = cogmagic.generate(PROMPT, **options)
    assert "encode" in again.report.seconds
    assert again.report.frames_sha256 == first.report.frames_sha256
    assert "encode" not in cogmagic.generate(PROMPT, **options).report.seconds


def test_full_disk_leaves_no_partial_file(
    tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    cache = cache_for(tmp_path)
    cache.write([torch.ones(1, 64, 2)] * 2)
    assert cache.read() is None
    assert list((own_cache / "prompts-v1").iterdir()) == []


def cache_for(tmp_path: Path, prompt: str = PROMPT, **options: Any) -> PromptCache:
    model = catalogued("tiny")
    assert model is not None
    for part in ("text_encoder", "tokenizer"):
        (tmp_path / part).mkdir(exist_ok=True)
        if not (tmp_path / part / "file").exists():
            (tmp_path / part / "file").touch()
    return PromptCache(Request.of(prompt, model, **options), tmp_path, "float32", "cpu")


def test_file_name_depends_on_all_that_determines_embeddings(tmp_path: Path) -> None:
    cache = cache_for(tmp_path)
    assert cache.read() is None
    cache.write([torch.ones(1, 64, 2), torch.zeros(1, 64, 2)])
    assert cache.read() is not None
    assert cache_for(tmp_path, "another").read() is None
    assert cache_for(tmp_path, negative_prompt="dark").read() is None
    assert cache_for(tmp_path, guidance_scale=1.0).read() is not None  # the prompt alone
    model = catalogued("tiny")
    assert model is not None
    request = Request.of(PROMPT, model)
    assert PromptCache(request, tmp_path, "bfloat16", "cpu").read() is None
    assert PromptCache(request, tmp_path, "float32", "H100").read() is None
    os.utime(tmp_path / "text_encoder" / "file", (1, 1))  # trained further
    assert cache_for(tmp_path).read() is None


def test_damaged_files_and_unwritable_folders_are_no_error(
    tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = cache_for(tmp_path)
    cache.write([torch.ones(1, 64, 2)] * 2)
    for file in (own_cache / "prompts-v1").iterdir():
        file.write_bytes(b"cut short")
    assert cache.read() is None
    (tmp_path / "a file").touch()
    monkeypatch.setenv("COGMAGIC_CACHE", str(tmp_path / "a file"))
    cache = cache_for(tmp_path)
    cache.write([torch.ones(1, 64, 2)] * 2)
    assert cache.read() is None


@pytest.mark.parametrize(
    "embeds",
    [torch.ones(64, 2), torch.ones(1, 63, 2), torch.ones(1, 64, 2).int()],
    ids=["a flat one", "of another limit", "of whole numbers"],
)
def test_other_tensors_are_removed_as_damaged(tmp_path: Path, embeds: torch.Tensor) -> None:
    cache = cache_for(tmp_path)
    cache.write([embeds, torch.ones(1, 64, 2)])
    assert cache.read() is None
    assert not cache.present


def test_least_recently_used_go_first(tmp_path: Path) -> None:
    caches = [cache_for(tmp_path, f"prompt {i}", guidance_scale=1.0) for i in range(4)]
    for age, cache in enumerate(caches[:3]):
        cache.write([torch.ones(1, 64, 16)])  # 4 kB each
        (file,) = cache._files
        os.utime(file, (1000 + age, 1000 + age))
    caches[0].read()
    caches[3].write([torch.ones(1, 64, 16)], max_bytes=13_000)
    assert [cache.read() is not None for cache in caches] == [True, False, True, True]
