"""Trials that need torch, in a process of their own: ``python -m cogmagic._doctor.trials``.

There a crash of a library is a finding, and a notebook's kernel gets no CUDA context. Each result
is printed as a line of JSON as soon as it is known.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from cogmagic._doctor.check import Check, Finding, Result, failure, ok, warning
from cogmagic._doctor.surroundings import Surroundings
from cogmagic._errors import error_line, first_line
from cogmagic._machine.failures import is_device_shortage
from cogmagic._machine.kernels import MODULES, installed_kernels, package_version
from cogmagic._machine.torch_check import checked_by_torch
from cogmagic._units import GIB, MIB, gib

if TYPE_CHECKING:
    import torch

__all__ = ["TRIALS", "main"]


_LOCKED = GIB
"""Bytes that the trial page-locks: a part of what streaming does, in under a second."""


_PRODUCT_ERROR = 0.02
"""Relative error above which a product is wrong: bfloat16, the coarsest, has 8 bits."""


_HEAD_DIM = 64
"""That of every model of the family."""


def try_torch(here: Surroundings) -> Finding:
    """Importing torch and diffusers' pipeline, which takes seconds."""
    from cogmagic._pipeline.libraries import import_libraries

    start = time.perf_counter()
    try:
        import_libraries("t2v")
    except Exception as error:  # a library may raise anything
        return failure(
            f"importing torch and diffusers fails ({error_line(error)})",
            "pip install --force-reinstall torch diffusers transformers accelerate",
        )
    return ok(f"torch, diffusers and transformers imported in {time.perf_counter() - start:.1f} s")


def try_device(here: Surroundings) -> Finding:
    """Starting CUDA, and a first sum on each GPU that a run would use."""
    import torch

    machine = checked_by_torch(here.machine)
    if here.machine.device != "cpu" and machine.device == "cpu":
        text, _, rest = (machine.note or "the GPU cannot be used").partition(". ")
        return failure(text, rest.partition(", then restart")[0] or "nvidia-smi")
    if machine.device == "cpu":
        return ok(f"none; {torch.get_num_threads()} threads of the CPU")
    for index in [g.index for g in machine.gpus] or [0]:
        device = torch.device(machine.device, index)
        try:
            total = float(torch.ones(1000, device=device).sum())
        except RuntimeError as error:
            fix = "nvidia-smi shows its state; a reset or a restart of the machine may help"
            if is_device_shortage(error):
                fix = "free its memory: %cogvideo release, or end other processes on it"
            return failure(f"{device} does not compute ({first_line(error)})", fix)
        if total != 1000:
            return failure(f"{device} computes wrongly: 1000 ones are {total:g}", "nvidia-smi -q")
    left_out = len(here.machine.gpus) - len(machine.gpus)
    text = f"{max(len(machine.gpus), 1)} GPU(s) compute"
    return ok(f"{text}; {left_out} too old for this torch" if left_out else text)


def try_dtypes(here: Surroundings) -> Finding:
    """A product in each dtype of the weights, against the same in float32 on the CPU."""
    import torch

    generator = torch.Generator().manual_seed(0)
    left, right = torch.randn(2, 128, 128, generator=generator)
    works, wrong = list[str](), list[str]()
    for name in ("float32", "float16", "bfloat16"):
        there = {"device": _device(here), "dtype": getattr(torch, name)}
        try:
            product = (left.to(**there) @ right.to(**there)).float().cpu()
        except RuntimeError as error:
            wrong.append(f"{name} ({first_line(error)})")
            continue
        difference = (product - left @ right).norm() / (left @ right).norm()
        (works if float(difference) < _PRODUCT_ERROR else wrong).append(name)
    if wrong:
        return failure(f"wrong products in {', '.join(wrong)}", "update the driver and torch")
    gpu = here.machine.roomiest
    if gpu is not None and here.machine.device == "cuda" and gpu.bf16 is False:
        return warning(
            f"{', '.join(works)}, but {gpu.name} emulates bfloat16, in which 5b and 1.5 were"
            " trained",
            "--model 2b, which is made for float16",
        )
    return ok(", ".join(works))


def try_attention(here: Surroundings) -> Finding:
    """Torch's attention without its plain kernel, and each further kernel that is installed."""
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.nn.functional import scaled_dot_product_attention

    gpu, device = here.machine.roomiest, _device(here)
    if here.machine.device != "cuda" or gpu is None:
        return ok("torch's own; the other kernels need an NVIDIA GPU")
    dtype = torch.bfloat16 if gpu.bf16 is not False else torch.float16
    query = torch.randn(1, 2, 512, _HEAD_DIM, device=device, dtype=dtype)
    fused = [
        SDPBackend.FLASH_ATTENTION,
        SDPBackend.EFFICIENT_ATTENTION,
        SDPBackend.CUDNN_ATTENTION,
    ]
    try:
        with sdpa_kernel(fused):
            scaled_dot_product_attention(query, query, query)
    except RuntimeError as error:
        return warning(
            f"torch has no fused kernel here ({first_line(error)}): attention takes 35 GiB in 2b",
            f"use float16 (--dtype float16), or update torch {here.build.version}",
        )
    return _further_kernels(here, device, str(dtype).removeprefix("torch."))


def _further_kernels(here: Surroundings, device: torch.device, dtype: str) -> Finding:
    """Each installed kernel compared with torch's own; and the one that would be faster."""
    from cogmagic._pipeline.attention.check import compare
    from cogmagic._pipeline.attention.registry import (
        KERNELS,
        MAX_DIFFERENCE,
        fastest_kernel,
        kernel_refusal,
    )

    shown, failed = ["torch's own"], dict[str, str]()
    machine = replace(here.machine, kernels=installed_kernels())
    for name in machine.kernels or ():
        if kernel_refusal(KERNELS[name], machine, dtype, _HEAD_DIM):
            continue
        compared, _ = compare(name, device, dtype, _HEAD_DIM)
        package = MODULES[name][1]
        if compared.difference is None:
            failed[package] = f"{name} {package_version(package)} fails ({compared.reason})"
        elif compared.difference > MAX_DIFFERENCE:
            shown.append(f"{name} is never used, as it differs by {compared.difference:.1e}")
        else:
            shown.append(f"{name} differs by {compared.difference:.1e}")
    if failed:
        return warning(
            "; ".join((*shown, *failed.values())),
            f"pip install --upgrade {' '.join(failed)}, or leave --attention out",
        )
    _, reason = fastest_kernel(machine, dtype, _HEAD_DIM)
    return ok("; ".join(filter(None, (*shown, reason))))


def try_page_locking(here: Surroundings) -> Finding:
    """Page-locking a gibibyte of host memory, which streaming needs for its full pace."""
    import torch

    limit = "ulimit -l: " + (
        "unlimited" if here.locked_limit is None else f"{here.locked_limit / MIB:g} MiB"
    )
    if here.machine.device != "cuda":
        return ok(f"not used without a CUDA GPU; {limit}")
    start = time.perf_counter()
    try:
        torch.empty(_LOCKED, dtype=torch.uint8, pin_memory=True)
    except RuntimeError as error:
        fix = "ulimit -l unlimited, in the shell of the server (docker run --ulimit memlock=-1)"
        if here.wsl:
            fix = "WSL limits it: use --tier model or staged, or Linux without Windows"
        return warning(f"{gib(_LOCKED)} cannot be page-locked ({first_line(error)}); {limit}", fix)
    pace = _LOCKED / (time.perf_counter() - start)
    text = f"{gib(_LOCKED)} page-locked at {pace / 1e9:.1f} GB/s; {limit}"
    if here.locked_limit is not None and len(here.machine.gpus) > 1:
        return warning(
            f"{text}, which NCCL's documentation advises to lift for several GPUs",
            "ulimit -l unlimited, in the shell of the server (docker run --ulimit memlock=-1)",
        )
    return ok(text)


def _device(here: Surroundings) -> torch.device:
    import torch

    gpu = here.machine.roomiest
    if here.machine.device != "cuda" or gpu is None:
        return torch.device(here.machine.device)
    return torch.device("cuda", gpu.index)


TRIALS: tuple[Check, ...] = (
    Check("torch", try_torch),
    Check("computing", try_device),
    Check("dtypes", try_dtypes),
    Check("attention", try_attention),
    Check("page-locking", try_page_locking),
)
"""In their order; each runs only if those before it have not failed."""


def main() -> None:
    """Print the result of each trial as JSON, up to the first failure."""
    here = Surroundings.read()
    for trial in TRIALS:
        result = Result.of(trial, here)
        print(json.dumps(asdict(result)), flush=True)  # noqa: T201 - which the parent reads
        if result.status == "fail":
            return


if __name__ == "__main__":
    main()
