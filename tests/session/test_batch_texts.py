"""The embeddings of a batch in host memory: at most 1 GiB of them, whatever its length."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from cogmagic import Request
from cogmagic._machine.ram import own_ram, trim
from cogmagic._models.batch_row import Row
from cogmagic._pipeline.prompt_cache import PromptCache
from cogmagic._planning.memory_options import DEFAULTS
from cogmagic._progress import Clock, silent
from cogmagic._session import batch_texts
from cogmagic._session.batch_texts import (
    MOST_BYTES,
    BatchTexts,
    chunk_bytes,
    most_texts,
    text_bytes,
)
from cogmagic._session.pipeline_slot import PipelineSlot
from cogmagic._session.prepare import Job
from cogmagic._units import MIB

TEXT = 226 * 4096 * 2


def rows_of(count: int, **options: Any) -> list[Row]:
    request = {"guidance_scale": 1.0} | options
    return [Row(n, Request.of(f"prompt {n}", "5b", **request)) for n in range(1, count + 1)]


def job_of(row: Row, monkeypatch: pytest.MonkeyPatch) -> Job:
    """A job whose embeddings have the published size; the disk's cache is left alone."""
    monkeypatch.setattr(
        batch_texts, "configs_of", lambda _: {"transformer": {"text_embed_dim": 4096}}
    )
    monkeypatch.setattr(PromptCache, "write", lambda *_: None)
    texts = PromptCache(row.request, Path(), "bfloat16", "cpu")
    return Job(row.request, DEFAULTS, Path(), texts, None, stay=True)


def synthetic(
    job: Job,
    texts: Sequence[str],
    receive: Callable[[str, torch.Tensor], None],
    slot: PipelineSlot,
    clock: Clock,
) -> None:
    for text in texts:
        receive(text, torch.ones(1, 226, 4096, dtype=torch.bfloat16))


@pytest.mark.slow
def test_memory_of_two_thousand_rows_stays_within_a_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, texts, slot = rows_of(2000), BatchTexts(), PipelineSlot()
    job = job_of(rows[0], monkeypatch)
    monkeypatch.setattr(batch_texts, "encode", synthetic)
    gc.collect()
    trim()  # what earlier tests have freed
    before, highest, chunks, left = own_ram(), 0, [], rows
    while left:
        texts.encode(left, job, slot, Clock(silent))
        highest = max(highest, own_ram() - before)
        assert texts.nbytes == slot.embeddings <= MOST_BYTES
        covered = [row for row in left if texts.covers(row)]
        assert covered == left[: len(covered)]
        chunks.append(len(covered))
        left = left[len(covered) :]
    assert chunks == [579, 579, 579, 263]
    assert MOST_BYTES - 64 * MIB < highest < MOST_BYTES + 64 * MIB


def test_texts_of_a_chunk_are_counted_once() -> None:
    request = rows_of(1)[0].request
    assert text_bytes(request, "bfloat16", None) == TEXT
    guided = [row.request for row in rows_of(10, guidance_scale=6.0)]
    assert chunk_bytes(guided, "bfloat16", None) == 11 * TEXT  # one negative prompt for all
    assert chunk_bytes(guided * 100, "float32", None) == 22 * TEXT
    assert chunk_bytes([row.request for row in rows_of(2000)], "bfloat16", None) == MOST_BYTES


def test_small_texts_are_limited_by_their_number() -> None:
    assert most_texts(TEXT) == 579
    assert most_texts(1) == 1000


def test_first_row_is_always_covered(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, texts = rows_of(3, guidance_scale=6.0), BatchTexts()
    job = job_of(rows[0], monkeypatch)
    monkeypatch.setattr(batch_texts, "encode", synthetic)
    monkeypatch.setattr(batch_texts, "MOST_BYTES", 1)
    texts.encode(rows, job, PipelineSlot(), Clock(silent))
    assert [texts.covers(row) for row in rows] == [True, False, False]
    assert texts.nbytes == 2 * TEXT
