"""No byte of a weights file is downloaded for a request that cannot run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import cogmagic
from cogmagic import CogMagicError, Machine, OutputError, RequestError, TierError
from cogmagic._session.session import Session
from tests.helpers.hub import REPO
from tests.helpers.hub_server import Hub, Repository
from tests.helpers.toy import PROMPT, QUICK

FIVE = "zai-org/CogVideoX-5b"


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Callable[[Machine], None]:
    """Have this machine be another one, until a run would really use it."""

    def be(machine: Machine) -> None:
        monkeypatch.setattr(Machine, "detect", lambda *_, **__: machine)
        monkeypatch.setattr("cogmagic._session.prepare.checked_by_torch", lambda here: here)

    return be


@pytest.fixture
def five(hub: Hub, original: Path) -> Hub:
    """The hub with a repository of the name of 5b's."""
    hub.repositories[FIVE] = Repository(original)
    return hub


def refused(hub: Hub, error: type[CogMagicError], words: str, **options: Any) -> None:
    """The request is refused with these words, and no weights were asked for."""
    with pytest.raises(error, match=words) as failure:
        cogmagic.generate(PROMPT, **options)
    assert "\n" not in str(failure.value)
    assert not hub.gets(".safetensors ")


@pytest.mark.parametrize("model", [REPO, FIVE])
@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"vram_limit": 0.1}, RequestError, "vram_limit=0.1 is out of range"),
        ({"vram_limit": 2000}, RequestError, "neither GiB"),
        ({"policy": "foo"}, TierError, "Unknown policy 'foo'"),
        ({"tier": "foo"}, TierError, "Unknown tier 'foo'"),
        ({"tier": "balanced"}, TierError, "but none may be used"),
        ({"keep": "hott"}, RequestError, "Did you mean 'hot'"),
        ({"dtype": "fp16"}, RequestError, "Unknown dtype"),
        ({"compile": True, "tier": "sequential"}, TierError, "--compile does not work with tier"),
        ({"lean_decode": "yes"}, RequestError, "not True or False"),
        ({"gpus": "3"}, RequestError, "--gpus"),
    ],
    ids=str,
)
def test_bad_options_are_refused_before_download(
    five: Hub, cwd: Path, model: str, options: dict[str, Any], error: Any, words: str
) -> None:
    refused(five, error, words, model=model, **options)


def test_compiling_without_a_compiler_is_refused_before_download(
    five: Hub, cwd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(cwd))
    for name in ("CC", "CXX"):
        monkeypatch.delenv(name, raising=False)
    refused(five, RequestError, r"no C\+\+ compiler is on PATH", model=FIVE, compile=True)


def test_too_little_ram_is_refused_before_download(
    five: Hub, cwd: Path, here: Callable[[Machine], None]
) -> None:
    here(Machine.of(ram=8))
    refused(five, TierError, "lacks .* of RAM", model=FIVE)
    here(Machine.of("RTX 4090", ram=4))
    refused(five, TierError, "the kernel would be killed", model=FIVE, tier="stream")
    here(Machine.of(ram=0.5))
    refused(five, TierError, "lacks .* of RAM", model=REPO, **QUICK)  # even a small model


def test_too_little_vram_is_refused_before_download(
    five: Hub, cwd: Path, here: Callable[[Machine], None]
) -> None:
    here(Machine.of(vram=2, ram=64))
    refused(five, TierError, r"lacks .* of VRAM .*To try anyway: --tier", model=FIVE)
    here(Machine.of("RTX 4090", ram=64))
    refused(five, TierError, "lacks .* of VRAM", model=FIVE, vram_limit=2)


def test_bfloat16_on_an_old_gpu_is_refused_before_download(
    five: Hub, cwd: Path, here: Callable[[Machine], None]
) -> None:
    here(Machine.of("T4", ram=64))
    refused(five, RequestError, "cannot compute in bfloat16", model=FIVE)


def test_too_little_disk_is_refused_before_download(
    five: Hub, cwd: Path, here: Callable[[Machine], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    here(Machine.of("RTX 4090", ram=64))
    monkeypatch.setattr("cogmagic._models.hub.disk._free", lambda _: 2 * 10**9)
    for options in ({}, {"tier": "stream"}):
        refused(five, OutputError, "needs 21.5 GB of disk .* HF_HOME", model=FIVE, **options)
    plan = cogmagic.plan(model=FIVE)
    assert not plan.fits
    assert "GiB of disk" in plan.refusal
    assert plan.refusal.endswith("set HF_HOME to a larger disk and restart the kernel.")


@pytest.mark.slow
def test_a_requested_tier_is_downloaded_and_run_although_vram_is_predicted_to_lack(
    five: Hub, cwd: Path, session: Session, here: Callable[[Machine], None]
) -> None:
    here(Machine.of(vram=0.5, ram=64))
    refused(five, TierError, "lacks .* of VRAM", model=REPO, **QUICK)
    # The run itself asks torch, which has no GPU here, and so goes on on the CPU.
    video = cogmagic.generate(PROMPT, model=REPO, tier="stream", **QUICK)
    assert five.gets(".safetensors ")
    assert video.report.tier == "stream"


def test_a_plan_of_a_requested_tier_that_lacks_only_vram_is_not_refused() -> None:
    small = Machine.of(vram=2, ram=64)
    assert cogmagic.plan(model="5b", machine=small).refusal
    assert not cogmagic.plan(model="5b", machine=small, tier="stream").refusal
    assert not cogmagic.plan(model="5b", machine=small, policy="rule").refusal
    assert cogmagic.plan(model="5b", machine=replace(small, disk=0), tier="stream").fits is False
