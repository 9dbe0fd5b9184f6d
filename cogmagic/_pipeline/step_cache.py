"""Step cache: denoising steps that reuse what the transformer's blocks added in an earlier step.

The first block runs in every step. If what it adds to the hidden states has changed by less than a
threshold since the last computed step, the other blocks are skipped and what they added then is
added again: First Block Cache, by ParaAttention (chengzeyi/ParaAttention, README).

diffusers' own (``apply_first_block_cache``, 0.42.1) is not used, for three reasons. The prefetching
of group offloading removes its hooks with those of the first step (``HookRegistry.remove_hook``),
so with streamed weights it would never skip. Guidance in halves would compare one prompt's step
with the other's. And it stores five tensors where two suffice. Here nothing is hooked: blocks are
called or not called, so it works with whatever runs when they are called.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

from cogmagic._errors import RequestError
from cogmagic._interrupts import interrupts_ignored
from cogmagic._models.choices import choice_hint

if TYPE_CHECKING:
    import torch
    from torch import nn

    from cogmagic._pipeline.parallel.group import Rank

__all__ = ["STEP_CACHES", "ReusedSteps", "StepCache", "caching_steps", "complete_step_cache"]

STEP_CACHES = ("first-block",)
"""Names of the step caches."""
_THRESHOLD = 0.08
"""The default threshold (docs/speed.md, step cache)."""
_COMPLETIONS = (0.05, 0.08, 0.12)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True)
class StepCache:
    """A step cache and its threshold; ``str`` gives the text to type.

    Raises:
        RequestError: for an unknown name, and for a threshold that is not between 0 and 1.
    """

    name: str = STEP_CACHES[0]
    threshold: float = _THRESHOLD
    """Relative L1 change of the first block's residual, below which the other blocks are skipped:
    mean(|new - old|) / mean(|old|)."""

    def __post_init__(self) -> None:
        if self.name not in STEP_CACHES:
            hint = choice_hint("cache", self.name, STEP_CACHES)
            raise RequestError(f"Unknown cache {self.name!r:.80}.{hint}")
        if not 0 < self.threshold < 1:  # nor NaN
            raise _bad_threshold(self.name, f"{self.threshold}")

    @classmethod
    def of(cls, text: object) -> StepCache | None:
        """The step cache that a text such as ``first-block:0.08`` names; None for an empty text.

        Raises:
            RequestError: for anything else.
        """
        if type(text) in (int, float):
            text = f"{text}"  # a threshold without a name
        if not isinstance(text, str):
            raise RequestError(
                f"cache={text!r:.80} is not the name of a step cache. Type --cache {cls()}."
            )
        if not text:
            return None
        name, colon, threshold = text.strip().partition(":")
        if not colon and _NUMBER.fullmatch(name):
            near = name if 0 < float(name) < 1 else f"{_THRESHOLD}"
            raise RequestError(
                f"--cache {name} names no step cache. Type --cache {STEP_CACHES[0]}:{near}."
            )
        cache = cls(name)  # which checks the name
        if not colon:
            return cache
        number = float(threshold) if _NUMBER.fullmatch(threshold) else 0.0
        if not 0 < number < 1:
            raise _bad_threshold(name, threshold)
        return cls(name, number)

    def __str__(self) -> str:
        return f"{self.name}:{self.threshold}"


def complete_step_cache(typed: str) -> tuple[str, ...]:
    """The texts that `StepCache.of` takes and that begin with `typed`."""
    if ":" not in typed:
        return tuple(name for name in STEP_CACHES if name.startswith(typed.lower()))
    texts = (f"{name}:{threshold}" for name in STEP_CACHES for threshold in _COMPLETIONS)
    return tuple(text for text in texts if text.startswith(typed.lower()))


def _bad_threshold(name: str, threshold: str) -> RequestError:
    return RequestError(
        f"The threshold {threshold!r:.80} of --cache is not a number between 0 and 1, both"
        f" excluded. Type --cache {StepCache(name)}."
    )


@dataclass
class ReusedSteps:
    """The step cache of one run, and how many steps have reused an earlier one."""

    cache: StepCache
    passes: int = 1
    """Calls of the transformer in a step: two where guidance runs in halves."""
    skipped: int = 0
    """Calls in which blocks were skipped. Outside a guidance interval a call counts as `passes`."""
    total: Callable[[torch.Tensor], torch.Tensor] | None = None
    """Sums the numbers of the ranks of one video, so that all skip the same blocks."""
    guided: range | None = None
    """The steps with guidance, counted from 0; None for all."""
    windows: int = 1
    """In how many windows the video is denoised, each with calls of its own."""

    @classmethod
    def of(
        cls,
        cache: StepCache,
        passes: int,
        rank: Rank | None,
        guided: range | None = None,
        windows: int = 1,
    ) -> ReusedSteps:
        """The step cache of a run; with two `passes` a step on one GPU, each prompt decides."""
        if rank is None:
            return cls(cache, passes, guided=guided, windows=windows)
        total, own = partial(rank.summed, halves=passes == 2), passes // rank.split.guidance or 1
        return cls(cache, own, total=total, guided=guided, windows=windows)

    @property
    def steps(self) -> int:
        """Reused steps. With guidance in halves, two skipped calls count as one step."""
        return self.skipped // (self.passes * self.windows)


@contextmanager
def caching_steps(transformer: nn.Module, reused: ReusedSteps) -> Iterator[None]:
    """Skip blocks of `transformer` while denoising one clip; afterwards no tensor is left.

    Args:
        transformer: already placed. Nothing may list its blocks inside: their iteration changes.
        reused: the step cache; receives the count.
    """
    blocks: Any = transformer.transformer_blocks
    original: Any = type(blocks)
    contexts: list[_Residuals] = []
    order = _in_order(reused, contexts)

    class CachedBlocks(original):  # type: ignore[misc]
        """Overrides the iteration, by which the transformer runs its blocks."""

        def __iter__(self) -> Iterator[Any]:
            first, *others, last = super().__iter__()
            residuals = next(order)
            yield partial(residuals.run_first, first)
            if residuals.head is not None:
                yield from others
                yield partial(residuals.run_last, last)

    if len(blocks) > 1:  # else every step needs all blocks
        blocks.__class__ = CachedBlocks
    try:
        yield
    finally:
        with interrupts_ignored():
            blocks.__class__ = original
            for residuals in contexts:
                residuals.drop()


def _in_order(reused: ReusedSteps, contexts: list[_Residuals]) -> Iterator[_Residuals]:
    """The residuals of each call in turn, kept in `contexts`; new where guidance begins or ends."""
    before: bool | None = None
    for step in count():
        guided = reused.guided is None or step in reused.guided
        if guided is not before:
            before = guided
            for residuals in contexts:
                residuals.drop()
            passes, skips = (reused.passes, 1) if guided else (1, reused.passes)
            contexts[:] = [_Residuals(reused, skips) for _ in range(passes * reused.windows)]
        yield from contexts


@dataclass
class _Residuals:
    """What the blocks added to one prompt's hidden states in the last computed step.

    Each tensor is [batch, video tokens, width]; two are alive at the peak of a step. The text's
    states are not stored: after the last block the transformer does not read them.
    """

    reused: ReusedSteps
    skips: int = 1
    """What a call counts in which blocks are skipped."""
    first: torch.Tensor | None = None
    """What the first block added."""
    rest: torch.Tensor | None = None
    """What all others added together; None in a step that runs them."""
    head: torch.Tensor | None = None
    """The hidden states after the first block; None except while the others run."""

    def run_first(self, block: nn.Module, **inputs: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Run the first block; where the others are to be skipped, add what they added."""
        hidden, text = block(**inputs)
        first = hidden - inputs["hidden_states"]
        if self.rest is not None and self._change(first) < self.reused.cache.threshold:
            self.reused.skipped += self.skips
            return hidden + self.rest, text
        self.first, self.rest, self.head = first, None, hidden
        return hidden, text

    def run_last(self, block: nn.Module, **inputs: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Run the last block, and store what all but the first have added."""
        hidden, text = block(**inputs)
        self.rest, self.head = hidden - self.head, None
        return hidden, text

    def drop(self) -> None:
        """Free the tensors."""
        self.first = self.rest = self.head = None

    def _change(self, first: torch.Tensor) -> float:
        """The relative L1 change since the last computed step, summed in float32.

        NaN or infinity, which skip nothing, where there is no such number.
        """
        import torch
        from torch.linalg import vector_norm

        assert self.first is not None  # noqa: S101 - stored before `rest`
        change = vector_norm(first - self.first, 1, dtype=torch.float32)
        before = vector_norm(self.first, 1, dtype=torch.float32)
        if self.reused.total is not None:
            change, before = self.reused.total(torch.stack([change, before])).unbind()
        return float(change / before)
