"""Compiled transformer blocks: torch.compile for each block; all share one code."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

__all__ = ["compiled", "compiled_code", "compiling"]


_RECOMPILE_LIMIT = 64
"""Input shapes per kernel for which code may exist; torch's default of 8 is soon used up."""


def compiled_code() -> frozenset[Hashable]:
    """The keys of the runs whose code this kernel has."""
    return frozenset(_KEYS)


@contextmanager
def compiled(transformer: nn.Module) -> Iterator[None]:
    """Compile each block of `transformer` while it is placed; restore the blocks afterwards.

    Args:
        transformer: not yet hooked by an offload, whose hooks must go first.
    """
    import torch

    blocks: Any = transformer.transformer_blocks
    for block in blocks:
        block.forward = torch.compile(block.forward, dynamic=False)
    _announce(blocks)
    try:
        yield
    finally:
        for block in blocks:
            block.__dict__.pop("forward", None)


@contextmanager
def compiling(on_compile: Callable[[bool], None], key: Hashable = None) -> Iterator[None]:
    """Run compiled blocks: set the compiler up, and announce when code is compiled.

    Args:
        on_compile: called with True before, and with False after the blocks that run for the first
            time in this kernel with their input shapes, which is when code is compiled.
        key: what the code depends on, as plans know it before the run.
    """
    import torch

    if len(_COMPILED) > _RECOMPILE_LIMIT // 2:  # beyond the limit torch silently does not compile
        torch.compiler.reset()
        _COMPILED.clear()
        _KEYS.clear()
    # With suppress_errors, which users may have set, torch runs uncompiled what it cannot compile.
    with torch._dynamo.config.patch(recompile_limit=_RECOMPILE_LIMIT, suppress_errors=False):
        _RUNS.append((on_compile, key))
        try:
            yield
        finally:
            _RUNS.pop()


_RUNS: list[tuple[Callable[[bool], None], Hashable]] = []
"""What `compiling` was given by the run in progress; the blocks may stay compiled between runs."""


_COMPILED: set[Any] = set()
"""Layers, with the dtypes of their weights, and input shapes for which this kernel has code."""


_KEYS: set[Hashable] = set()
"""The keys of the runs with that code."""


def _announce(blocks: Any) -> None:
    """Announce to the run in progress when the blocks run with new input shapes.

    torch compiles them twice: the first block's inputs are parts of one tensor and the others' are
    not, so their strides differ. The announcement ends after the second block.
    """
    first, second = blocks[0], blocks[min(1, len(blocks) - 1)]
    begun: list[Any] = []

    def begin(forward: Any, *args: Any, **kwargs: Any) -> Any:
        on_compile, key = _RUNS[-1]
        tensors = [t for t in (*args, *kwargs.values()) if hasattr(t, "shape")]
        shapes = (_layers(first), *((tuple(t.shape), t.dtype, t.device) for t in tensors))
        if shapes in _COMPILED:
            _KEYS.add(key)
        else:
            begun[:] = [shapes]
            on_compile(True)
        return forward(*args, **kwargs)

    def end(forward: Any, *args: Any, **kwargs: Any) -> Any:
        out = forward(*args, **kwargs)
        if begun:
            on_compile, key = _RUNS[-1]
            _COMPILED.add(begun.pop())
            _KEYS.add(key)
            on_compile(False)
        return out

    first.forward = partial(begin, first.forward)
    second.forward = partial(end, second.forward)


def _layers(block: nn.Module) -> tuple[Any, ...]:
    """What code depends on beside its inputs: dtypes, shapes, adapters' scales, the kernel."""
    parts = [(type(part), getattr(part, "lora_scales", ())) for part in block.modules()]
    processors = (getattr(part, "processor", None) for part in block.modules())
    kernels = (getattr(processor, "kernel", "") for processor in processors)
    return frozenset((p.dtype, p.shape) for p in block.parameters()), *parts, *kernels
