"""The attention kernels by name, and which of them a run uses.

To add a kernel, write its file with a subclass of `AttentionKernel`, add its module to `MODULES` in
`cogmagic._machine.kernels` and the class to `KERNELS`.
"""

from __future__ import annotations

from functools import partial

from cogmagic._errors import RequestError
from cogmagic._machine.kernels import EXTRA, Comparison
from cogmagic._machine.machine import Machine
from cogmagic._models.choices import choice_hint
from cogmagic._pipeline.attention.base import AttentionKernel, Capability
from cogmagic._pipeline.attention.fa2 import FlashAttention2
from cogmagic._pipeline.attention.fa3 import FlashAttention3
from cogmagic._pipeline.attention.fa3_fp8 import FlashAttention3Fp8
from cogmagic._pipeline.attention.sage import SageAttention

__all__ = [
    "KERNELS",
    "MAX_DIFFERENCE",
    "MAX_DIFFERENCE_IN_SPEEDS",
    "asked_kernel",
    "check_kernel_name",
    "fastest_kernel",
    "kernel_refusal",
    "kernel_remark",
]


KERNELS: dict[str, AttentionKernel] = {
    kernel.name: kernel
    for kernel in (FlashAttention3(), SageAttention(), FlashAttention2(), FlashAttention3Fp8())
}
"""All attention kernels by name, the fastest first; last the one that failed its comparison."""


MAX_DIFFERENCE = 5e-2
"""The relative difference to torch's flash kernel above which a kernel is never used."""


MAX_DIFFERENCE_IN_SPEEDS = 5e-3
"""The relative difference above which a ``--speed`` leaves a kernel out."""


_TORCHS_OWN = frozenset(
    ["auto", "cudnn", "default", "false", "math", "native", "no", "none", "off", "sdpa", "torch"]
)
"""Words for torch's own attention, which a run without ``--attention`` and ``--speed`` uses."""


def check_kernel_name(name: str) -> None:
    """Refuse an unknown kernel.

    Raises:
        RequestError: with the nearest name and all names.
    """
    if str(name).lower() in _TORCHS_OWN:
        raise RequestError(f"--attention {name}: leave --attention out for torch's own attention.")
    if name and (not isinstance(name, str) or name not in KERNELS):
        hint = choice_hint("attention", str(name), tuple(KERNELS))
        raise RequestError(f"Unknown attention {name!r:.80}.{hint}")


def asked_kernel(
    name: str, machine: Machine, dtype: str, head_dim: int, *, several: bool = False
) -> AttentionKernel:
    """The kernel that ``--attention`` names.

    Args:
        name: one of `KERNELS`.
        machine: where the run would be.
        dtype: of the run.
        head_dim: of the model.
        several: whether the transformer may be on any of the GPUs.

    Raises:
        RequestError: why it cannot be used, and what to type instead.
    """
    check_kernel_name(name)
    kernel = KERNELS[name]

    def refusal(kernel: AttentionKernel, dtype: str) -> str:
        return kernel_refusal(kernel, machine, dtype, head_dim, several=several)

    reason = refusal(kernel, dtype)
    if not reason:
        return kernel
    near_first = sorted(KERNELS.values(), key=lambda k: not k.in_speeds)
    usable = (k for k in near_first if not refusal(k, dtype))
    other = next((f", or type --attention {k.name}" for k in usable), "")
    if not refusal(kernel, kernel.dtypes[-1]):
        other = f", or type --dtype {kernel.dtypes[-1]}"
    elif reason == _not_installed(kernel):
        reason, other = f"{kernel.title} is not installed", f", or type {kernel.install}"
    raise RequestError(f"--attention {name}: {reason}. Leave it out for torch's own{other}.")


def fastest_kernel(
    machine: Machine, dtype: str, head_dim: int, *, several: bool = False
) -> tuple[AttentionKernel | None, str]:
    """The kernel that a ``--speed`` uses, or None for torch's own with the reason.

    Args:
        machine: where the run would be.
        dtype: of the run.
        head_dim: of the model.
        several: whether the transformer may be on any of the GPUs.
    """
    reasons, capabilities = [], _capabilities(machine, several)
    refusal = partial(
        kernel_refusal,
        machine=machine,
        head_dim=head_dim,
        most=MAX_DIFFERENCE_IN_SPEEDS,
        several=several,
    )
    for kernel in KERNELS.values():
        if not kernel.in_speeds or (machine.kernels is None and kernel.name not in EXTRA):
            continue
        reason = refusal(kernel, dtype=dtype)
        if reason and not refusal(kernel, dtype=kernel.dtypes[-1]):
            reason += f" (type --dtype {kernel.dtypes[-1]} for it)"
        reason = reason or _not_compared(kernel, machine)
        if not reason and all(kernel.in_speed(c) for c in capabilities):
            return kernel, ""
        reasons += [reason] if reason else []
    return None, next(iter(reasons), "")


def kernel_refusal(
    kernel: AttentionKernel,
    machine: Machine,
    dtype: str,
    head_dim: int,
    *,
    most: float = MAX_DIFFERENCE,
    several: bool = False,
) -> str:
    """Why a kernel cannot be used on a machine; empty if it can. A clause without a period.

    Args:
        kernel: one of `KERNELS`.
        machine: where the run would be.
        dtype: of the run.
        head_dim: of the model.
        most: the relative difference to torch's flash kernel that is allowed.
        several: whether the transformer may be on any of the GPUs.
    """
    for capability in _capabilities(machine, several):
        if reason := kernel.refusal(capability, dtype, head_dim):
            return reason
    if machine.kernels is not None and kernel.name not in machine.kernels:
        return _not_installed(kernel)
    for compared in machine.compared:
        if (compared.kernel, compared.dtype, compared.head_dim) == (kernel.name, dtype, head_dim):
            return _failure(kernel, compared, most)
    return ""


def kernel_remark(name: str, machine: Machine) -> str:
    """The remark on a plan whose kernel has not been measured, or that a run may refuse; or empty.

    Args:
        name: one of `KERNELS`; empty for torch's own.
        machine: where the run would be.
    """
    if not name:
        return ""
    kernel, compared = KERNELS[name], {c.kernel for c in machine.compared}
    if kernel.elsewhere and name not in compared:
        return f"{kernel.title} {kernel.elsewhere}: a run refuses it above {MAX_DIFFERENCE:.0e}"
    if kernel.measured:
        return ""
    return f"{kernel.title} is not measured: the seconds are an estimate"


def _not_installed(kernel: AttentionKernel) -> str:
    return f"{kernel.title} is not installed: {kernel.install}"


def _not_compared(kernel: AttentionKernel, machine: Machine) -> str:
    """Why a kernel's comparison was not made in this run; empty if it was."""
    reason = next((c.reason for c in machine.uncompared if c.kernel == kernel.name), "")
    return reason and f"{kernel.title} was not compared with torch's own ({reason})"


def _failure(kernel: AttentionKernel, compared: Comparison, most: float) -> str:
    """Why a comparison rules its kernel out; empty if it does not."""
    if compared.difference is None:
        return f"{kernel.title} fails on this machine ({compared.reason})"
    if compared.difference > most:
        return (
            f"the result of {kernel.title} on this GPU differs from torch's flash kernel by"
            f" {compared.difference:.1e}, and at most {most:.0e} is allowed"
        )
    return ""


def _capabilities(machine: Machine, several: bool) -> list[Capability]:
    """The compute capability of each GPU that the transformer may be on."""
    gpus = machine.gpus if several else (machine.roomiest,)
    return [g.capability if g and machine.device == "cuda" else None for g in gpus] or [None]
