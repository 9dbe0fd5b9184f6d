"""The seconds that compiling takes before a run's first step. Pure."""

from __future__ import annotations

from collections.abc import Hashable
from statistics import median

from cogmagic._machine.history import PastRun
from cogmagic._models.catalog import Dtype
from cogmagic._models.request import Request
from cogmagic._pipeline.adapters import active
from cogmagic._pipeline.parallel.split import WHOLE, Split
from cogmagic._planning.correction import Situation, alike
from cogmagic._planning.resolved import Resolved

__all__ = ["code_key", "code_keys", "compile_seconds"]


_FIRST_SECONDS, _FURTHER_SECONDS = 18.0, 5.0
"""Where nothing is recorded: of a kernel's first code, and of further code. On an H200's host 7.0
to 9.7 s for the blocks, 5.5 s in the first decoding and 4 s to load the compiler and the attention
kernel; then 2.7 to 5.7 s (docs/benchmarks, speeds and heldout)."""


def code_key(request: Request, dtype: Dtype, uses: Resolved, split: Split = WHOLE) -> Hashable:
    """What compiled code depends on; two runs with the same key share it, in whatever tier."""
    passes = request.guided, uses.savings.guidance_halves
    clip = request.width, request.height, request.num_frames
    layers = request.model.source, dtype, uses.savings.storage
    adapters = ((a.file, a.stamp, a.weight, a.layers) for a in active(request.loras))
    speedups = uses.speedups.attention, uses.speedups.cache is not None  # see `compiling`
    divided = () if split == WHOLE else (split,)
    return *layers, *adapters, *clip, *passes, *speedups, *divided  # no file before a download


def code_keys(
    request: Request, dtype: Dtype, uses: Resolved, split: Split = WHOLE
) -> tuple[Hashable, ...]:
    """The keys of all code of a run: with a guidance interval that of other steps, too.

    There the batch is the prompt alone; where guidance is in halves, it is that in every step.
    """
    key = code_key(request, dtype, uses, split)
    if not request.partly_guided or uses.savings.guidance_halves or split.guidance > 1:
        return (key,)
    return key, code_key(request.unguided(), dtype, uses, split)


def compile_seconds(
    past: tuple[PastRun, ...],
    situation: Situation,
    code: frozenset[Hashable],
    keys: tuple[Hashable, ...],
) -> float:
    """The seconds that compiling takes in a run; of further code than the first 5 s each.

    Args:
        past: the run history, the oldest first.
        situation: the run to predict.
        code: the keys of the code that this kernel has.
        keys: those of the run.
    """
    first, *others = keys
    total = _first_seconds(past, situation, code, first)
    return total + _FURTHER_SECONDS * len({*others} - code)


def _first_seconds(
    past: tuple[PastRun, ...], situation: Situation, code: frozenset[Hashable], key: Hashable
) -> float:
    """The seconds that compiling takes before the first step of a run.

    Zero for code that this kernel has. Else the newest recorded time of the same model and clip,
    whose code may be in torch's cache on disk. Else what the first run of each other clip took: the
    longest for a kernel without code, which has to start the compiler, and otherwise the median of
    the others. Else 18 or 5 s.

    Args:
        past: the run history, the oldest first.
        situation: the run to predict.
        code: the keys of the code that this kernel has.
        key: the run's.
    """
    if key in code:
        return 0.0
    first: dict[Hashable, float] = {}
    newest: float | None = None
    clip_to_run = situation.model, situation.dtype, situation.size, situation.num_frames
    for _, row in alike(past, situation):
        if row.measured_compile is None:
            continue
        clip = row.model, row.dtype, row.size, row.num_frames
        first.setdefault(clip, row.measured_compile)
        if clip == clip_to_run:
            newest = row.measured_compile
    if newest is not None:
        return newest
    if code:
        return median(sorted(first.values())[:-1] or [_FURTHER_SECONDS])
    return max(first.values(), default=_FIRST_SECONDS)
