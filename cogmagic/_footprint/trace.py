"""Counts of the bytes and operations of passes on the meta device.

Nothing is allocated or computed: shapes and the lifetimes of tensors suffice.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from cogmagic._footprint.curves import Peak
from cogmagic._footprint.outputs import Outputs
from cogmagic._footprint.work import rounded

__all__ = ["Trace", "nbytes_of", "traced"]


# Kernels that take a strided input only after copying it: the copy lives while the kernel runs.
# (aten/src/ATen/native: layer_norm.cpp, cudnn/ConvShared.cpp, cuda/UpSampleNearest*.cu and
# cuda/AveragePool2d.cu)
_COPIES = {
    torch.ops.aten.native_layer_norm,
    torch.ops.aten.convolution,
    torch.ops.aten.upsample_nearest2d,
    torch.ops.aten.upsample_nearest3d,
    torch.ops.aten.avg_pool2d,
}


class Trace(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A mode that counts the bytes of live storages, and the operations, of what runs under it.

    Views and in-place operations add nothing; `known` tensors (weights) are not counted. A leaf is
    a module that owns parameters: with sequential offload they are on the device only while it
    runs.
    """

    def __init__(self, known: Iterable[torch.Tensor] = ()) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = self.operations = self._peak = self._leaf_peak = self._leaf = 0
        self._mapped = self._base = self._since = self._highest = 0
        self._ahead = Ahead()
        self._storages: dict[int, Any] = {s._cdata: s for s in (t.untyped_storage() for t in known)}
        self._outputs = Outputs()

    def restart(self) -> None:
        """Reset the peaks and the operations; live tensors stay counted."""
        self._peak = self._leaf_peak = self.operations = self._mapped = 0
        self._base = self._since = self.live
        self.reach()

    def peak(self, without: int = 0) -> Peak:
        """The peaks so far, less `without` bytes that were alive for other reasons."""
        return Peak(self._peak - without, self._leaf_peak - without, self.mapped)

    def cut(self) -> Peak:
        """The peaks so far; from here on, peaks start from what is live now."""
        before = self.peak()
        self._peak, self._leaf_peak = self.live, self.live + self._leaf
        return before

    @property
    def ahead_peak(self) -> int:
        """The most bytes alive with the weights of the running leaf and of the next one."""
        return self._ahead.peak

    def highest(self) -> int:
        """The most bytes alive since the last call of this method."""
        highest, self._highest = self._highest, self.live
        return highest

    @property
    def mapped(self) -> int:
        """Bytes of memory newly mapped so far, if free memory is returned before each leaf."""
        return self._mapped + self._since - self._base

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one operation and count the storages that it leaves alive."""
        kwargs = kwargs or {}
        out = self._outputs.of(func, args, kwargs)
        packet = func._overloadpacket
        for tensor in tree_leaves(out):
            if isinstance(tensor, torch.Tensor):
                self._count(tensor.untyped_storage())
        if packet in flop_registry:
            self.operations += int(flop_registry[packet](*args, **kwargs, out_val=out))
        self.reach(_copies(args[0], out, packet) if packet in _COPIES else 0)
        return out

    def reach(self, scratch: int = 0) -> None:
        """Update the peaks with the live bytes and a running kernel's `scratch` bytes."""
        total = self.live + scratch
        self._peak = max(self._peak, total)
        self._leaf_peak = max(self._leaf_peak, total + self._leaf)
        self._since = max(self._since, total)
        self._highest = max(self._highest, total)
        self._ahead.reach(total)

    def now(self) -> Peak:
        """What is alive at this moment."""
        return Peak(self.live, self.live + self._leaf)

    def _count(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key not in self._storages:
            nbytes = rounded(storage.nbytes())
            self._storages[key] = weakref.ref(storage, partial(self._dropped, key, nbytes))
            self.live += nbytes

    def _dropped(self, key: int, nbytes: int, _: object) -> None:
        del self._storages[key]
        self.live -= nbytes

    def enter_leaf(self, module: nn.Module, _: object) -> None:
        """A forward pre-hook: `module` begins to run."""
        self._mapped = self.mapped
        self._base = self._since = self.live
        own = nbytes_of(*module.parameters(recurse=False))
        self._leaf += own
        self._ahead.enter(own, self.live)
        self.reach()

    def leave_leaf(self, module: nn.Module, _: object, __: object) -> None:
        """A forward hook: `module` has run."""
        self._leaf -= nbytes_of(*module.parameters(recurse=False))
        self._ahead.leave(self.live)


class Ahead:
    """The peak of leaves that run one after another while the next one's weights arrive."""

    def __init__(self) -> None:
        self.peak = 0
        self._weights = 0
        """Of the leaf that runs, or ran last."""
        self._beside = 0
        """The most bytes alive while it ran."""
        self._after = 0
        """The most since then."""
        self._running = False

    def reach(self, live: int) -> None:
        """Count bytes that are alive."""
        if self._running:
            self._beside = max(self._beside, live)
        else:
            self._after = max(self._after, live)

    def enter(self, weights: int, live: int) -> None:
        """A leaf with these weights begins to run; its copy began with the leaf before it."""
        self.peak = max(self.peak, self._beside + self._weights + weights, self._after + weights)
        self._weights, self._beside, self._running = weights, live, True

    def leave(self, live: int) -> None:
        """The leaf has run, and its weights are freed."""
        self.peak = max(self.peak, self._beside + self._weights)
        self._after, self._running = live, False


def _copies(given: torch.Tensor, out: torch.Tensor, packet: Any) -> int:
    """Bytes that a kernel of `_COPIES` copies for `given`, and for `out`."""
    layout = {4: torch.channels_last, 5: torch.channels_last_3d}.get(given.dim())
    if layout and given.is_contiguous(memory_format=layout):
        return 0
    if packet is torch.ops.aten.convolution:
        # cuDNN computes them channels-last, and copies both ways in its workspace: on an H100 the
        # VAE's upsampler takes 0.66 GiB beside an input and an output of 0.33 each, and on an H200
        # a convolution of its encoder over 13 frames 0.577 beside 0.309 and 0.268.
        return nbytes_of(given, out)
    return 0 if given.is_contiguous() else nbytes_of(given)


class _FusedAttention(TorchFunctionMode):
    """Attention as the fused CUDA kernels do it: no matrix of scores is ever stored.

    A mode and not a patch, which other threads would see. The 16-bit kernel (flash) lays out its
    output like the query; the other one (memory-efficient), which takes float32 and masks, puts
    the heads innermost.
    """

    def __init__(self, trace: Trace) -> None:
        super().__init__()
        self._trace = trace

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is not F.scaled_dot_product_attention:
            return func(*args, **kwargs)
        query, key, value = args[:3]
        masked = (args[3] if len(args) > 3 else kwargs.get("attn_mask")) is not None
        batch, heads, tokens, _ = query.shape
        if query.element_size() == 2 and not masked:
            out = torch.empty_like(query)
        else:
            out = query.new_empty(batch, tokens, heads, value.shape[-1]).transpose(1, 2)
        self._trace.operations += 4 * query.numel() * key.shape[-2]  # two products
        self._trace.reach(rounded(batch * heads * tokens * 4))  # float32 log-sum-exp of each row
        return out


@contextmanager
def traced(module: nn.Module) -> Iterator[Trace]:
    """Count the passes of `module`, which is on the meta device, within the context."""
    trace = Trace([*module.parameters(), *module.buffers()])
    leaves = [leaf for leaf in module.modules() if any(True for _ in leaf.parameters(False))]
    hooks = [leaf.register_forward_pre_hook(trace.enter_leaf) for leaf in leaves]
    hooks += [leaf.register_forward_hook(trace.leave_leaf) for leaf in leaves]
    try:
        with torch.no_grad(), _FusedAttention(trace), trace:
            yield trace
    finally:
        for hook in hooks:
            hook.remove()


def nbytes_of(*tensors: torch.Tensor) -> int:
    """The bytes that torch's allocator hands out for the tensors."""
    return sum(rounded(t.nbytes) for t in tensors)
