"""The work of one phase: bytes alive at once and operations, and their arithmetic."""

from __future__ import annotations

from dataclasses import dataclass, replace

from cogmagic._footprint.curves import Peak, Profile
from cogmagic._models.model import Dtype

__all__ = ["ITEM", "NO_WORK", "Work", "cache_bytes", "encoding", "higher", "rounded", "work_of"]


ITEM: dict[Dtype, int] = {"float16": 2, "bfloat16": 2, "float32": 4}
"""Bytes of a number."""


@dataclass(frozen=True)
class Work:
    """One phase's pass through its module on the device."""

    peak: int
    """Most bytes alive at once beyond the module's own weights and buffers: inputs, activations,
    outputs, in the allocator's blocks of 512 bytes."""
    leaf_peak: int
    """The same with the weights of the one leaf module that is running at each moment and the
    buffers of all components: everything on the device with sequential offload."""
    operations: float
    """Floating-point operations, 2 for a multiplication with its addition."""
    calls: int = 1
    """Calls of the module: one for each pass over a tile in decoding, else one."""
    mapped: int = 0
    """Bytes of memory newly mapped with sequential offload, which returns free memory before each
    leaf module."""
    ahead_peak: int = 0
    """Most bytes alive at once with the weights of the running leaf module and of the next, which
    is copied meanwhile: everything on the device where leaf modules are streamed. Of encoding text
    only."""

    def with_scratch(self, whole: int, layer: int) -> Work:
        """The work of text encoding with what a `Storage` needs: see `Storage.scratch`."""
        return replace(
            self,
            peak=self.peak + whole,
            leaf_peak=self.leaf_peak + layer,
            ahead_peak=self.ahead_peak + layer,
        )


NO_WORK = Work(0, 0, 0.0)


def encoding(profile: Profile, prompts: int, embeddings: int) -> tuple[Work, Work]:
    """The lookup of the first prompt and all that follows: see `Footprint`.

    diffusers learns the order of streamed layers in the first pass, and fetches them ahead from the
    second on. On an H200, encoding takes 265,046,016 bytes with VOID's one prompt, and 300,460,032
    with two on an H100 (docs/benchmarks, inpaint and stream), as counted here with cuBLAS's 32 MiB.

    Args:
        profile: of the model.
        prompts: how many are encoded, one after the other: 1 or 2.
        embeddings: bytes of one prompt's embeddings.
    """
    lookup, encode, operations = profile.lookup, profile.encode, profile.encode_operations
    if prompts == 1:
        alone = replace(encode, ahead_peak=encode.leaf_peak)
        first = replace(lookup, ahead_peak=lookup.leaf_peak)
        return work_of(first, 0.0, profile), work_of(alone, operations, profile)
    second = higher(encode, lookup)
    second = replace(second, mapped=encode.mapped, ahead_peak=encode.ahead_peak)
    return NO_WORK, work_of(second, operations, profile, rounded(embeddings))


def work_of(peak: Peak, operations: float, profile: Profile, around: int = 0) -> Work:
    """The work of a pass while `around` bytes are alive outside it."""
    above = peak.leaf_peak + around + profile.buffers
    ahead = peak.ahead_peak and peak.ahead_peak + around
    return Work(peak.peak + around, above, operations, mapped=peak.mapped, ahead_peak=ahead)


def higher(peak: Peak, other: Peak, around: int = 0) -> Peak:
    """The higher of `peak` and `other`, the latter with `around` more bytes alive."""
    return Peak(max(peak.peak, other.peak + around), max(peak.leaf_peak, other.leaf_peak + around))


def rounded(nbytes: int) -> int:
    """The bytes that torch's CUDA allocator hands out for `nbytes`: whole blocks of 512."""
    return -(-nbytes // 512) * 512


def cache_bytes(batch: int, video_tokens: int, width: int, itemsize: int) -> int:
    """Bytes that a step cache stores at the peak of every step: two tensors of hidden states.

    Args:
        batch: prompts that the transformer takes at once.
        video_tokens: tokens of each, without those of its text.
        width: channels of the hidden states.
        itemsize: bytes of a number.
    """
    return 2 * rounded(batch * video_tokens * width * itemsize)
