"""How the person wants a run placed and changed, and the changes made while it runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from cogmagic._compile import compiled
from cogmagic._halves import guidance_halves
from cogmagic._lean_decode import lean_decoding
from cogmagic._progress import Clock
from cogmagic._request import Request
from cogmagic._savings import NO_SAVINGS, Savings

__all__ = ["Placing", "compiling", "saving"]


@dataclass(frozen=True)
class Placing:
    """How the person wants the run placed."""

    tier: str | None = None
    """A tier to take whatever its prospects; None or ``auto`` to choose by `policy`."""
    policy: str = "auto"
    vram_limit: int | None = None
    """Bytes that the run may take of a GPU, its CUDA context included."""
    gpus: tuple[str, ...] = ()
    """Indices or UUIDs of the GPUs that may be used; all if none is named."""
    compile: bool = False
    """Whether the transformer's blocks are compiled."""
    savings: Savings = NO_SAVINGS
    """What is done to need less memory."""
    keep: str = "warm"
    """What stays after the run: ``hot``, ``warm`` or ``cold``."""

    @property
    def options(self) -> tuple[str, ...]:
        """What changes the work, not its place: another pace, other memory, other frames."""
        return (*(["compile"] if self.compile else []), *self.savings.names)

    @property
    def plain(self) -> bool:
        """Whether the run says something about other runs in its tier."""
        return not self.options

    @property
    def cautious(self) -> bool:
        """Whether a run that is predicted not to fit is refused rather than tried."""
        return self.tier in (None, "auto") and self.policy == "auto"


@contextmanager
def compiling(pipe: Any, request: Request, clock: Clock) -> Iterator[None]:
    """The transformer's blocks compiled; the clock shows when code is made."""

    def first(begins: bool) -> None:
        if begins:
            clock.phase("compile")
        else:
            clock.phase("denoise", request.num_inference_steps)

    with compiled(pipe.transformer, first):
        yield


@contextmanager
def saving(pipe: Any, savings: Savings) -> Iterator[None]:
    """The savings that are made while running; `pipe` is placed already."""
    with ExitStack() as stack:
        if savings.lean_decode:
            stack.enter_context(lean_decoding(pipe.vae))
        if savings.guidance_halves:
            stack.enter_context(guidance_halves(pipe.transformer))
        yield
