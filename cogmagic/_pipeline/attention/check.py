"""The comparison of an attention kernel with torch's own, before its first use on a GPU."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from cogmagic._errors import error_line
from cogmagic._machine.failures import is_shortage
from cogmagic._machine.kernels import Comparison, store_comparison, uncompared
from cogmagic._machine.machine import Machine
from cogmagic._pipeline.attention.operator import operator
from cogmagic._pipeline.attention.registry import KERNELS, fastest_kernel, kernel_refusal

if TYPE_CHECKING:
    import torch

__all__ = ["compare", "with_comparisons"]


_SHAPE = (2, 4, 2274)
"""Batch, heads and tokens of the comparison: guidance, a few heads, a number of no tile's size."""


def with_comparisons(machine: Machine, asked: str, dtype: str, head_dim: int) -> Machine:
    """The machine with the comparison of the kernel that a run would use, made now if need be.

    Takes milliseconds on a GPU, once per kernel, package, card and torch; the results are stored.
    Where memory ran out, a speed does without the kernel in this run, and the next one compares.

    Args:
        machine: as detected, with torch imported.
        asked: the kernel that ``--attention`` names; empty for those of a ``--speed``.
        dtype: of the run.
        head_dim: of the model.
    """
    from cogmagic._machine.allocator import use_expandable_segments

    folder, gpu = machine.cache_folder, machine.roomiest
    uncompared.clear()
    machine = replace(machine, uncompared=())
    while kernel := _next(machine, asked, dtype, head_dim):
        use_expandable_segments()  # before the first tensor on the GPU
        comparison, lasts = compare(kernel, _device(machine), dtype, head_dim)
        if not lasts and not asked:  # `asked_kernel` refuses
            uncompared.append(comparison)
        elif lasts and gpu and folder:
            store_comparison(gpu.name, comparison, folder)
        machine = replace(machine, compared=(*machine.compared, comparison))
    return machine


def _next(machine: Machine, asked: str, dtype: str, head_dim: int) -> str:
    """The name of the kernel that a run would use and that has not been compared; or empty."""
    if machine.kernels is None:
        return ""
    if asked:
        name = "" if kernel_refusal(KERNELS[asked], machine, dtype, head_dim) else asked
    else:
        fastest, _ = fastest_kernel(machine, dtype, head_dim)
        name = fastest.name if fastest else ""
    done = ((c.kernel, c.dtype, c.head_dim) for c in machine.compared)
    return "" if (name, dtype, head_dim) in done else name


def _device(machine: Machine) -> torch.device:
    import torch

    gpu = machine.roomiest
    return torch.device("cuda", gpu.index) if gpu else torch.device("cpu")


def compare(
    kernel: str, device: torch.device, dtype: str, head_dim: int
) -> tuple[Comparison, bool]:
    """One small attention by a kernel and by torch; and whether the result holds for later runs.

    It does not where memory ran out. The random numbers of the process stay as they are.

    Args:
        kernel: a name in `KERNELS`.
        device: where to compute.
        dtype: of query, key and value.
        head_dim: of a head.
    """
    import torch

    try:
        difference = _difference(kernel, device, getattr(torch, dtype), head_dim)
    except Exception as error:  # whatever a package raises rules it out
        lasts = not is_shortage(error)
        return Comparison(kernel, dtype, head_dim, None, error_line(error)), lasts
    if not math.isfinite(difference):
        reason = "its result has NaN or infinity"
        return Comparison(kernel, dtype, head_dim, None, reason), True
    return Comparison(kernel, dtype, head_dim, difference), True


def _difference(kernel: str, device: torch.device, dtype: torch.dtype, head_dim: int) -> float:
    """Norm of the difference to torch's result over the norm of torch's result."""
    import torch

    batch, heads, tokens = _SHAPE
    generator = torch.Generator(device).manual_seed(0)
    # In memory as a run has them: query and key by heads after their norms, the value by tokens.
    by_heads, by_tokens = (batch, heads, tokens, head_dim), (batch, tokens, heads, head_dim)
    query, key, value = (
        torch.randn(shape, generator=generator, device=device, dtype=dtype)
        for shape in (by_heads, by_heads, by_tokens)
    )
    value = value.transpose(1, 2)
    with torch.no_grad():
        expected = _expected(query, key, value)
        result = operator()(query, key, value, kernel)
    if (result.shape, result.dtype) != (query.shape, dtype):
        raise RuntimeError(f"its result is {tuple(result.shape)} in {result.dtype}")
    norm = torch.linalg.vector_norm
    return float(norm(result.float() - expected) / norm(expected))


def _expected(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Attention by torch's flash kernel, or without one in float32 by its plain one; float32."""
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.nn.functional import scaled_dot_product_attention as attention

    if query.is_cuda:
        try:
            with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
                return attention(query, key, value).float()
        except RuntimeError:  # no flash kernel for this dtype, head dimension or GPU
            pass
    with sdpa_kernel(SDPBackend.MATH):
        return attention(query.float(), key.float(), value.float())
