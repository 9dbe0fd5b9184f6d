"""The probe: measures the rates of a CUDA device and its host."""

from __future__ import annotations

import time
from functools import partial
from statistics import median
from typing import TYPE_CHECKING

from cogmagic._machine.gpu import has_bf16
from cogmagic._machine.rates import Rates, shares

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

__all__ = ["probe"]


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
    dtype = torch.bfloat16 if has_bf16(capability) else torch.float16
    size = 4096
    left = torch.randn(size, size, device=device, dtype=dtype)
    host = torch.empty(256 * 2**20, dtype=torch.uint8, device="cpu").fill_(1)
    pinned = host[: 64 * 2**20].pin_memory()
    [products] = _times(device, 0.25, lambda: left @ left)
    [copies] = _times(device, 0.25, lambda: host.to(device))
    [locked] = _times(device, 0.05, lambda: pinned.to(device))
    layers = _layers(device, dtype)
    tensors, mappings = _times(device, 0.15, layers, lambda: _map_memory(device))
    rate = 2 * size**3 / min(products)
    denoise, decode = shares(capability)[1]
    return Rates(
        rate * denoise,
        rate * decode,
        host.numel() / min(copies),
        pinned.numel() / min(locked),
        "probe",
        tensor=median(tensors) / _TENSORS,
        mapping=_MAPPED_BYTES / median(mappings),
    )


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
