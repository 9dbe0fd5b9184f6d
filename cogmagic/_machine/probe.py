"""Measures how fast a CUDA device and its host are."""

from __future__ import annotations

import time
from functools import partial
from statistics import median
from typing import TYPE_CHECKING

from cogmagic._machine.gpu import has_bf16
from cogmagic._machine.rates import Rates, _shares

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

__all__ = ["probe"]


_MAPPED = 256 * 2**20


_TENSORS, _SMALL = 16, 64


def probe(device: torch.device) -> Rates:
    """Measure a CUDA device and its host, in under a second once CUDA and the libraries are loaded.

    A large product and copies, at their best; layers that come one by one and memory taken from
    the driver, in turn and as they mostly are: a host's pace changes from second to second, and
    the same thing again and again goes up to twice as fast as in a run.
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
    tensors, mapped = _times(device, 0.15, layers, lambda: _mapped(device))
    rate = 2 * size**3 / min(products)
    denoise, decode = _shares(capability)[1]
    return Rates(
        rate * denoise,
        rate * decode,
        host.numel() / min(copies),
        pinned.numel() / min(locked),
        "probe",
        tensor=median(tensors) / _TENSORS,
        mapping=_MAPPED / median(mapped),
    )


def _mapped(device: torch.device) -> None:
    import torch

    torch.empty(_MAPPED, dtype=torch.uint8, device=device)
    torch.cuda.empty_cache()


def _layers(device: torch.device, dtype: torch.dtype) -> Callable[[], object]:
    """A pass of layers of `_TENSORS` tensors, hardly any bytes, that come one by one."""
    import torch
    from accelerate import cpu_offload
    from torch import nn

    one = partial(nn.Linear, _SMALL, _SMALL, dtype=dtype, device="cpu")
    layers = nn.Sequential(*(one() for _ in range(_TENSORS // 2)))
    cpu_offload(layers.requires_grad_(requires_grad=False), device)
    given = torch.zeros(1, _SMALL, device=device, dtype=dtype)
    return torch.no_grad()(lambda: layers(given))


def _times(device: torch.device, seconds: float, *works: Callable[[], object]) -> list[list[float]]:
    """The seconds of each piece of work in some rounds of all, the first round left out."""
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
