"""A run compares its attention kernel before anything is downloaded; plans know the result."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import cogmagic
from cogmagic import Machine, RequestError
from cogmagic._api.kernel import history
from cogmagic._models.request import Request
from cogmagic._pipeline.attention import check
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
