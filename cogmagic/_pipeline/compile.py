"""Compiled transformer blocks: torch.compile for each block; all share one code."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from cogmagic._errors import RequestError

if TYPE_CHECKING:
    from torch import nn

__all__ = ["check_compiler", "compiled"]


_RECOMPILE_LIMIT = 64
"""Input shapes per kernel for which code may exist; torch's default of 8 is soon used up."""


def check_compiler(device: str) -> None:
    """Refuse to compile for `device` without a compiler, or with compiling switched off in torch.

    Raises:
        RequestError: with the package to install, or the setting to change.
    """
    for switch in ("TORCH_COMPILE_DISABLE", "TORCHDYNAMO_DISABLE"):
        if os.environ.get(switch) == "1":
            raise RequestError(
                f"--compile does nothing while {switch}=1 is set. Unset it and restart the kernel,"
                " or leave out --compile."
            )
    names = ("CXX", "g++", "c++", "clang++") if device == "cpu" else ("CC", "gcc", "cc", "clang")
    if not any(shutil.which(os.environ.get(name, name)) for name in names):
        language = "C++" if device == "cpu" else "C"
        raise RequestError(
            f"--compile needs a {language} compiler, and none is on PATH. Install one (apt-get"
            " install g++), or leave out --compile."
        )
    if device == "cuda" and find_spec("triton") is None:
        raise RequestError(
            "--compile needs Triton, which this torch does not include: pip install triton"
            " (Windows: triton-windows), or leave out --compile."
        )


@contextmanager
def compiled(transformer: nn.Module, on_compile: Callable[[bool], None]) -> Iterator[None]:
    """Compile each block of `transformer`; restore the blocks afterwards.

    Args:
        transformer: not yet hooked by an offload.
        on_compile: called with True before, and with False after a block that runs for the first
            time in this kernel with its input shapes, which is when code is compiled.
    """
    import torch

    blocks: Any = transformer.transformer_blocks
    if len(_COMPILED) > _RECOMPILE_LIMIT // 2:  # beyond the limit torch silently does not compile
        torch.compiler.reset()
        _COMPILED.clear()
    # With suppress_errors, which users may have set, torch runs uncompiled what it cannot compile.
    with torch._dynamo.config.patch(recompile_limit=_RECOMPILE_LIMIT, suppress_errors=False):
        for block in blocks:
            block.forward = torch.compile(block.forward, dynamic=False)
        blocks[0].forward = _announced(blocks[0].forward, on_compile, blocks[0])
        try:
            yield
        finally:
            for block in blocks:
                block.__dict__.pop("forward", None)


_COMPILED: set[Any] = set()
"""Layers, with the dtypes of their weights, and input shapes for which this kernel has code."""


def _announced(
    forward: Any, on_compile: Callable[[bool], None], block: nn.Module
) -> Callable[..., Any]:
    """`forward` with `on_compile` called around its first run for each set of input shapes."""

    def announced(*args: Any, **kwargs: Any) -> Any:
        tensors = [t for t in (*args, *kwargs.values()) if hasattr(t, "shape")]
        shapes = (_layers(block), *((tuple(t.shape), t.dtype, t.device) for t in tensors))
        if shapes in _COMPILED:
            return forward(*args, **kwargs)
        on_compile(True)
        out = forward(*args, **kwargs)
        _COMPILED.add(shapes)
        on_compile(False)
        return out

    return announced


def _layers(block: nn.Module) -> tuple[Any, ...]:
    """What code depends on beside its inputs: dtypes and shapes, adapters' scales, the kernel."""
    scales = (getattr(part, "lora_scales", ()) for part in block.modules())
    kernel = getattr(getattr(block.attn1, "processor", None), "kernel", "")
    return frozenset((p.dtype, p.shape) for p in block.parameters()), *scales, kernel
