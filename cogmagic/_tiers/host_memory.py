"""Host memory that a tier takes. Pure arithmetic."""

from __future__ import annotations

from dataclasses import dataclass

from cogmagic._footprint.work import ITEM
from cogmagic._models.chunks import chunk_of
from cogmagic._models.seen import encoded_clips
from cogmagic._tiers.weight_files import file_bytes, stored_as_files, stored_dtype
from cogmagic._tiers.workload import Workload
from cogmagic._units import GIB

__all__ = ["PROCESS", "RESERVE", "HostMemory", "copies_or_files", "passing_through", "process"]

PROCESS = round(1.35 * GIB)
"""Python with torch, diffusers and a CUDA context, measured on Linux (docs/benchmarks)."""
_LOADING = round(0.15 * GIB)
"""The loaders' buffers while components go from file to GPU (docs/benchmarks)."""
RESERVE = 2 * GIB
"""Host memory that must stay free for weights to be copied, and to be kept between runs."""


@dataclass(frozen=True)
class HostMemory:
    """Host memory of a run."""

    peak: int
    """Bytes of the process's own, memory-mapped files not counted."""
    copies: bool = False
    """Whether the weights in it are copies, which CUDA can page-lock."""
    mapped: int = 0
    """Bytes of memory-mapped files besides it; they count only against limits on addresses."""


def process(work: Workload) -> int:
    """Bytes of the process without any weights: the libraries, the frames, and embeddings.

    The video to begin from stays as it was read, and goes to the GPU in the run's dtype; a long one
    in chunks, while the frames of those before are there.
    """
    r = work.request
    frames = r.num_frames * r.height * r.width * 3
    video = frames if encoded_clips(r) or (r.model.inpaints and r.inputs) else 0
    chunk = frames * chunk_of(r).num_frames // r.num_frames
    encoding = video and video + ITEM[work.dtype] * chunk
    encoding += frames + 2 * chunk if chunk < frames else 0
    video += video // 3 if r.model.inpaints else 0  # the mask
    if not work.first_rank:
        return PROCESS + encoding
    return PROCESS + max(2 * frames + video, encoding) + work.embeddings


def copies_or_files(work: Workload, *, required: bool) -> HostMemory:
    """The memory of a tier whose weights wait in host memory.

    Copies are what a GPU reads fastest and what no vanishing disk can take away. Where they do not
    fit, weights whose file has the right dtype stay memory-mapped files, which do not count.

    Args:
        work: what is to run.
        required: whether the weights must be copies.
    """
    f, base = work.stored, process(work)
    weights = f.text_encoder.weights + f.transformer.weights + f.vae.weights
    mapped = 0 if work.loaded else sum(file_bytes(work.request, work.files, work.dtype).values())
    fits = work.copies and (work.ram is None or work.ram >= base + weights + RESERVE)
    fits = fits and (work.addresses is None or work.addresses >= base + weights + mapped)
    if required or fits:
        return HostMemory(base + weights, copies=True, mapped=mapped)
    return HostMemory(base + _converted(work), mapped=mapped)


def passing_through(work: Workload, *, extra: int = 0) -> HostMemory:
    """The memory of a tier whose weights go from the files to the GPU, with `extra` bytes.

    Only one component's files are mapped at a time.
    """
    mapped = max(file_bytes(work.request, work.files, work.dtype).values())
    extra += work.adapters  # as they are read
    return HostMemory(process(work) + _LOADING + extra, mapped=mapped)


def _converted(work: Workload) -> int:
    """Bytes of the weights that cannot stay memory-mapped files."""
    f, request, dtype = work.stored, work.request, work.dtype
    total = 0
    if stored_dtype("vae", request) != dtype:
        total += f.vae.weights
    packed = {p.component: p.nbytes for p in work.packed}  # which stay mapped
    if "text_encoder" in packed:
        if stored_dtype("text_encoder", request) != dtype:
            total += f.text_encoder.weights - packed["text_encoder"]
    elif work.text_storage or stored_dtype("text_encoder", request) != dtype:
        total += f.text_encoder.weights
    else:
        total += work.float32_extra
    if "transformer" in packed and stored_as_files(request, dtype):
        total += work.adapters
    elif "transformer" in packed:
        total += f.transformer.weights - packed["transformer"]
    elif work.converted or not stored_as_files(request, dtype):
        total += f.transformer.weights
    else:
        total += work.adapters  # read into memory, whatever their files' dtype
    return total
