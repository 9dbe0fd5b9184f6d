"""Runs at each speed, with a compiler that compiles nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import cogmagic
from cogmagic._pipeline import compile as _compile
from cogmagic._session.session import Session
from tests.helpers.pipelines import traces
from tests.helpers.toy import PROMPT, QUICK


@pytest.fixture(autouse=True)
def compiler(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The functions that were compiled, each of which runs as it is."""
    compiled: list[Any] = []

    def compile_nothing(forward: Any, *, dynamic: bool) -> Any:
        compiled.append(forward)
        return lambda *args, **kwargs: forward(*args, **kwargs)

    monkeypatch.setattr("torch.compile", compile_nothing)
    monkeypatch.setattr(_compile, "_COMPILED", set())
    monkeypatch.setattr(_compile, "_KEYS", set())
    return compiled


def test_facts_line_names_the_speed_and_what_it_leaves_out(
    toy: Path, cwd: Path, session: Session, compiler: list[Any]
) -> None:
    options: dict[str, Any] = QUICK | {"model": str(toy)}
    exact = cogmagic.generate(PROMPT, **options)
    assert compiler == []
    assert "--speed" not in exact.facts_line()
    fast = cogmagic.generate(PROMPT, **options, speed="fast")
    assert compiler
    assert fast.report.speedups == ("compile",)
    facts = fast.facts_line()
    assert (
        "; --speed fast leaves out faster attention: FlashAttention-3 needs an NVIDIA GPU" in facts
    )
    assert " · --speed fast · " in facts
    assert fast.report.frames_sha256 == exact.report.frames_sha256  # nothing was compiled
    sequential = cogmagic.generate(PROMPT, **options, speed="fast", tier="sequential")
    assert (
        "leaves out compiling: tier 'sequential' loads layer by layer; " in sequential.facts_line()
    )
    assert sequential.report.speedups == ()
    assert session.loaded is not None
    assert traces(session.loaded.pipe) == []


def test_plans_know_the_code_that_this_kernel_has(toy: Path, cwd: Path, session: Session) -> None:
    options: dict[str, Any] = QUICK | {"model": str(toy), "speed": "fast"}
    first = cogmagic.generate(PROMPT, **options)
    assert "compile" in first.report.seconds
    (key,) = _compile.compiled_code()
    for change in ({"tier": "model"}, {"keep": "hot"}, {"keep": "hot", "tier": "stream"}, {}):
        again = cogmagic.generate(PROMPT, **(options | change))
        assert "compile" not in again.report.seconds
        assert _compile.compiled_code() == {key}
    other = cogmagic.generate(PROMPT, **(options | {"num_frames": 17}))
    assert "compile" in other.report.seconds
    assert len(_compile.compiled_code()) == 2


def test_batch_of_another_speed_does_not_resume_a_folder(
    toy: Path, cwd: Path, session: Session
) -> None:
    options: dict[str, Any] = QUICK | {"model": str(toy), "save": "clips", "cache": "first-block"}
    assert len(list(cogmagic.generate_many([PROMPT, "b"], **options))) == 2
    options["cache"] = "first-block:0.08"  # the same
    assert len(list(cogmagic.generate_many([PROMPT, "b"], **options))) == 2
    with pytest.raises(cogmagic.OutputError, match="speed is 'exact' there and 'fast' here"):
        cogmagic.generate_many([PROMPT, "b"], **options, speed="fast")
