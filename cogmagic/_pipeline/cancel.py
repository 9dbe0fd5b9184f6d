"""Stopping a run between any two blocks or tensors: work that a GPU has been given is kept short.

A GPU is given its work ahead of time, a thousand kernels deep; a step of CogVideoX 1.5 takes ten
seconds. Who stops the run would wait for all that. So the host never is more than two blocks ahead,
which costs nothing, since the GPU always has the next block to go on with.
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

__all__ = ["braking", "checking"]


_AHEAD = 2
"""Blocks that the host may be ahead of the GPU."""


@contextmanager
def braking(pipe: Any, device: torch.device, check: Callable[[], None]) -> Iterator[None]:
    """After each block, tile and layer of text, wait until the GPU is close behind, and `check`.

    Args:
        pipe: placed on `device`.
        device: what computes.
        check: raises when the run is to end.
    """
    import torch

    given: deque[torch.cuda.Event] = deque()

    def brake(*_: Any) -> None:
        if device.type == "cuda":
            event = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
            event.record(torch.cuda.current_stream(device))
            given.append(event)
            if len(given) > _AHEAD:
                given.popleft().synchronize()
        check()

    undo = ExitStack()
    try:
        for module in _stages(pipe):
            undo.callback(module.register_forward_hook(brake).remove)
        yield
    finally:
        with interrupts_ignored():
            undo.close()


@contextmanager
def checking(check: Callable[[], None]) -> Iterator[None]:
    """`check` before each of torch's operations in this thread: between the tensors of a loader.

    Once it has raised it is not asked again, so that what tidies up is left in peace.
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


def _stages(pipe: Any) -> list[nn.Module]:
    """What runs one after the other: layers of text, blocks of the transformer, tiles."""
    found = list(pipe.transformer.transformer_blocks)
    if pipe.text_encoder is not None:
        found += pipe.text_encoder.encoder.block
    return [*found, pipe.vae.encoder, pipe.vae.decoder]
