"""The workloads of a request on a machine, as the tiers see them. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf

from cogmagic._footprint.adapters import adapter_bytes
from cogmagic._footprint.footprint import Footprint, footprint, text_encoder_bytes
from cogmagic._footprint.packed import kept_packed, packed_storage, with_packed
from cogmagic._footprint.savings import Savings
from cogmagic._machine.machine import Machine
from cogmagic._models.model import Dtype
from cogmagic._models.request import Request
from cogmagic._models.seen import window_lengths
from cogmagic._pipeline.attention_scores import scores, sliced_bytes
from cogmagic._pipeline.parallel.split import WHOLE, Split
from cogmagic._pipeline.speedups import Speedups
from cogmagic._planning.memory_options import Available
from cogmagic._planning.ranks import Ranks
from cogmagic._tiers.needs import workspace
from cogmagic._tiers.workload import Workload, without_text

__all__ = ["Workloads"]


@dataclass(frozen=True)
class Workloads:
    """The workloads of a request on a machine, which differ in their savings and speedups."""

    request: Request
    machine: Machine
    dtype: Dtype
    """The dtype in which the weights are loaded."""
    available: Available
    """What the machine has already."""
    stays: bool
    """Whether weights in host memory stay there for the next run."""
    ranks: Ranks | None = None
    """The ranks that make the video together; None for one GPU."""

    def of(self, savings: Savings, speedups: Speedups) -> Workload:
        """The workload of a run with these savings and speedups."""
        request, machine, here = self.request, self.machine, self.available
        gpu, ranks, split = machine.roomiest, self.ranks, self.split
        files = self._files(savings, speedups)
        packed = kept_packed(request.model.stored, savings, machine.device)
        stored = with_packed(savings.shrunk(files), packed, self.dtype)
        return Workload(
            request=request,
            dtype=self.dtype,
            files=files,
            stored=stored,
            active=without_text(stored) if here.prompts_cached else stored,
            overhead=workspace(gpu.capability if gpu else None),
            rates=machine.rates_in(self.dtype),
            ram=machine.ram.for_me,
            addresses=machine.ram.addresses,
            float32_extra=self._float32_extra(files),
            converted=bool(savings.storage),
            copies=machine.device == "cuda" and not (gpu and gpu.unified),
            adapters=adapter_bytes(request, self.dtype),
            loaded=here.weights_loaded,
            cached=here.cached,
            first_run=here.first_run and not here.weights_loaded,
            stays=self.stays,
            embeddings=here.embeddings,
            lean_decode=savings.lean_decode,
            passes=_passes(request, halves=savings.guidance_halves and split.guidance == 1),
            speedups=speedups,
            storage=savings.storage or packed_storage(packed, "transformer"),
            text_storage=savings.text,
            packed=packed,
            load_vram=_load_vram(savings, stored, machine),
            split=split,
            link=ranks.link.rate if ranks and ranks.link else inf,
            unguided=self._unguided(savings, speedups),
        )

    @property
    def split(self) -> Split:
        """How the video's work is divided among GPUs."""
        return self.ranks.split if self.ranks else WHOLE

    def _files(self, savings: Savings, speedups: Speedups) -> Footprint:
        """The footprint with the weights as the files store them."""
        halves = savings.guidance_halves
        files = footprint(
            self.request,
            self.dtype,
            self.available.folder,
            halves=halves,
            lean=savings.lean_decode,
            fast=speedups.decode,
            cached=speedups.cache is not None,
            split=self.split,
        )
        on_mps = self.machine.device == "mps"
        return _with_scores(files, self.request, halves=halves) if on_mps else files

    def _float32_extra(self, files: Footprint) -> int:
        """`Workload.float32_extra`: transformers keeps every `wo` of T5 in float32 for float16."""
        if self.dtype != "float16":
            return 0
        plain = text_encoder_bytes(self.request, "bfloat16", self.available.folder)
        return 2 * (files.text_encoder.weights - plain)

    def _unguided(self, savings: Savings, speedups: Speedups) -> Workload | None:
        """`Workload.unguided`; None as well where each half of guidance has ranks of its own."""
        if not self.request.partly_guided or self.split.guidance != 1:
            return None
        return replace(self, request=self.request.unguided()).of(savings, speedups)


def _passes(request: Request, *, halves: bool) -> int:
    """How often a step runs the transformer: for each window, and each half of guidance."""
    windows = len(window_lengths(request)) if request.model.inpaints else 1
    return windows * (2 if halves and request.guided else 1)


def _load_vram(savings: Savings, stored: Footprint, machine: Machine) -> int:
    """Bytes on the GPU of weights that a library quantises there, on the way to host memory."""
    storage = savings.quantised.get("transformer")
    on_gpu = storage is not None and storage.quantises_on_gpu and machine.device == "cuda"
    return stored.transformer.weights if on_gpu else 0


def _with_scores(f: Footprint, request: Request, *, halves: bool) -> Footprint:
    """With the scores of attention, which MPS stores."""
    nbytes = sliced_bytes(scores(request, f.tokens, halves=halves))
    work = replace(f.denoise, peak=f.denoise.peak + nbytes, leaf_peak=f.denoise.leaf_peak + nbytes)
    return replace(f, denoise=work)
