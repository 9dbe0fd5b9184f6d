"""torch's message when VRAM runs out."""

from __future__ import annotations

import torch

SAID = (
    "CUDA out of memory. Tried to allocate {asked}. GPU 0 has a total capacity of 12.00 GiB of"
    " which 1.31 GiB is free. Process 7 has 4.00 GiB memory in use. Including non-PyTorch memory,"
    " this process has 6.68 GiB memory in use. Of the allocated memory 4.18 GiB is allocated by"
    " PyTorch, and {cached} is reserved by PyTorch but unallocated. If reserved but unallocated"
    " memory is large try setting PYTORCH_ALLOC_CONF=expandable_segments:True."
)


def short(asked: str = "2.00 GiB", cached: str = "210.50 MiB") -> Exception:
    return torch.cuda.OutOfMemoryError(SAID.format(asked=asked, cached=cached))
