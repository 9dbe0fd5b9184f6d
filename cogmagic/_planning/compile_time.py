"""The seconds that compiling takes before a run's first step. Pure."""

from __future__ import annotations

from collections.abc import Hashable
from statistics import median

from cogmagic._machine.history import PastRun
from cogmagic._models.chunks import chunk_of
from cogmagic._models.model import Dtype
from cogmagic._models.request import Request
from cogmagic._pipeline.adapters import active
from cogmagic._pipeline.parallel.split import WHOLE, Split
from cogmagic._planning.correction import Situation, alike
from cogmagic._planning.resolved import Resolved

__all__ = ["code_key", "code_keys", "compile_seconds"]


_FIRST_SECONDS, _FURTHER_SECONDS = 13.0, 5.0
"""Where nothing is recorded: of a kernel's first blocks, and of other blocks. On an H200's host
7.0 to 10.7 s, with 4 s to load the compiler and the attention kernel; then 2.7 to 7.4 s
(docs/benchmarks, speeds and heldout)."""
_DECODING_SECONDS = 5.0
"""Of the decoder's kernels, once for each dtype: the first decoding took 5.5 s longer in float16
and again in bfloat16 (docs/benchmarks/heldout.jsonl). Triton keeps them on disk."""


def code_key(request: Request, dtype: Dtype, uses: Resolved, split: Split = WHOLE) -> Hashable:
    """What compiled code depends on; two runs with the same key share it, in whatever tier."""
    passes = request.guided, uses.savings.guidance_halves
    clip = request.width, request.height, chunk_of(request).num_frames
    layers = request.model.source, dtype, uses.savings.storage
    adapters = ((a.file, a.stamp, a.weight, a.layers) for a in active(request.loras))
    speedups = uses.speedups.attention, uses.speedups.cache is not None  # see `compiling`
    divided = () if split == WHOLE else (split,)
    return *layers, *adapters, *clip, *passes, *speedups, *divided  # no file before a download


def code_keys(
    request: Request, dtype: Dtype, uses: Resolved, split: Split = WHOLE
) -> tuple[Hashable, ...]:
    """The keys of all code of a run: of its blocks, and of fast decoding.

    With a guidance interval there are two of blocks, since outside it the batch is the prompt
    alone. Where guidance is in halves, it is that in every step.
    """
    keys = [code_key(request, dtype, uses, split)]
    if request.partly_guided and not uses.savings.guidance_halves and split.guidance == 1:
        keys.append(code_key(request.unguided(), dtype, uses, split))
    return *keys, *([_decoding_key(dtype)] if uses.speedups.decode else [])


def _decoding_key(dtype: str) -> Hashable:
    return "decoding", dtype


def compile_seconds(
    past: tuple[PastRun, ...],
    situation: Situation,
    code: frozenset[Hashable],
    keys: tuple[Hashable, ...],
) -> float:
    """The seconds that compiling takes in a run.

    Blocks of another shape than the first add 5 s, and so do the decoder's kernels, unless this
    kernel or a past run has made those of the dtype.

    Args:
        past: the run history, the oldest first.
        situation: the run to predict.
        code: the keys of the code that this kernel has.
        keys: those of the run.
    """
    first, *others = keys
    total = _first_seconds(past, situation, code, first)
    decoding = _decoding_key(situation.dtype)
    if decoding in {*keys} - code and not _on_disk(past, situation):
        total += _DECODING_SECONDS
    return total + _FURTHER_SECONDS * len({*others} - code - {decoding})


def _on_disk(past: tuple[PastRun, ...], situation: Situation) -> bool:
    """Whether a past run on this card, of whatever model, has made the decoder's kernels."""
    card, dtype = situation.card, situation.dtype
    return any((r.card, r.dtype) == (card, dtype) and "decode" in r.uses.split(", ") for r in past)


def _first_seconds(
    past: tuple[PastRun, ...], situation: Situation, code: frozenset[Hashable], key: Hashable
) -> float:
    """The seconds that compiling takes before the first step of a run.

    Zero for code that this kernel has. Else the newest recorded time of the same model and clip,
    whose code may be in torch's cache on disk. Else what the first run of each other clip took: the
    longest for a kernel without code, which has to start the compiler, and otherwise the median of
    the others. Else 13 or 5 s.

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
