"""The dtype of a plan, and its risks."""

from __future__ import annotations

import pytest

import cogmagic
from cogmagic import Machine, RequestError
from tests.helpers.plans import five, plan


def test_bfloat16_is_refused_on_a_gpu_without_it() -> None:
    with pytest.raises(RequestError, match="T4 cannot compute in bfloat16") as error:
        plan(five(), Machine.of("T4"))
    assert "--dtype float16" in str(error.value)
    risky = plan(five(dtype="float16"), Machine.of("T4"))
    assert risky.dtype == "float16"
    black = "5b was trained in bfloat16: in float16 the picture may be black"
    assert black in risky.warnings
    assert f"warning  {black}\nwarning  T4 is older than Ampere" in str(risky)
    two = cogmagic.plan(model="2b", machine=Machine.of("T4"))
    assert two.dtype == "float16"
    assert [w for w in two.warnings if "black" in w] == []
    assert plan(five(), Machine.of("RTX 4090")).warnings == ()
    with pytest.raises(RequestError, match=r"Use --gpus 1 \(RTX 3060\), --model 2b, or try"):
        plan(five(), Machine.of("T4 + RTX 3060"))
    assert cogmagic.plan(model="5b", machine=Machine.of("T4 + RTX 3060"), gpus=1).fits


def test_seconds_in_float32_are_unknown() -> None:
    found = cogmagic.plan(model="5b", machine=Machine.of("A100 80GB"), dtype="float32")
    assert found.fits
    assert found.step_seconds is None
    assert "n/a" in str(found)
    assert found.reason.startswith("the simplest tier that fits")
    assert found.times.startswith("unknown: ")
