"""A request as the tiers see it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf

from cogmagic._footprint.curves import Part
from cogmagic._footprint.footprint import Footprint
from cogmagic._footprint.work import NO_WORK
from cogmagic._machine.rates import Rates
from cogmagic._models.model import Dtype
from cogmagic._models.packed import Packed
from cogmagic._models.request import Request
from cogmagic._pipeline.parallel.split import WHOLE, Split
from cogmagic._pipeline.speedups import NO_SPEEDUPS, Speedups

__all__ = ["Workload", "without_text"]


@dataclass(frozen=True)
class Workload:
    """A request as the tiers see it: its footprint, and what decides its memory and speed."""

    request: Request
    dtype: Dtype
    """The dtype in which the weights are loaded."""
    files: Footprint
    """The footprint with the weights as the files store them, in `dtype`."""
    stored: Footprint
    """The footprint with the weights as they are stored in memory."""
    active: Footprint
    """`stored`, without the text encoder if the prompt embeddings are cached."""
    overhead: int
    """Bytes of cuBLAS's workspace and of the scheduler's tensors."""
    rates: Rates | None
    """The device's speed; None where it is unknown."""
    ram: int | None
    """Host memory available to this process, in bytes; None where it is unknown."""
    addresses: int | None = None
    """Bytes that this process may map, memory and files together; None without a limit."""
    float32_extra: int = 0
    """Bytes that the loader adds to the text encoder by keeping parts of it in float32."""
    converted: bool = False
    """Whether the transformer's weights are converted after loading, for example to fp8."""
    copies: bool = True
    """Whether weights become copies in host memory where they fit, as on a machine with CUDA."""
    adapters: int = 0
    """Bytes of the LoRA adapters' parameters, which are among the transformer's."""
    loaded: bool = False
    """Whether the weights are in host memory already."""
    cached: float = 0.0
    """Share of the weight files' bytes that are in the page cache."""
    first_run: bool = True
    """Whether the kernel has made no video yet."""
    stays: bool = True
    """Whether weights in host memory stay there for the next run."""
    embeddings: int = 0
    """Bytes of prompt embeddings in host memory, beyond the request's own."""
    lean_decode: bool = False
    passes: int = 1
    """How often each step needs the transformer's weights."""
    speedups: Speedups = NO_SPEEDUPS
    """What makes the run faster than diffusers' own pipeline."""
    storage: str = ""
    """Name in `STORAGES` of the transformer's linear weights; empty for as loaded."""
    text_storage: str = ""
    """Name in `STORAGES` of the text encoder's linear weights; empty for as loaded."""
    packed: tuple[Packed, ...] = ()
    """The components whose quantised layers stay as the files have them."""
    load_vram: int = 0
    """Bytes on the GPU of weights that are quantised there while they are loaded."""
    split: Split = WHOLE
    """How the video's work is divided among GPUs; the footprints are those of a rank."""
    link: float = inf
    """Bytes a second that a rank sends to the others while it receives as many."""
    first_rank: bool = True
    """Whether this rank encodes the text and has the frames."""
    unguided: Workload | None = None
    """The same without guidance, where steps outside a guidance interval are shorter; else None."""

    def of_others(self) -> Workload:
        """The workload of a rank other than the first, where several make the video together."""
        files, stored, active = map(without_text, (self.files, self.stored, self.active))
        decode = self.files.decode_share or self.files.decode
        return replace(
            self,
            files=replace(files, decode=decode),
            stored=replace(stored, decode=decode),
            active=replace(active, decode=decode),
            float32_extra=0,
            first_rank=False,
            unguided=self.unguided and self.unguided.of_others(),
        )

    @property
    def prompts(self) -> int:
        """Prompts to encode: the negative one only with guidance."""
        return 2 if self.request.guided else 1


def without_text(f: Footprint) -> Footprint:
    """The footprint of a run that does not need the text encoder."""
    nothing = Part(weights=0, largest_leaf=0, block=0, blocks=0)
    return replace(f, text_encoder=nothing, encode=NO_WORK, lookup=NO_WORK)
