"""Weights as page-locked (pinned) copies in host memory, from which a GPU can stream.

A GPU reads page-locked memory by itself, at the link's full rate, while the host does other things.
CUDA registers existing memory, without a second copy; tensors in it count as pinned, so diffusers'
hooks use them as they are.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import nn

__all__ = ["PinnedWeights"]


_ALIGNMENT = 64


_THREADS = 4


class PinnedWeights:
    """One block of host memory per module, with all its parameters in it.

    The modules' own parameters are moved into it; their previous memory, mostly mapped files, is
    freed. Create it, `fill` it, `lock` it, and `unlock` it before the memory is freed; garbage
    collection unlocks it, too. The first modules are page-locked first, in case the driver refuses
    to lock all.
    """

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        self._modules = list(modules)
        self._blocks = [torch.empty(_size(m), dtype=torch.uint8) for m in modules]
        self._locked: list[int] = []
        """Registered addresses; shared with the finalizer."""
        self._finalizer = weakref.finalize(self, _unregister, self._locked, self._blocks)
        self.refused: str = ""
        """Why some of the memory is not page-locked; empty if all of it is."""

    @property
    def nbytes(self) -> int:
        """Bytes of all blocks."""
        return sum(block.numel() for block in self._blocks)

    @property
    def locked(self) -> tuple[nn.Module, ...]:
        """The modules whose memory is page-locked."""
        return tuple(self._modules[: len(self._locked)])

    def fill(self, report: Callable[[int, int], None]) -> None:
        """Copy the parameters in, several at once, which also reads their files several at once.

        Args:
            report: called with the bytes copied so far and the total.
        """
        total, done = self.nbytes, 0
        work = []
        for module, block in zip(self._modules, self._blocks, strict=True):
            start = 0
            for parameter in module.parameters():
                size = parameter.nbytes
                view = block[start : start + size].view(parameter.dtype).view(parameter.shape)
                work.append((parameter, view, size))
                start += _aligned(size)
        threads = ThreadPoolExecutor(_THREADS)
        try:
            for size in threads.map(_moved, work):
                done += size
                report(min(done, total), total)
        finally:  # an interrupt waits for the running copies, not for all
            threads.shutdown(cancel_futures=True)
        report(total, total)

    def lock(self, device: torch.device) -> None:
        """Page-lock all blocks, or as many as the driver allows, for `device`, if it is a GPU."""
        if device.type != "cuda":
            return
        with torch.cuda.device(device):  # or CUDA would begin on another
            self._lock()

    def _lock(self) -> None:
        runtime = torch.cuda.cudart()  # type: ignore[no-untyped-call]
        self.refused = ""
        for block in self._blocks[len(self._locked) :]:
            code = runtime.cudaHostRegister(block.data_ptr(), block.numel(), 0)
            if int(code) != 0:
                rest = sum(b.numel() for b in self._blocks[len(self._locked) :])
                self.refused = f"the driver refused to page-lock {rest / 2**30:.1f} GiB of weights"
                _forget_error()
                return
            self._locked.append(block.data_ptr())

    def unlock(self) -> None:
        """Unlock the page-locked ranges, each once."""
        _unregister(self._locked, self._blocks)


def _forget_error() -> None:
    """Clear the error of a refused registration, which CUDA would report at the next launch."""
    with suppress(RuntimeError):
        torch.zeros(1, device="cuda").add_(1)


def _unregister(locked: list[int], _blocks: list[torch.Tensor]) -> None:
    """`_blocks` is taken only so that the memory outlives its registration."""
    while locked:
        runtime = torch.cuda.cudart()  # type: ignore[no-untyped-call]
        runtime.cudaHostUnregister(locked.pop())


def _moved(item: tuple[nn.Parameter, torch.Tensor, int]) -> int:
    parameter, view, size = item
    with torch.no_grad():
        view.copy_(parameter.data)
    parameter.data = view
    return size


def _size(module: nn.Module) -> int:
    return max(sum(_aligned(p.nbytes) for p in module.parameters()), 1)


def _aligned(nbytes: int) -> int:
    return -(-nbytes // _ALIGNMENT) * _ALIGNMENT
