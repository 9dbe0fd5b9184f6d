"""Attention kernels for tests: torch's own attention, in part with an error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from cogmagic._machine.kernels import MODULES
from cogmagic._pipeline.attention.base import Attend, AttentionKernel
from cogmagic._pipeline.attention.operator import _loaded
from cogmagic._pipeline.attention.registry import KERNELS


class Fake(AttentionKernel):
    """A kernel for any GPU and dtype, of a module that is installed."""

    title = "A kernel of the tests"
    install = "pip install pytest"
    in_speeds = True
    dtypes = ("float16", "bfloat16", "float32")

    def __init__(self, name: str, change: Callable[[Any], Any]) -> None:
        self.name = name  # type: ignore[misc]
        self.change = change
        self.loads = 0

    def load(self) -> Attend:
        from torch.nn.functional import scaled_dot_product_attention

        self.loads += 1
        return lambda *tensors: self.change(scaled_dot_product_attention(*tensors))


@contextmanager
def fake_kernels(**changes: Callable[[Any], Any]) -> Iterator[list[Fake]]:
    """Register kernels by name, the fastest first and before all others.

    Args:
        **changes: what each makes of torch's own result.
    """
    kernels = [Fake(name, change) for name, change in changes.items()]
    before = dict(KERNELS)
    _loaded.cache_clear()
    KERNELS.clear()
    KERNELS.update({kernel.name: kernel for kernel in kernels} | before)
    MODULES.update({kernel.name: ("pytest", "pytest") for kernel in kernels})
    try:
        yield kernels
    finally:
        KERNELS.clear()
        KERNELS.update(before)
        for kernel in kernels:
            del MODULES[kernel.name]
        _loaded.cache_clear()


def same(result: Any) -> Any:
    """Torch's result."""
    return result


def off_by(share: float) -> Callable[[Any], Any]:
    """Torch's result, off by a share of it."""
    return lambda result: result * (1 + share)


def failing(result: Any) -> Any:
    """A failure such as that of compiled code for another torch."""
    raise ImportError("undefined symbol: aoti_torch_nothing\nmore")


def not_finite(result: Any) -> Any:
    """Torch's result with NaN in one place."""
    result[0, 0, 0, 0] = float("nan")
    return result
