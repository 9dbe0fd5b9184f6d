"""Copies of the weights to stream from."""

from __future__ import annotations

from pathlib import Path

import pytest

import cogmagic
from cogmagic._session.session import Session
from cogmagic._tiers.hooks import modules
from cogmagic._tiers.host_copy import HostCopy
from tests.helpers.toy import PROMPT


@pytest.mark.slow
def test_pinned_weights_are_private_copies(toy: Path, cwd: Path, session: Session) -> None:
    seen: list[cogmagic.Progress] = []
    video = cogmagic.generate(
        PROMPT, model=str(toy), tier="stream", seed=3, num_inference_steps=2,
        on_progress=seen.append,
    )  # fmt: skip
    assert session.loaded is not None
    host = session.loaded.pinned
    assert host is not None
    assert host.locked == ()  # there is no CUDA to lock for
    weights = HostCopy(modules(session.loaded.pipe)).nbytes
    assert weights <= host.nbytes + 2**20
    told = [p for p in seen if p.phase == "load" and p.total]
    assert (told[-1].done, told[-1].total) == (host.nbytes, host.nbytes)
    for tier in ("model", "sequential", "none"):
        again = cogmagic.generate(PROMPT, model=str(toy), tier=tier, seed=3, num_inference_steps=2)
    assert again.report.frames_sha256 == video.report.frames_sha256
    assert session.loaded.pinned is host
