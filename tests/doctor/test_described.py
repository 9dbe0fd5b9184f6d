"""Each check on a machine where all is well, and on those where it is made to fail."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cogmagic import Ram
from cogmagic._doctor import trials
from cogmagic._doctor.check import Check, Result
from cogmagic._doctor.registry import CHECKS
from cogmagic._doctor.trials import TRIALS
from cogmagic._machine.torch_build import TorchBuild
from cogmagic._units import GIB, MIB
from tests.doctor.test_real import CASES as REAL
from tests.helpers.attention import failing, fake_kernels, off_by, same
from tests.helpers.surroundings import H100, HEALTHY, T4, machine, packages

BY_NAME = {check.name: check for check in (*CHECKS, *TRIALS)}

ALONE = machine(gpus=(), device="cpu", rates=None)
CROWDED = machine(gpus=(replace(H100, free=20 * GIB, reserved=0),))

CASES: list[tuple[str, str, dict[str, Any], str, str]] = [
    ("Python", "fail", {"python": (3, 10, 2)}, "3.10.2, but cogmagic needs 3.11", "-m venv .venv"),
    (
        "packages",
        "fail",
        {"packages": packages(diffusers="0.30.0")},
        "diffusers>=0.42.1 (here: 0.30.0)",
        'pip install "diffusers>=0.42.1"',
    ),
    ("packages", "warn", {"requirements": ()}, "is not installed", "pip install -e FOLDER"),
    (
        "packages",
        "fail",
        {"packages": packages(diffusers=None)},
        "(here: none)",
        "pip install",
    ),
    (
        "kernel",
        "warn",
        {"packages": packages(ipykernel=None)},
        "not installed",
        "pip install jupyterlab",
    ),
    ("kernel", "warn", {"packages": packages(ipykernel="6.2.0")}, "6.2.0 is older", "pip install"),
    (
        "widgets",
        "warn",
        {"packages": packages(ipywidgets=None)},
        "lacks ipywidgets",
        "ipywidgets",
    ),
    (
        "widgets",
        "warn",
        {"packages": packages(anywidget="0.9.0")},
        "anywidget>=0.11 (here: 0.9.0)",
        "ipywidgets",
    ),
    (
        "front end",
        "warn",
        {"packages": packages(jupyterlab=None)},
        "not installed",
        "ipywidgets",
    ),
    ("front end", "warn", {"packages": packages(jupyterlab="3.6.1")}, "only 4", "-U jupyterlab"),
    ("front end", "warn", {"front_end": "VS Code"}, "VS Code loads", "widgetScriptSources"),
    ("torch build", "fail", {"build": TorchBuild()}, "not installed", "pip install torch"),
    (
        "torch build",
        "fail",
        {"build": TorchBuild("2.13.0+cpu"), "driver_cuda": (12, 8)},
        "torch 2.13.0+cpu, built for CPUs alone, but the driver 580.95.05 runs CUDA 12.8",
        "whl/cu126",
    ),
    (
        "torch build",
        "fail",
        {"driver": "550.54", "driver_cuda": (12, 4)},
        "built for CUDA 13.0, but the driver 550.54 runs CUDA up to 12.4",
        "update the driver, or: pip install",
    ),
    (
        "NVML",
        "fail",
        {"nvml_problem": "Driver/library version mismatch"},
        "1 NVIDIA GPU(s), but NVML does not start (Driver/library version mismatch)",
        "restart the machine",
    ),
    (
        "NVML",
        "fail",
        {"nvml_problem": "NVML Shared Library Not Found", "container": "Docker"},
        "Not Found",
        "docker run --gpus all",
    ),
    ("NVML", "fail", {"nvml_problem": "Driver Not Loaded"}, "Not Loaded", "nvidia-smi"),
    (
        "GPUs",
        "fail",
        {
            "machine": replace(
                ALONE, note="1 NVIDIA GPU(s) hidden by CUDA_VISIBLE_DEVICES=''; using the CPU."
            )
        },
        "hidden by CUDA_VISIBLE_DEVICES=''",
        "unset CUDA_VISIBLE_DEVICES",
    ),
    ("GPUs", "warn", {"machine": ALONE}, "made on the CPU", "plan --model 5b --which-gpu"),
    (
        "free VRAM",
        "warn",
        {"machine": CROWDED},
        "20.00 GiB free of 80.00 GiB; other processes use 60.00 GiB of GPU 0",
        "nvidia-smi lists them",
    ),
    (
        "RAM",
        "fail",
        {"machine": machine(ram=Ram(2 * GIB, GIB // 2, "container"))},
        "0.50 GiB available of 2.00 GiB (the container): torch and diffusers alone take 1.35 GiB",
        "docker run --memory",
    ),
    (
        "fits",
        "warn",
        {"machine": machine(gpus=(replace(T4, free=GIB),))},
        "none but the embedded models: 2b",
        "plan --model 2b",
    ),
    (
        "container",
        "warn",
        {"machine": machine(ram=Ram(16 * GIB, 8 * GIB, "machine", mappable=4 * GIB))},
        "ulimit -v or -d leaves 4.00 GiB",
        "ulimit -v unlimited",
    ),
    (
        "container",
        "warn",
        {"machine": machine(gpus=(H100, replace(H100, index=1))), "shared_memory": 64 * MIB},
        "of 64 MiB is too little",
        "--shm-size=1g",
    ),
    (
        "WSL",
        "warn",
        {"release": "5.15.153.1-microsoft-standard-WSL2"},
        "WSL gives Linux 128.00 GiB",
        ".wslconfig",
    ),
    (
        "computing",
        "fail",
        {},  # torch of the tests has no CUDA, as with a driver that is too old for it
        "cannot start CUDA: the driver is too old for it",
        "pip install --force-reinstall torch --index-url",
    ),
    (
        "dtypes",
        "warn",
        {"machine": machine(gpus=(T4,))},
        "Tesla T4 emulates bfloat16",
        "--model 2b",
    ),
    ("page-locking", "warn", {}, "1.00 GiB cannot be page-locked", "ulimit -l unlimited"),
    (
        "page-locking",
        "warn",
        {"release": "5.15-microsoft-standard-WSL2", "locked_limit": 64 * 1024},
        "ulimit -l: 0.0625 MiB",
        "WSL limits it",
    ),
]


@pytest.fixture
def torch_on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """The trials of a described GPU compute on the CPU."""
    import torch

    monkeypatch.setattr(trials, "_device", lambda _: torch.device("cpu"))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_check_is_ok_where_all_is_well(check: Check) -> None:
    result = Result.of(check, HEALTHY)
    assert (result.status, result.fix) == ("ok", "")
    assert result.text


@pytest.mark.parametrize(
    ("name", "status", "changes", "text", "fix"), CASES, ids=[f"{c[0]}-{c[3][:20]}" for c in CASES]
)
def test_check_names_the_problem_and_how_to_fix_it(
    name: str, status: str, changes: dict[str, Any], text: str, fix: str, torch_on_cpu: None
) -> None:
    result = Result.of(BY_NAME[name], replace(HEALTHY, **changes))
    assert result.status == status
    assert text in result.text
    assert fix in result.fix


def test_every_check_is_made_to_fail() -> None:
    assert {*BY_NAME} == {case[0] for case in CASES} | {*REAL} | {"attention"}


def test_dtype_that_computes_wrongly(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(trials, "_device", lambda _: torch.device("meta"))  # which has no numbers
    result = Result.of(BY_NAME["dtypes"], HEALTHY)
    assert result.status == "fail"
    assert result.text.startswith("wrong products in float32 (")


def test_attention_kernels(torch_on_cpu: None) -> None:
    result = Result.of(BY_NAME["attention"], HEALTHY)
    assert result.status == "ok"
    assert result.text.startswith("torch's own; FlashAttention-3 is not installed: pip install")
    with fake_kernels(one=same, far=off_by(0.2)):
        result = Result.of(BY_NAME["attention"], HEALTHY)
    assert result.status == "ok"
    assert result.text.startswith("torch's own; one differs by ")
    assert "far is never used, as it differs by 2.0e-01" in result.text
    with fake_kernels(one=same, two=failing):
        result = Result.of(BY_NAME["attention"], HEALTHY)
    assert result.status == "warn"
    assert "two" in result.text
    assert "undefined symbol: aoti_torch_nothing" in result.text
    assert result.fix == "pip install --upgrade pytest, or leave --attention out"


def test_no_fused_attention(monkeypatch: pytest.MonkeyPatch, torch_on_cpu: None) -> None:
    import torch

    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("No available kernel. Aborting execution.")

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", refuse)
    result = Result.of(BY_NAME["attention"], HEALTHY)
    assert result.status == "warn"
    assert "no fused kernel here (No available kernel" in result.text


def test_check_that_breaks_down_is_a_failure_of_its_own() -> None:
    result = Result.of(Check("odd", lambda _: 1 / 0), HEALTHY)  # type: ignore[arg-type,return-value]
    assert result.status == "fail"
    assert "the check itself failed (ZeroDivisionError: division by zero)" in result.text
    assert "--report" in result.fix
