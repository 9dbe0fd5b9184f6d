"""Weights between runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import cogmagic
from cogmagic import Machine
from cogmagic._machine.ram import Ram
from cogmagic._models.catalog import catalogued
from cogmagic._session import session as session_module
from cogmagic._session.loaded import Loaded
from cogmagic._session.session import Session
from cogmagic._units import GIB
from tests.helpers.toy import PROMPT, QUICK, run


def test_weights_are_not_kept_when_ram_is_short(
    toy: Path, cwd: Path, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "cogmagic._session.pipeline_slot.host_ram", lambda: cogmagic.Ram(8 * 2**30, 2**30)
    )
    video = cogmagic.generate(PROMPT, model=str(toy), **QUICK)
    assert session.loaded is None
    assert "not kept: 1.00 GiB of RAM left" in video.facts_line()


def test_cold_keeps_nothing(toy: Path, cwd: Path, session: Session) -> None:
    video = run(toy, keep="cold")
    assert session_module.session().loaded is None
    assert "as requested" in video.report.kept


def test_host_memory_of_the_notebook_is_not_counted_as_free() -> None:
    from cogmagic._session.pipeline_slot import PipelineSlot
    from cogmagic._tiers.host_memory import PROCESS

    ram = Ram(total=32 * GIB, available=20 * GIB, mine=11 * GIB)
    machine = replace(Machine.of("RTX 4090"), ram=ram)
    slot = PipelineSlot()
    assert slot.without(machine).ram.for_me == 20 * GIB + PROCESS
    pipe: Any = None
    model = catalogued("5b")
    assert model is not None
    slot.loaded = Loaded(
        pipe, model, Path(), "bfloat16", storage="", files=(), weights="host",
        nbytes=20 * GIB, own=8 * GIB,
    )  # fmt: skip
    assert slot.without(machine).ram.for_me == 28 * GIB + PROCESS  # the rest is mapped files
    slot.loaded.pinned = SimpleNamespace(nbytes=20 * GIB)  # type: ignore[assignment]
    assert slot.without(machine).ram.for_me == 31 * GIB  # all that this process has
