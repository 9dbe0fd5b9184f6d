"""The machine as a value: GPUs, host memory, disk, rates and past runs."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from cogmagic._machine.cards.names import card_for
from cogmagic._machine.compiler import compiler_problem
from cogmagic._machine.decoding_kernels import DecodingTrial, decoding_trials
from cogmagic._machine.described import apple_ram, described_gpus, described_ram
from cogmagic._machine.experience import card_rates, read_experience, software
from cogmagic._machine.gpu import Gpu, selected
from cogmagic._machine.hardware import DeviceType, read_hardware
from cogmagic._machine.history import PastRun
from cogmagic._machine.kernels import Comparison, installed_kernels, uncompared
from cogmagic._machine.links import Link, described_links, read_links
from cogmagic._machine.metal import apple_gpu
from cogmagic._machine.ram import Ram
from cogmagic._machine.rates import Rates, datasheet_rates, float32_rates
from cogmagic._models.model import Dtype
from cogmagic._spelling import errors_for_python

__all__ = ["Machine"]


_LIBRARIES = 2**28
"""More VRAM than libraries load beside a CUDA context of the usual size: 0.1 GiB on an H100."""


@dataclass(frozen=True)
class Machine:
    """All that a plan knows of the world. Memory in bytes."""

    gpus: tuple[Gpu, ...] = ()
    ram: Ram = field(default_factory=Ram)
    device: DeviceType = "cpu"
    note: str | None = None
    """One line about a GPU that is present but unusable, with what to type."""
    disk: int | None = None
    """Bytes free on the disk of the hub's cache; None where nothing is to be downloaded."""
    rates: Rates | None = None
    """Speed of the roomiest GPU in 16 bits; None where nothing is known of it."""
    past: tuple[PastRun, ...] = ()
    """Runs recorded on this machine, the oldest first."""
    cache_folder: Path | None = None
    """Folder of the run history and the probes; None where they have not been read."""
    driver: str = ""
    """The GPUs' driver, as ``580.95.05``; empty where unknown."""
    versions: str = ""
    """Of the libraries, as ``torch 2.11.0, diffusers 0.42.1``; empty where unknown."""
    kernels: tuple[str, ...] | None = None
    """Attention kernels that are installed here, usable or not; None for all that such a GPU can
    use, as on a described machine."""
    compared: tuple[Comparison, ...] = ()
    """How attention kernels compared with torch's on the roomiest GPU, where they have been."""
    uncompared: tuple[Comparison, ...] = ()
    """The last run's comparisons for which memory ran out: a speed does without these kernels."""
    compiler: str = ""
    """Why nothing can be compiled here, as `compiler_problem` says; empty if it can."""
    trials: tuple[DecodingTrial, ...] = ()
    """How the kernels of fast decoding ran on these GPUs, where this process has tried them."""
    links: tuple[Link, ...] = ()
    """The links between its GPUs; PCIe between those that have none here."""
    not_together: str = ""
    """Why GPUs here cannot make one video together, a clause; empty if they can."""
    metal: int | None = None
    """Bytes that an Apple GPU may use; None for Metal's usual share of the host's memory."""

    @property
    def software(self) -> str:
        """The driver and the libraries that compute, as the key of measurements."""
        return software(self.driver, self.versions)

    @property
    def computing(self) -> tuple[Gpu, ...]:
        """The GPUs whose memory a plan counts: on MPS, the Apple GPU."""
        if self.device == "mps":
            return self.gpus or (apple_gpu(self.ram, self.metal),)
        return self.gpus

    @property
    def roomiest(self) -> Gpu | None:
        """The GPU that a run on one GPU uses: the one with most room; None without any.

        Of GPUs with equal room, one that this kernel uses already: another would cost another
        CUDA context.
        """
        bonus = {g.index: _LIBRARIES if g.reserved is not None else 0 for g in self.gpus}
        return max(
            self.gpus, key=lambda g: ((g.room or 0) + bonus[g.index], -g.index), default=None
        )

    def rates_in(self, dtype: Dtype) -> Rates | None:
        """Rates of the GPU that a run on one GPU uses; None where unknown, and without CUDA.

        A probe measures 16 bits alone, so float32 has the rate of the card's datasheet.
        """
        gpu = self.roomiest
        if gpu is None or self.device != "cuda":
            return None
        if dtype != "float32":
            return self.rates
        card = card_for(gpu.name, gpu.total)
        return float32_rates(card) if card else None

    def device_names(self, indices: Collection[int]) -> str:
        """Names and devices of GPUs by torch's index, or the device without any."""
        gpus = (g for g in self.gpus if g.index in indices)
        return " + ".join(f"{g.name} ({self.device}:{g.index})" for g in gpus) or self.device

    @classmethod
    @errors_for_python()
    def of(
        cls, gpus: str | None = None, *, ram: float | None = None, vram: float | None = None
    ) -> Machine:
        """A machine that one describes, such as ``Machine.of("2x A100 40GB", ram=64)``.

        The cards are idle; a driver and a desktop take 300 MiB of each. What sellers call GB of
        memory are GiB, so ``ram=12.7`` is Colab's.

        Args:
            gpus: names of cards, ``RTX 3060``, ``2x T4`` or ``RTX 3090 + RTX 3060``, or an Apple
                chip, ``M3 Max``.
            ram: host memory in GiB; unknown, and so no limit, when left out. Where the GPU shares
                it (GB10, Jetson), the memory of both.
            vram: GiB of each GPU that may be used, or that a rebuilt card has; without `gpus`, a
                card of that size with the speed of an RTX 3060.

        Raises:
            RequestError: for unknown cards and impossible amounts.
        """
        if mac := apple_ram(gpus, ram, vram):
            return cls((), mac, "mps")
        described, cards = described_gpus(gpus, vram)
        host = described_ram(described, ram)
        described = tuple(g.sharing(host.total, host.available) for g in described)
        links = described_links(described, cards)
        machine = cls(described, host, "cuda" if described else "cpu", links=links)
        if (best := machine.roomiest) is None:
            return machine
        rates = datasheet_rates(cards[best.index])
        if gpus is None:
            name = cards[best.index].name
            source = f"the datasheet of {name} (Ampere), as --vram names no card: add --gpu NAME"
            rates = replace(rates, source=source)
        return replace(machine, rates=rates)

    @classmethod
    def detect(cls, folder: Path | None = None, *, gpus: Sequence[str] = ()) -> Machine:
        """Read this machine, now. Creates no CUDA context and imports no torch.

        Args:
            folder: of the run history and the probes; default the user's cache folder.
            gpus: indices or UUIDs of the GPUs that count; all if left out.

        Raises:
            RequestError: for a GPU that the machine does not have.
        """
        machine = cls.detect_hardware().only(gpus)
        compiler = compiler_problem(machine.device)
        machine = replace(machine, compiler=compiler, trials=decoding_trials())
        machine = replace(
            machine, links=read_links(machine.gpus), not_together=_not_together(machine.gpus)
        )
        gpu = machine.roomiest
        if gpu is None or machine.device != "cuda":
            return machine
        return machine.with_experience(gpu, folder)

    @classmethod
    def detect_hardware(cls) -> Machine:
        """Read GPUs and host memory alone, without rates and past runs: for a live display."""
        now = read_hardware()
        return cls(now.gpus, now.ram, now.device, now.note, metal=now.metal)

    def limited_to(self, limit: int | None) -> Machine:
        """With `limit` bytes of each GPU at most for this kernel, its context and its tensors."""
        if limit is None:
            return self
        if self.device == "mps":
            (gpu,) = self.computing
            return replace(self, metal=min(limit, gpu.allowed or limit))
        gpus = (replace(g, allowed=min(limit, g.allowed or limit)) for g in self.gpus)
        return replace(self, gpus=tuple(gpus))

    def only(self, gpus: Sequence[str]) -> Machine:
        """With no other GPUs than those named, by index or UUID; all if none is.

        Raises:
            RequestError: for a GPU that the machine does not have.
        """
        machine = replace(self, gpus=selected(self.gpus, gpus)) if gpus else self
        gpu = machine.roomiest
        if gpu is None or gpu == self.roomiest:
            return machine
        if self.cache_folder:
            return machine.with_experience(gpu, self.cache_folder)
        return replace(machine, rates=card_rates(gpu))

    def with_experience(self, gpu: Gpu, folder: Path | None) -> Machine:
        """With the rates of `gpu`, the past runs, and the software that they belong to."""
        known = read_experience(gpu, folder)
        return replace(
            self,
            rates=known.rates,
            past=known.past,
            cache_folder=known.folder,
            driver=known.driver,
            versions=known.versions,
            kernels=installed_kernels(),
            compared=known.compared,
            uncompared=tuple(uncompared),
        )


def _not_together(gpus: Sequence[Gpu]) -> str:
    """Why this machine's GPUs cannot make one video together, a clause; empty if they can."""
    if sys.platform == "win32":
        return "torch has no NCCL on Windows"
    if len(gpus) > 1 and any((gpu.uuid or "").startswith("MIG-") for gpu in gpus):
        return "NCCL does not connect MIG instances"
    return ""
