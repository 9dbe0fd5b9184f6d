"""Memory of compiled blocks: what a step's peak becomes with speedups. Pure."""

from __future__ import annotations

from dataclasses import replace

from cogmagic._footprint.footprint import Footprint
from cogmagic._pipeline.speedups import Speedups
from cogmagic._pipeline.storage import STORAGES

__all__ = ["with_speedups"]

_ALIVE = 6
"""Hidden states alive at once in a compiled block, beside what was alive before it. On an H200 6.00
with torch's attention and with FlashAttention-3, for widths of 1920 and 3072 and 4,276 to 17,776
tokens (docs/benchmarks/blocks.jsonl). A block as diffusers runs it has 11.0, or 11.9 with rotated
queries and keys."""
_ALIVE_EXCHANGING = 8
"""The same where attention exchanges tokens for heads: queries, keys and values as they are sent
and as they arrive, and one of them on its way. Counted in ``parallel/attention.py``."""


def with_speedups(f: Footprint, speedups: Speedups, storage: str) -> Footprint:
    """The footprint of a run with `speedups`, whose linear weights are in `storage`.

    Another attention kernel changes no peak of a block that is not compiled: its rotated queries
    and keys take more. Layer by layer, as sequential offload runs, nothing is compiled, so
    `leaf_peak` is the same.
    """
    if not speedups.compile:
        return f
    blocks, work = f.blocks, f.denoise
    alive = _ALIVE_EXCHANGING if blocks.exchanges else _ALIVE
    within = max(alive * blocks.hidden, blocks.adapters)
    if storage:
        narrow = STORAGES[storage]
        scratch, _ = narrow.scratch(f.transformer.largest_leaf)
        within += narrow.compiled_scratch(blocks.hidden, f.transformer.itemsize)
        within += min(scratch, blocks.spare)  # the rest is among what is added to the peak
    peak = max(blocks.entering + within, blocks.outside)
    # What a storage or a device adds to the peak comes on top of the compiled block's, too.
    return replace(f, denoise=replace(work, peak=work.peak - blocks.peak + peak))
