"""Compiled transformer blocks: torch.compile for each block, whose code all of them share."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from cogmagic._errors import RequestError, TierError

if TYPE_CHECKING:
    from torch import nn

__all__ = ["check_compiler", "compiled"]


_SHAPES = 64
"""Different shapes in a kernel for which there may be code; torch's own 8 are soon used up."""


def check_compiler(device: str, tier: str) -> None:
    """Refuse to compile where that cannot be done.

    Raises:
        RequestError: without a compiler on this machine.
        TierError: for a tier whose layers come one by one.
    """
    if tier == "sequential":
        raise TierError(
            "--compile does not work with tier 'sequential', whose layers come one by one."
            " Use --tier stream, or leave out --compile."
        )
    wanted = ("CXX", "g++", "c++", "clang++") if device == "cpu" else ("CC", "gcc", "cc", "clang")
    if not any(shutil.which(os.environ.get(name, name)) for name in wanted):
        kind = "C++" if device == "cpu" else "C"
        raise RequestError(
            f"--compile needs a {kind} compiler, and there is none on PATH. Install one (apt-get"
            " install g++), or leave out --compile."
        )
    if device == "cuda" and find_spec("triton") is None:
        raise RequestError(
            "--compile needs Triton, which this torch came without: pip install triton (Windows:"
            " triton-windows), or leave out --compile."
        )


@contextmanager
def compiled(transformer: nn.Module, first: Callable[[bool], None]) -> Iterator[None]:
    """Have each block of `transformer` compiled; afterwards they are as they were.

    Args:
        transformer: not yet hooked by an offload.
        first: called with True before, and with False after a block that runs for the first time
            in this kernel with its shapes, which is when code is made.
    """
    import torch

    blocks: Any = transformer.transformer_blocks
    with torch._dynamo.config.patch(recompile_limit=_SHAPES):
        for block in blocks:
            block.forward = torch.compile(block.forward, dynamic=False)
        kinds = frozenset(p.dtype for p in blocks[0].parameters())
        blocks[0].forward = _announced(blocks[0].forward, first, kinds)
        try:
            yield
        finally:
            for block in blocks:
                block.__dict__.pop("forward", None)


_SEEN: set[Any] = set()


def _announced(forward: Any, first: Callable[[bool], None], kinds: frozenset[Any]) -> Any:
    """`forward`, telling when it is about to make code for weights of these dtypes."""

    def announced(*args: Any, **kwargs: Any) -> Any:
        tensors = [t for t in (*args, *kwargs.values()) if hasattr(t, "shape")]
        shapes = (kinds, *((tuple(t.shape), t.dtype, t.device) for t in tensors))
        if shapes in _SEEN:
            return forward(*args, **kwargs)
        first(True)
        out = forward(*args, **kwargs)
        _SEEN.add(shapes)
        first(False)
        return out

    return announced
