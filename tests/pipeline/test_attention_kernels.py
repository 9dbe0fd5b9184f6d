"""Attention kernels: which one a run uses, and their comparison with torch's own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import cogmagic
from cogmagic import Machine, RequestError
from cogmagic._machine.kernels import (
    MODULES,
    Comparison,
    comparisons,
    delete_comparisons,
    installed_kernels,
    uncompared,
)
from cogmagic._pipeline.attention import check, registry
from cogmagic._pipeline.attention.check import compare, with_comparisons
from cogmagic._pipeline.attention.registry import KERNELS, asked_kernel, fastest_kernel
from tests.helpers.attention import failing, fake_kernels, not_finite, off_by, same

BF16 = "bfloat16"
H100 = Machine.of("H100")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison on the CPU, of fewer tokens."""
    monkeypatch.setattr(check, "_SHAPE", (2, 2, 33))
    monkeypatch.setattr(check, "_device", lambda _: torch.device("cpu"))


@pytest.fixture
def fakes(small: None) -> Iterator[dict[str, Any]]:
    changes = {
        "failing": failing,
        "infinite": not_finite,
        "wrong": off_by(1.0),
        "rough": off_by(0.01),
        "right": same,
    }
    with fake_kernels(**changes) as kernels:
        yield {kernel.name: kernel for kernel in kernels}


def machine(tmp_path: Path, *kernels: str) -> Machine:
    return replace(H100, kernels=kernels, cache_folder=tmp_path)


def fastest(machine: Machine, dtype: str = BF16) -> tuple[str, str]:
    kernel, reason = fastest_kernel(machine, dtype, 64)
    return kernel.name if kernel else "", reason


def test_comparison_measures_the_difference_to_torchs_attention(fakes: dict[str, Any]) -> None:
    state = torch.random.get_rng_state()
    cpu = torch.device("cpu")
    for dtype, exact in (("float32", 1e-6), (BF16, 4e-3), ("float16", 5e-4)):
        right, lasts = compare("right", cpu, dtype, 64)
        assert right.difference is not None
        assert right.difference <= exact
        assert lasts
        rough, _ = compare("rough", cpu, dtype, 64)
        assert rough.difference == pytest.approx(0.01, rel=0.3)
        wrong, _ = compare("wrong", cpu, dtype, 64)
        assert wrong.difference == pytest.approx(1, rel=0.01)
    failed, lasts = compare("failing", cpu, BF16, 64)
    assert (failed.difference, lasts) == (None, True)
    assert failed.reason == "ImportError: undefined symbol: aoti_torch_nothing"
    infinite, _ = compare("infinite", cpu, BF16, 64)
    assert (infinite.difference, infinite.reason) == (None, "its result has NaN or infinity")
    assert torch.equal(torch.random.get_rng_state(), state)


def test_result_of_another_shape_or_dtype_is_a_failure(small: None) -> None:
    with fake_kernels(short=lambda r: r[:, :, :-1], wide=lambda r: r.double()):
        for name, words in (("short", "its result is (2, 2, 32, 64)"), ("wide", "torch.float64")):
            compared, _ = compare(name, torch.device("cpu"), "float32", 64)
            assert compared.difference is None
            assert words in compared.reason


def test_comparison_that_ran_out_of_memory_is_made_again(small: None, tmp_path: Path) -> None:
    def full(_: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    with fake_kernels(full=full):
        here = with_comparisons(machine(tmp_path, "full"), "full", BF16, 64)
        with pytest.raises(RequestError, match="CUDA out of memory"):
            asked_kernel("full", here, BF16, 64)
        assert comparisons("NVIDIA H100", tmp_path) == ()


def test_a_speed_does_without_a_kernel_whose_comparison_ran_out_of_memory(
    small: None, tmp_path: Path
) -> None:
    """In this run alone: the next one compares it again."""
    shortages = [torch.OutOfMemoryError("CUDA out of memory."), RuntimeError("CUDA out of memory")]

    def full(result: Any) -> Any:
        if shortages:
            raise shortages.pop()
        return result

    with fake_kernels(full=full):
        here = machine(tmp_path, "full")
        for expected in ("", "", "full"):
            with_comparisons(here, "", BF16, 64)
            here = replace(here, uncompared=tuple(uncompared))  # as `Machine.detect` has it
            name, reason = fastest(here)
            assert name == expected
            assert ("(OutOfMemoryError: CUDA" in reason or "(RuntimeError" in reason) != bool(name)
            assert asked_kernel("full", here, BF16, 64).name == "full"


def test_a_speed_takes_the_fastest_kernel_that_is_near_torchs(
    fakes: dict[str, Any], tmp_path: Path
) -> None:
    here = machine(tmp_path, *fakes)
    assert fastest(here)[0] == "failing"  # which nobody has compared yet
    here = with_comparisons(here, "", BF16, 64)
    assert fastest(here) == ("right", "")
    assert [c.kernel for c in here.compared] == list(fakes)
    for name in fakes:  # stored for the next kernel
        again = replace(here, compared=comparisons(here.gpus[0].name, tmp_path))
        assert fastest(with_comparisons(again, "", BF16, 64)) == ("right", "")
        assert fakes[name].loads == 1
    only = with_comparisons(machine(tmp_path, "rough"), "", BF16, 64)
    assert fastest(replace(only, kernels=("rough",), compared=only.compared))[0] == ""


def test_a_kernel_asked_for_may_be_off_by_a_twentieth_at_most(
    fakes: dict[str, Any], tmp_path: Path
) -> None:
    def asked(name: str) -> str:
        here = with_comparisons(machine(tmp_path, *fakes), name, BF16, 64)
        return asked_kernel(name, here, BF16, 64).name

    assert asked("right") == "right"
    assert asked("rough") == "rough"
    for name, words in (
        ("wrong", r"differs from torch's flash kernel by 1\.0e\+00, and at most 5e-02"),
        ("failing", "fails on this machine \\(ImportError: undefined symbol"),
        ("infinite", "fails on this machine \\(its result has NaN or infinity\\)"),
    ):
        with pytest.raises(RequestError, match=f"--attention {name}: .*{words}") as error:
            asked(name)
        assert "Leave it out for torch's own" in str(error.value)


def test_comparisons_belong_to_card_dtype_and_versions(
    fakes: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = with_comparisons(machine(tmp_path, *fakes), "wrong", BF16, 64)
    (gpu,) = here.gpus
    assert len(comparisons(gpu.name, tmp_path)) == 1
    assert comparisons("NVIDIA H200", tmp_path) == ()
    assert asked_kernel("wrong", here, "float16", 64).name == "wrong"
    assert asked_kernel("wrong", here, BF16, 32).name == "wrong"
    monkeypatch.setattr("cogmagic._machine.kernels.package_version", lambda _: "99")
    assert comparisons(gpu.name, tmp_path) == ()
    monkeypatch.undo()
    delete_comparisons(tmp_path)
    assert comparisons(gpu.name, tmp_path) == ()


def test_comparisons_last_without_a_folder_and_survive_damage(
    fakes: dict[str, Any], tmp_path: Path
) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    here = with_comparisons(machine(blocked, *fakes), "rough", BF16, 64)
    name = here.gpus[0].name
    assert [c.kernel for c in comparisons(name, blocked)] == ["rough"]
    delete_comparisons(blocked)
    with_comparisons(machine(tmp_path, *fakes), "rough", BF16, 64)
    (file,) = tmp_path.glob("kernels-*")
    for text in ("", "[]", '{"a": 1}', file.read_text().replace('bfloat16", "h', '", "x')):
        file.write_text(text)
        assert comparisons(name, tmp_path) == ()


def test_kernels_are_refused_where_they_do_not_run() -> None:
    def problem(name: Any, card: str, dtype: str = BF16, head_dim: int = 64) -> str:
        with pytest.raises(RequestError) as error:
            asked_kernel(name, Machine.of(card) if card else Machine(), dtype, head_dim)
        return str(error.value)

    assert problem("fa3", "H100", "float16") == (
        "--attention fa3: FlashAttention-3 computes in bfloat16, and this run in float16. Leave it"
        " out for torch's own, or type --dtype bfloat16."
    )
    assert "needs a Hopper GPU (compute capability 9.0), and this GPU has" in problem("fa3", "B200")
    assert "and this GPU has compute capability 8.9" in problem("fa3-fp8", "RTX 4090")
    assert "needs a GPU from Ampere on" in problem("sage", "T4")
    sage = problem("sage", "H100", head_dim=32)
    assert sage.endswith(
        "head dimension of 32. Leave it out for torch's own, or type --attention fa3."
    )
    assert problem("fa2", "") == (
        "--attention fa2: FlashAttention-2 needs an NVIDIA GPU. Leave it out for torch's own."
    )
    for word, meant in (("fa4", "fa3"), ("FLASH_ATTENTION_3", "fa3"), ("SageAttn", "sage")):
        hint = f"Did you mean {meant!r}? Choose from: fa3, sage, fa2, fa3-fp8."
        assert problem(word, "H100") == f"Unknown attention {word!r}. {hint}"
    for word in ("SDPA", "off"):
        assert problem(word, "H100").endswith("leave --attention out for torch's own attention.")
    assert problem(["fa3"], "H100").startswith("Unknown attention ['fa3']. Did you mean 'fa3'?")
    with pytest.raises(RequestError) as error:
        asked_kernel("fa3", replace(H100, kernels=("sage",)), BF16, 64)
    assert str(error.value) == (
        "--attention fa3: FlashAttention-3 is not installed. Leave it out for torch's own, or type"
        " pip install fa3-fwd."
    )


@pytest.mark.parametrize(
    ("card", "dtype", "kernel"),
    [
        ("H100", BF16, "fa3"),
        ("H200", BF16, "fa3"),
        ("H100", "float16", ""),
        ("RTX 4090", BF16, ""),
        ("B200", BF16, ""),
        ("T4", "float16", ""),
    ],
)
def test_a_speed_on_described_machines_has_the_kernels_of_the_extra(
    card: str, dtype: str, kernel: str
) -> None:
    name, reason = fastest(Machine.of(card), dtype)
    assert name == kernel
    assert bool(reason) == (not kernel)


def test_speeds_use_kernels_only_where_they_beat_torchs() -> None:
    own = ("fa2", "sage")
    assert fastest(replace(Machine.of("RTX 4090"), kernels=own))[0] == "fa2"
    name, reason = fastest(replace(H100, kernels=own))
    assert (name, reason) == ("", "FlashAttention-3 is not installed: pip install fa3-fwd")
    assert fastest(replace(H100, kernels=("fa3-fp8", "fa3", *own)))[0] == "fa3"


def test_plans_name_the_kernel_and_warn_if_it_is_not_measured() -> None:
    sage = cogmagic.plan(model="5b", machine=H100, attention="sage")
    remark = "SageAttention is not measured: the seconds are an estimate"
    assert sage.warnings == (remark,)
    assert "kernel   SageAttention, in place of torch's own attention" in str(sage)
    fast = cogmagic.plan(model="5b", machine=H100, speed="fast")
    assert fast.warnings == ()
    assert "kernel   FlashAttention-3" in str(fast)
    assert "kernel " not in str(cogmagic.plan(model="5b", machine=H100))
    fp8 = cogmagic.plan(model="5b", machine=H100, attention="fa3-fp8")
    differs = "differs from torch's flash kernel by 5.4e-2 on an H200"
    assert fp8.warnings == (f"FlashAttention-3 in fp8 {differs}: a run refuses it above 5e-02",)
    near = Comparison("fa3-fp8", BF16, 64, 0.04)
    here = replace(H100, kernels=("fa3-fp8",), compared=(near,))
    assert cogmagic.plan(model="5b", machine=here, attention="fa3-fp8").warnings == ()


def test_plans_name_the_package_of_a_kernel_that_is_not_installed_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    line = "kernel   FlashAttention-3, in place of torch's own attention"
    for installed, rest in (((), " (needs fa3-fwd)"), (("fa3",), "")):
        monkeypatch.setattr(
            "cogmagic._pipeline.attention.base.installed_kernels", lambda here=installed: here
        )
        fast = str(cogmagic.plan(model="5b", machine=H100, speed="fast"))
        assert f"{line}{rest}\n" in f"{fast}\n"
    sage = cogmagic.plan(model="5b", machine=H100, attention="sage")
    assert "torch's own attention (needs sageattention)" in str(sage)


def test_a_speed_names_the_dtype_in_which_a_kernel_works() -> None:
    half = cogmagic.plan(model="2b", machine=H100, speed="fast")
    assert half.speedups.attention == ""
    assert half.speed_remark.endswith("and this run in float16 (type --dtype bfloat16 for it)")
    made = cogmagic.plan(model="2b", machine=H100, speed="fast", dtype="bfloat16")
    assert made.speedups.attention == "fa3"
    assert "--dtype" not in fastest(Machine.of("A100 80GB"), "float16")[1]


def test_tiers_of_several_gpus_are_left_out_if_one_lacks_the_kernel() -> None:
    for machine, possible in (("H100 + RTX 3090", False), ("2x H100 80GB", True)):
        made = cogmagic.plan(model="5b", machine=Machine.of(machine), attention="fa3")
        assert any(c.tier == "balanced" for c in made.candidates) is possible
        assert made.tier != "balanced"
    for options in ({"tier": "balanced"}, {"policy": "rule"}):
        with pytest.raises(RequestError, match="FlashAttention-3 needs a Hopper GPU"):
            cogmagic.plan(
                model="5b", machine=Machine.of("H100 + RTX 3090"), attention="fa3", **options
            )


def test_every_kernel_has_a_module_and_none_is_imported_to_find_it() -> None:
    assert list(KERNELS) == list(MODULES)
    with fake_kernels(right=same) as (kernel,):
        assert kernel.installed()
        assert "right" in installed_kernels()
    for kernel in KERNELS.values():
        assert kernel.package
        assert kernel.install.startswith("pip install ")
        assert not kernel.in_speeds or registry.MAX_DIFFERENCE_IN_SPEEDS < registry.MAX_DIFFERENCE
