"""The published rule: the tier it chooses, and the calls on the pipeline.

No GPU is here, so the pipeline's own methods are recorded instead of run; that each tier really
places the weights is shown by tests/tiers and, on GPUs, by tests/gpu.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import CogVideoXPipeline

import cogmagic
from cogmagic import Gpu, Machine, Request, TierError
from cogmagic._models.catalog import MODELS
from cogmagic._pipeline.load import load
from cogmagic._pipeline.spec import PipelineSpec
from cogmagic._planning.rule_of_thumb import rule_of_thumb
from cogmagic._tiers.device_map import load_balanced
from cogmagic._units import GIB
from tests.helpers.placing import placed
from tests.helpers.plans import five, machine, plan

ROWS = [
    # one GPU, under 16 GB: each layer to the GPU when it is used
    ("RTX 3060", None, "sequential", ["enable_sequential_cpu_offload"]),
    ("T4", None, "sequential", ["enable_sequential_cpu_offload"]),
    ("RTX 4090", 15.0, "sequential", ["enable_sequential_cpu_offload"]),
    # one GPU, 16 to 24 GB: one whole component at a time
    ("RTX 4080", None, "model", ["enable_model_cpu_offload"]),
    ("RTX 4090", None, "model", ["enable_model_cpu_offload"]),
    ("A100 40GB", 20.0, "model", ["enable_model_cpu_offload"]),
    # one GPU, over 24 GB: no offload
    ("RTX 5090", None, "none", []),
    ("H100 SXM", None, "none", []),
    # several GPUs: all offload off, device_map="balanced"
    ("2x T4", None, "balanced", ["device_map=balanced"]),
    ("2x H100 SXM", None, "balanced", ["device_map=balanced"]),
    ("RTX 3090 + RTX 3060", None, "balanced", ["device_map=balanced"]),
]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is asked of the pipeline, by name."""
    made: list[str] = []

    def record(name: str) -> Any:
        def called(self: Any, *args: Any, **options: Any) -> None:
            made.append(name)
            self._all_hooks = []

        return called

    for name in ("enable_sequential_cpu_offload", "enable_model_cpu_offload"):
        monkeypatch.setattr(CogVideoXPipeline, name, record(name))
    from_pretrained = CogVideoXPipeline.from_pretrained.__func__

    def loaded(cls: Any, *args: Any, **options: Any) -> Any:
        if "device_map" in options:
            made.append(f"device_map={options.pop('device_map')}")
            assert set(options.pop("max_memory")) == {0, 1}
            pipe = from_pretrained(cls, *args, **options)
            pipe.hf_device_map = {"transformer": 0, "vae": 1, "text_encoder": 1}  # as here by size
            return pipe
        return from_pretrained(cls, *args, **options)

    monkeypatch.setattr(CogVideoXPipeline, "from_pretrained", classmethod(loaded))
    return made


@pytest.mark.parametrize(("gpus", "vram", "tier", "expected"), ROWS)
def test_rule_row_chooses_the_tier_and_its_calls(
    gpus: str, vram: float | None, tier: str, expected: list[str], calls: list[str], toy: Path
) -> None:
    machine = Machine.of(gpus, vram=vram)
    plan = cogmagic.plan(model="2b", policy="rule", machine=machine)
    assert (plan.tier, plan.rule) == (tier, tier)
    if tier == "balanced":
        assert plan.chosen is not None
        pipe = load_balanced(
            PipelineSpec(toy, "t2v", "float32"), machine, plan.chosen.needs.variant.order
        )
    else:
        pipe = load(PipelineSpec(toy, "t2v", "float32"))
        device = torch.device("cpu" if tier == "none" else "meta")  # a GPU, to the recorded calls
        with placed(pipe, plan.tier, device):
            assert not any(hasattr(m, "_hf_hook") for m in pipe.transformer.modules())
    assert calls == expected
    assert pipe.vae.use_slicing  # always, on several GPUs as well
    assert pipe.vae.use_tiling


def test_deepspeed_row_moves_components_by_hand() -> None:
    """That no hook is there while it makes videos, and what is moved: see tests/training."""
    for gpus in ("RTX 3060", "RTX 4090", "H100 SXM", "8x H100 SXM"):
        plan = cogmagic.plan(context="training", zero_stage=2, machine=Machine.of(gpus))
        assert plan.tier == "deepspeed"
        for asked in ("model", "sequential", "balanced"):
            with pytest.raises(cogmagic.TierError, match="under DeepSpeed"):
                cogmagic.plan(
                    context="training", zero_stage=2, machine=Machine.of(gpus), tier=asked
                )


TINY = MODELS[0]


@pytest.mark.parametrize(
    ("free", "tier"),
    [
        ((15.0,), "sequential"),
        ((15.6,), "model"),
        ((15.99,), "model"),
        ((16.0,), "model"),
        ((23.5,), "model"),
        ((23.99,), "model"),
        ((24.0,), "model"),
        ((24.1,), "none"),
        ((4.0,), "sequential"),
        ((), "none"),
        ((80.0, 80.0), "balanced"),
        ((8.0, 8.0), "balanced"),
        ((24.1, 24.1, 24.1), "balanced"),
    ],
)
def test_rule_thresholds(free: tuple[float, ...], tier: str) -> None:
    assert rule_of_thumb(machine(*free))[0] == tier


def test_cached_vram_of_this_kernel_counts_as_available() -> None:
    gpu = Gpu(0, "GPU", total=24 * GIB, free=10 * GIB, reserved=12 * GIB, allocated=4 * GIB)
    assert gpu.available == 18 * GIB
    assert gpu.others == 2 * GIB
    assert rule_of_thumb(Machine((gpu,), device="cuda"))[0] == "model"


def test_rule_on_mps_and_with_unknown_vram() -> None:
    assert rule_of_thumb(Machine(device="mps")) == ("none", "on MPS: nothing is offloaded")
    tier, why = rule_of_thumb(Machine((Gpu(0, "Odd card"),), device="cuda"))
    assert tier == "sequential"
    assert "does not report" in why


def test_rule_policy_uses_the_rule() -> None:
    request = Request.of("a circle", TINY, seed=1)
    chosen = plan(request, machine(18.0), policy="rule")
    assert (chosen.tier, plan(request, machine(18.0)).tier) == ("model", "none")
    text = str(chosen)
    assert "tier     model (model offload): one whole component on the GPU at a time" in text
    assert "18.0 GiB of VRAM available, which counts as 18: 16 to 24" in text
    assert "float32 on GPU0" in text
    with pytest.raises(TierError, match="Did you mean 'rule'"):
        plan(request, machine(18.0), policy="rules")


def test_rule_keeps_to_the_vram_limit() -> None:
    found = plan(five(), Machine.of("RTX 4090"), policy="rule", vram_limit=8 * GIB)
    assert found.tier == "sequential"
