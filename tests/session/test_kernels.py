"""A run tries and compares its kernels before anything is downloaded; plans know the result."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import cogmagic
from cogmagic import Machine, RequestError
from cogmagic._api.kernel import history
from cogmagic._machine import decoding_kernels
from cogmagic._models.request import Request
from cogmagic._pipeline.attention import check
from cogmagic._pipeline.decoding import fast
from cogmagic._planning.memory_options import MemoryOptions
from cogmagic._session import kernels
from tests.helpers.attention import fake_kernels, off_by, same
from tests.helpers.nvml import FakeNvml


@pytest.mark.slow
def test_a_comparison_decides_for_runs_and_plans_until_the_history_is_cleared(
    nvml: FakeNvml, cuda_build: None, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernels, "checked_by_torch", lambda machine: machine)
    monkeypatch.setattr("cogmagic._machine.allocator.use_expandable_segments", lambda: None)
    monkeypatch.setattr(check, "_device", lambda _: torch.device("cpu"))
    monkeypatch.setattr(check, "_SHAPE", (2, 2, 33))
    request = Request.of("a red fox", "5b")

    def compare(**options: str) -> None:
        kernels.compare_kernels(request, MemoryOptions(**options), Machine.detect())

    with fake_kernels(wrong=off_by(1.0), right=same) as (wrong, right):
        compare()
        assert (wrong.loads, right.loads) == (0, 0)  # exact needs none
        assert cogmagic.plan(model="5b", speed="fast").speedups.attention == "wrong"
        compare(speed="fast")
        assert (wrong.loads, right.loads) == (1, 1)
        assert {c.kernel for c in Machine.detect().compared} == {"wrong", "right"}
        assert cogmagic.plan(model="5b", speed="fast").speedups.attention == "right"
        for refused in (cogmagic.plan, lambda **options: compare(attention=options["attention"])):
            with pytest.raises(RequestError, match="at most 5e-02 is allowed"):
                refused(model="5b", attention="wrong")
        compare(attention="right")
        assert kernels.kernel_version("right")["pytest"] == pytest.__version__
        history(clear=True)
        assert Machine.detect().compared == ()


@pytest.fixture
def detected(
    nvml: FakeNvml, cuda_build: None, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A GPU with a compiler, of which plans know no trial; torch here has no CUDA, though."""
    monkeypatch.setattr(decoding_kernels, "_trials", {})
    monkeypatch.setattr("cogmagic._machine.machine.compiler_problem", lambda _: "")
    monkeypatch.setattr("cogmagic._machine.allocator.use_expandable_segments", lambda: None)


@pytest.mark.skipif(torch.cuda.is_available(), reason="the kernels run here")
def test_plans_count_on_fast_decoding_only_where_its_kernels_run(
    detected: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = Request.of("a red fox", "5b")

    def decoding(speed: str = "fast") -> tuple[bool, int, str]:
        plan = cogmagic.plan(model="5b", speed=speed, tier="staged")
        assert plan.chosen is not None
        (phases,) = plan.chosen.traced.gpus
        peak = max(nbytes for phase, nbytes in phases.items() if "decode" in phase)
        return plan.speedups.decode, peak, " ".join(plan.remarks)

    kernels.with_decoding_tried(request, MemoryOptions(), Machine.detect())
    assert decoding_kernels.decoding_trials() == ()  # exact needs none
    planned = decoding()
    assert planned[0]
    trials = []
    real = fast._trial
    monkeypatch.setattr(fast, "_trial", lambda *a: trials.append(a) or real(*a))
    machine = Machine.detect()
    for _ in range(2):
        machine = kernels.with_decoding_tried(request, MemoryOptions(speed="fast"), machine)
    assert trials == [(0, "bfloat16")]
    assert machine.trials == Machine.detect().trials
    decodes, peak, remarks = decoding()
    assert not decodes
    assert peak == decoding("exact")[1] > planned[1] + 2**30
    assert "fast decoding: its Triton kernels do not run here (" in remarks
    half = cogmagic.plan(model="5b", speed="fast", tier="staged", dtype="float16")
    assert half.speedups.decode  # not tried


def test_a_trial_that_ran_out_of_memory_is_made_again(
    detected: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    name = "cogmagic._pipeline.decoding.fast_kernels"
    monkeypatch.setitem(sys.modules, name, SimpleNamespace())
    monkeypatch.setattr(torch.nn, "GroupNorm", full)
    request, options = Request.of("a red fox", "5b"), MemoryOptions(speed="fast")
    kernels.with_decoding_tried(request, options, Machine.detect())
    assert not cogmagic.plan(model="5b", speed="fast").speedups.decode  # as in this run
    monkeypatch.setattr(fast, "_trial", lambda *key: decoding_kernels.DecodingTrial(*key, ""))
    kernels.with_decoding_tried(request, options, Machine.detect())
    assert cogmagic.plan(model="5b", speed="fast").speedups.decode
