"""Batches on a real GPU: weights placed once in every tier, and nothing left afterwards."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch

import cogmagic
from cogmagic._session.session import Session
from cogmagic._tiers.registry import TIERS
from cogmagic._units import MIB
from tests.helpers.toy import PROMPT, QUICK

ROWS = [PROMPT, "a green circle", {"prompt": PROMPT, "seed": 5}, "a blue square moves left"]


@pytest.mark.parametrize("tier", ["none", "model", "stream", "staged", "sequential"])
def test_batch_places_the_weights_once_in_every_tier(
    toy: Path, cwd: Path, session: Session, tier: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.zeros(1, device="cuda")
    before = torch.cuda.memory_allocated()
    options: dict[str, Any] = {"model": str(toy), "tier": tier, **QUICK}
    placed: list[bool] = []
    real = type(TIERS[tier]).place

    def place(self: Any, pipe: Any, placement: Any, host: Any, undo: ExitStack) -> None:
        placed.append(placement.encodes)
        real(self, pipe, placement, host, undo)

    monkeypatch.setattr(type(TIERS[tier]), "place", place)
    videos = list(cogmagic.generate_many(ROWS, save="batch", progress=False, **options))
    assert placed in ([True], [True, False])  # to encode, then for all rows
    assert torch.cuda.memory_allocated() - before < MIB
    for row, video in zip(ROWS, videos, strict=True):
        single = {"prompt": row} if isinstance(row, str) else row
        alone = cogmagic.generate(**options | single, save="alone.mp4", overwrite=True)
        assert video.report.frames_sha256 == alone.report.frames_sha256
    assert torch.cuda.memory_allocated() - before < MIB


def test_hot_batch_stays_on_the_gpu_and_release_frees_it(
    toy: Path, cwd: Path, session: Session
) -> None:
    torch.zeros(1, device="cuda")
    before = torch.cuda.memory_allocated()
    options: dict[str, Any] = {"model": str(toy), "tier": "none", "keep": "hot", **QUICK}
    assert len(list(cogmagic.generate_many(ROWS, save="batch", progress=False, **options))) == 4
    assert torch.cuda.memory_allocated() > before
    cogmagic.release()
    assert torch.cuda.memory_allocated() - before < MIB


def test_abandoned_batch_leaves_the_gpu_empty(toy: Path, cwd: Path, session: Session) -> None:
    torch.zeros(1, device="cuda")
    before = torch.cuda.memory_allocated()
    options: dict[str, Any] = {"model": str(toy), "tier": "stream", **QUICK}
    videos = cogmagic.generate_many(ROWS, save="batch", progress=False, **options)
    next(videos)
    cogmagic.generate(PROMPT, **options)  # another run in the middle of it
    next(videos)
    del videos
    assert torch.cuda.memory_allocated() - before < MIB
