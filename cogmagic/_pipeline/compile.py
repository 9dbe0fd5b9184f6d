"""Compiled transformer blocks: torch.compile for each block; all share one code."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from cogmagic._errors import RequestError
from cogmagic._machine.failures import is_shortage
from cogmagic._pipeline.gelu_epilogue import gelu_in_epilogue

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
    with ExitStack() as restored:
        for block in blocks:
            restored.enter_context(gelu_in_epilogue(block))
            block.forward = torch.compile(block.forward, dynamic=False)
            restored.callback(block.__dict__.pop, "forward", None)
        _announce(blocks)
        yield


@contextmanager
def compiling(
    on_compile: Callable[[bool], None],
    key: Hashable = None,
    alone: Hashable = None,
    *,
    inputs_read: bool = False,
) -> Iterator[None]:
    """Run compiled blocks: set the compiler up, and announce when code is compiled.

    Args:
        on_compile: called with True before, and with False after the blocks that run for the first
            time in this kernel with their input shapes, which is when code is compiled.
        key: what the code depends on, as plans know it before the run.
        alone: the same outside a guidance interval, where the prompt is alone in the batch; None
            where all steps have the same code.
        inputs_read: whether anything reads the first block's inputs after it, as a step cache does.

    Raises:
        RequestError: when the compiler fails, for lack of Python's headers for one.
    """
    import torch
    import torch._inductor.config

    if len(_COMPILED) > _RECOMPILE_LIMIT // 2:  # beyond the limit torch silently does not compile
        torch.compiler.reset()
        _COMPILED.clear()
        _KEYS.clear()
    # With suppress_errors, which users may have set, torch runs uncompiled what it cannot compile.
    # Where the tokens are no multiple of 8, shape padding times each product beside a padded copy:
    # it took 0.5 to 1.7 GB more than the blocks, and gained nothing.
    with (
        torch._dynamo.config.patch(recompile_limit=_RECOMPILE_LIMIT, suppress_errors=False),
        torch._inductor.config.patch(shape_padding=False),
    ):
        _RUNS.append(_Run(on_compile, key, alone, inputs_read))
        try:
            yield
        except torch._dynamo.exc.TorchDynamoException as error:
            if is_shortage(error):
                raise
            raise _compiler_error(error) from None
        finally:
            _RUNS.pop()


def _compiler_error(error: Exception) -> RequestError:
    """The error of a compiler that failed, in one line."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    reason = next((line for line in lines if "error: " in line), lines[0]).strip()
    headers = "Python.h" in str(error)
    install = " Install Python's headers (apt-get install python3-dev)." if headers else ""
    return RequestError(
        f"torch cannot compile the transformer's blocks here ({reason[:160]}).{install}"
        " To run without compiling, leave out --compile and type --speed exact."
    )


@dataclass(frozen=True)
class _Run:
    """What `compiling` was given."""

    on_compile: Callable[[bool], None]
    key: Hashable
    alone: Hashable
    inputs_read: bool

    def key_of(self, inputs: dict[str, Any]) -> Hashable:
        """The key of the code for a block's inputs."""
        if self.alone is not None and len(inputs["hidden_states"]) == 1:
            return self.alone
        return self.key


_RUNS: list[_Run] = []
"""What `compiling` was given by the run in progress; the blocks may stay compiled between runs."""


_COMPILED: set[Any] = set()
"""Layers, with their dtypes and shapes, and layouts of inputs for which this kernel has code."""


_KEYS: set[Hashable] = set()
"""The keys of the runs with that code."""


def _announce(blocks: Any) -> None:
    """Announce to the run in progress when the blocks run with new input shapes.

    The announcement ends after the second block, for which torch compiles again if its inputs have
    other strides than the first's (see `_separate`).
    """
    first, second = blocks[0], blocks[min(1, len(blocks) - 1)]
    begun: list[Any] = []

    def begin(forward: Any, *args: Any, **kwargs: Any) -> Any:
        run = _RUNS[-1]
        if not run.inputs_read:
            _separate(kwargs)
        tensors = [t for t in (*args, *kwargs.values()) if hasattr(t, "shape")]
        layouts = ((tuple(t.shape), t.stride(), t.dtype, t.device) for t in tensors)
        shapes = _layers(first), *layouts
        if shapes in _COMPILED:
            _KEYS.add(run.key_of(kwargs))
        else:
            begun[:] = [shapes]
            run.on_compile(True)
        return forward(*args, **kwargs)

    def end(forward: Any, *args: Any, **kwargs: Any) -> Any:
        out = forward(*args, **kwargs)
        if begun:
            run = _RUNS[-1]
            _COMPILED.add(begun.pop())
            _KEYS.add(run.key_of(kwargs))
            run.on_compile(False)
        return out

    first.forward = partial(begin, first.forward)
    second.forward = partial(end, second.forward)


def _separate(inputs: dict[str, Any]) -> None:
    """Replace the first block's hidden states by contiguous copies, and free the originals.

    They are parts of one tensor of text and video and have its strides, for which torch would
    compile the blocks a second time. Nothing reads that tensor after the first block; its memory is
    freed, so the peak stays as it is.
    """
    import torch

    names = "hidden_states", "encoder_hidden_states"
    parts = [inputs[name] for name in names if name in inputs]
    storages = {part.untyped_storage().data_ptr() for part in parts}
    if len(parts) < len(names) or len(storages) > 1:
        return
    joint = parts[0].untyped_storage()
    for name, part in zip(names, parts, strict=True):
        inputs[name] = part.clone(memory_format=torch.contiguous_format)
    joint.resize_(0)


def _layers(block: nn.Module) -> tuple[Any, ...]:
    """What code depends on beside its inputs: dtypes, shapes, adapters' scales, the kernel."""
    parts = [(type(part), getattr(part, "lora_scales", ())) for part in block.modules()]
    processors = (getattr(part, "processor", None) for part in block.modules())
    kernels = (getattr(processor, "kernel", "") for processor in processors)
    return frozenset((p.dtype, p.shape) for p in block.parameters()), *parts, *kernels
