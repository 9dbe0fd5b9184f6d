"""The plan of a validation."""

from __future__ import annotations

from typing import Any

import pytest

import cogmagic
from cogmagic import RequestError, TierError, TrainingError
from cogmagic.training import validation


def test_tier_that_a_validation_does_not_have_is_refused(accelerator: Any, pipe: Any) -> None:
    with pytest.raises(TierError, match="Choose from: model, sequential"):
        validation(pipe, accelerator, tier="balanced").__enter__()


def test_unknown_dtype_is_refused(accelerator: Any, pipe: Any) -> None:
    with pytest.raises(RequestError, match="Choose from: float16, bfloat16, float32"):
        validation(pipe, accelerator, dtype="fp8").__enter__()  # type: ignore[arg-type]


def test_plan_for_training_refuses_options_of_runs() -> None:
    machine = cogmagic.Machine.of("H100")
    options: tuple[dict[str, Any], ...] = (
        {"speed": "fast"},
        {"compile": True},
        {"attention": "fa3"},
    )
    for option in options:
        with pytest.raises(RequestError, match=f"training takes no {next(iter(option))}:"):
            cogmagic.plan(context="training", machine=machine, **option)


def test_plan_on_described_machines() -> None:
    machine = cogmagic.Machine.of("RTX 4090")
    whole = cogmagic.plan(model="5b", context="training", machine=machine)
    assert whole.tier == "model"
    assert whole.needs["encode"] > 8 * 2**30
    busy = cogmagic.Machine.of("RTX 4090", vram=9.5)
    assert cogmagic.plan(model="5b", context="training", machine=busy).tier == "sequential"
    full = cogmagic.Machine.of("RTX 4090", vram=2.0)
    with pytest.raises(TrainingError, match=r"1\.71 GiB are free"):
        cogmagic.plan(model="5b", context="training", machine=full).check()
    zero = cogmagic.plan(model="5b", context="training", zero_stage=3, machine=machine)
    assert zero.tier == "deepspeed"
    assert "nothing is offloaded" in str(zero)
    assert "every process runs all of them" in str(zero)
    with pytest.raises(TierError, match="under DeepSpeed"):
        cogmagic.plan(model="5b", context="training", zero_stage=2, tier="model", machine=machine)
    with pytest.raises(RequestError, match="Choose from: notebook, training"):
        cogmagic.plan(context="trainning")
