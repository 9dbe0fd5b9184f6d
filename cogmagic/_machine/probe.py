"""The probe: measures the rates of a CUDA device and its host."""

from __future__ import annotations

import time
from contextlib import suppress
from functools import partial
from statistics import median
from typing import TYPE_CHECKING

from cogmagic._machine.cards.efficiency import PROBED, efficiency_of
from cogmagic._machine.gpu import has_bf16
from cogmagic._machine.rates import PINNING, Rates

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

__all__ = ["probe"]


_SIZE = 4096
"""Rows and columns of the products."""


_ATTENTION = 2, 48, 4276, 64
"""Batch, heads, tokens and head dimension of 5b with 9 frames of 720×480, and guidance."""


_PASS_BYTES = 256 * 2**20


_MAPPED_BYTES = 256 * 2**20


_TENSORS, _WIDTH = 16, 64
"""Tensors of the probe's model, and the features of its layers."""


def probe(device: torch.device) -> Rates:
    """Measure a CUDA device and its host, in under a second once CUDA and the libraries are loaded.

    The fastest of several large products and copies is taken, but the median of layers onloaded one
    by one and of memory mapped by the driver. These two alternate, because a host's pace changes
    from second to second, and either one repeated alone is up to twice as fast as in a run.
    """
    import torch

    capability = torch.cuda.get_device_capability(device)
    known = efficiency_of(capability)
    dtype = torch.bfloat16 if has_bf16(capability) else torch.float16
    left = torch.randn(_SIZE, _SIZE, device=device, dtype=dtype)
    host = torch.empty(256 * 2**20, dtype=torch.uint8, device="cpu").fill_(1)
    pinned = host[: 64 * 2**20].pin_memory()
    [products] = _times(device, 0.2, lambda: left @ left)
    [copies] = _times(device, 0.2, lambda: host.to(device))
    [locked] = _times(device, 0.05, lambda: pinned.to(device))
    tensors, mappings = _times(device, 0.15, _layers(device, dtype), lambda: _map_memory(device))
    rate = 2 * _SIZE**3 / min(products)
    return Rates(
        products=rate * PROBED.products,
        attention=_attention(device, dtype) * PROBED.attention,
        decode=rate * PROBED.decode,
        memory=_passes(device, dtype) * PROBED.memory,
        fp8=_fp8(device) * PROBED.fp8 if known.fp8 else 0.0,
        pageable=host.numel() / min(copies),
        locked=pinned.numel() / min(locked),
        pinning=_pinning(device, host),
        source="probe",
        tensor=median(tensors) / _TENSORS,
        mapping=_MAPPED_BYTES / median(mappings),
        kernels=known.kernels,
    )


def _attention(device: torch.device, dtype: torch.dtype) -> float:
    """Operations a second of torch's own attention, with the family's head dimension."""
    import torch
    from torch.nn.functional import scaled_dot_product_attention

    batch, heads, tokens, dim = _ATTENTION
    query, key, value = torch.randn(3, *_ATTENTION, device=device, dtype=dtype)
    [times] = _times(device, 0.1, lambda: scaled_dot_product_attention(query, key, value))
    return 4 * batch * heads * tokens**2 * dim / min(times)


def _passes(device: torch.device, dtype: torch.dtype) -> float:
    """Bytes a second that a pass of GELU reads and writes."""
    import torch
    from torch.nn.functional import gelu

    numbers = torch.zeros(_PASS_BYTES // 2, device=device, dtype=dtype)
    [times] = _times(device, 0.03, lambda: gelu(numbers, approximate="tanh"))
    return 2 * _PASS_BYTES / min(times)


def _fp8(device: torch.device) -> float:
    """Operations a second of a product in fp8 with scales by row; 0 where torch has none."""
    import torch

    left = torch.ones(_SIZE, _SIZE, device=device, dtype=torch.float8_e4m3fn)
    scale = torch.ones(_SIZE, 1, device=device)

    def product() -> object:
        return torch._scaled_mm(
            left, left.t(), scale_a=scale, scale_b=scale.t(), out_dtype=torch.bfloat16,
            use_fast_accum=True,
        )  # fmt: skip

    with suppress(RuntimeError, ValueError):
        [times] = _times(device, 0.05, product)
        return 2 * _SIZE**3 / min(times)
    return 0.0


def _pinning(device: torch.device, host: torch.Tensor) -> float:
    """Bytes a second of host memory page-locked in place; the usual pace where that is refused."""
    import torch

    runtime = torch.cuda.cudart()  # type: ignore[no-untyped-call]
    with torch.cuda.device(device):
        start = time.perf_counter()
        refused = int(runtime.cudaHostRegister(host.data_ptr(), host.numel(), 0))
        seconds = time.perf_counter() - start
        if not refused:
            runtime.cudaHostUnregister(host.data_ptr())
            return host.numel() / seconds
        with suppress(RuntimeError):  # clears the error, which CUDA reports at the next launch
            torch.zeros(1, device=device).add_(1)
    return PINNING


def _map_memory(device: torch.device) -> None:
    import torch

    torch.empty(_MAPPED_BYTES, dtype=torch.uint8, device=device)
    torch.cuda.empty_cache()


def _layers(device: torch.device, dtype: torch.dtype) -> Callable[[], object]:
    """A forward pass with sequential offload of `_TENSORS` tensors with hardly any bytes."""
    import torch
    from accelerate import cpu_offload
    from torch import nn

    layer = partial(nn.Linear, _WIDTH, _WIDTH, dtype=dtype, device="cpu")
    layers = nn.Sequential(*(layer() for _ in range(_TENSORS // 2)))
    cpu_offload(layers.requires_grad_(requires_grad=False), device)
    inputs = torch.zeros(1, _WIDTH, device=device, dtype=dtype)
    return torch.no_grad()(lambda: layers(inputs))


def _times(device: torch.device, seconds: float, *works: Callable[[], object]) -> list[list[float]]:
    """Seconds of each work in rounds of all works, without the first round."""
    import torch

    rounds: list[list[float]] = []
    end = 0.0
    while len(rounds) < 3 or (time.perf_counter() < end and len(rounds) < 50):
        times = []
        for work in works:
            torch.cuda.synchronize(device)
            start = time.perf_counter()
            work()
            torch.cuda.synchronize(device)
            times.append(time.perf_counter() - start)
        rounds.append(times)
        end = end or time.perf_counter() + seconds
    return [list(times) for times in zip(*rounds[1:], strict=True)]
