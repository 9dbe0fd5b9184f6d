"""How a person wants a run placed, and what may be chosen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from cogmagic._errors import RequestError, did_you_mean
from cogmagic._footprint.savings import NO_SAVINGS, Savings

__all__ = ["KEEPS", "POLICIES", "Placing", "Policy", "check_keep"]


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


KEEPS = ("hot", "warm", "cold")


def check_keep(keep: object) -> str:
    """What is to stay after a run.

    Raises:
        RequestError: for any other word.
    """
    if keep not in KEEPS:
        raise RequestError(
            f"Unknown keep {keep!r:.80}.{did_you_mean(str(keep), KEEPS)}"
            f" Choose from: {', '.join(KEEPS)}."
        )
    return str(keep)


Policy = Literal["auto", "rule"]


POLICIES: tuple[Policy, ...] = get_args(Policy)
