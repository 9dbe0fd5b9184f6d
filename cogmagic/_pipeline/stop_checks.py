"""Cancellation checks inside a run: after each block, and before each operation of a loader.

CUDA queues work ahead of time, a thousand kernels deep, and a step of CogVideoX 1.5 takes ten
seconds: cancelling would wait for every queued kernel. So the host runs at most two blocks ahead.
This costs no time, because the GPU always has a next block queued.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from cogmagic._interrupts import interrupts_ignored

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["checked_between_blocks", "checked_between_operations"]


_BLOCKS_AHEAD = 2
"""Blocks that the host may be ahead of the GPU."""


@contextmanager
def checked_between_blocks(
    pipe: Any, device: torch.device, check: Callable[[], None]
) -> Iterator[None]:
    """Call `check` after each block, VAE tile and text encoder layer, once the GPU is close behind.

    Args:
        pipe: placed on `device`.
        device: where the pipeline computes.
        check: raises to end the run.
    """
    import torch

    queued: deque[torch.cuda.Event] = deque()

    def catch_up(*_: Any) -> None:
        if device.type == "cuda":
            event = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
            event.record(torch.cuda.current_stream(device))
            queued.append(event)
            if len(queued) > _BLOCKS_AHEAD:
                queued.popleft().synchronize()
        check()

    undo = ExitStack()
    try:
        for module in _units(pipe):
            undo.callback(module.register_forward_hook(catch_up).remove)
        yield
    finally:
        with interrupts_ignored():
            undo.close()


@contextmanager
def checked_between_operations(check: Callable[[], None]) -> Iterator[None]:
    """Call `check` before each torch operation of this thread, that is between a loader's tensors.

    After it has raised it is not called again, so that clean-up code can run.
    """
    from torch.overrides import TorchFunctionMode

    class Checking(TorchFunctionMode):
        stopped = False

        def __torch_function__(self, func: Any, _: Any, args: Any = (), kwargs: Any = None) -> Any:
            if not self.stopped:
                self.stopped = True
                check()
                self.stopped = False
            return func(*args, **(kwargs or {}))

    with Checking():
        yield


def _units(pipe: Any) -> list[nn.Module]:
    """The modules that run one after another: transformer blocks, text layers, VAE coders."""
    units = list(pipe.transformer.transformer_blocks)
    if pipe.text_encoder is not None:
        units += pipe.text_encoder.encoder.block
    return [*units, pipe.vae.encoder, pipe.vae.decoder]
