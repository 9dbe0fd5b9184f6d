"""The machine as a value: GPUs and host memory, read without touching CUDA.

Readings come from NVML for NVIDIA, from sysfs for AMD, from the control group for containers.
What cannot be known is None.
"""

from __future__ import annotations

import math
import platform
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cogmagic._errors import RequestError
from cogmagic._machine.amounts import gib_bytes
from cogmagic._machine.card_names import find_card, parse_gpus
from cogmagic._machine.cards import Card
from cogmagic._machine.gpu import Gpu, selected
from cogmagic._machine.nvml import driver_version, nvidia_gpus, visible_note
from cogmagic._machine.ram import Ram, host_ram
from cogmagic._machine.rates import datasheet_rates
from cogmagic._machine.rocm import amd_gpus
from cogmagic._machine.torch_build import INSTALL, built_for, cpu_only_note, torch_build
from cogmagic._units import GIB, MIB

if TYPE_CHECKING:
    from cogmagic._machine.history import PastRun
    from cogmagic._machine.rates import Rates

__all__ = ["Machine", "checked_by_torch", "described"]


_LOADED = 2**28
"""More than libraries load beside a CUDA context of the usual size: 0.1 GiB on an H100."""


DeviceType = Literal["cuda", "mps", "cpu"]


@dataclass(frozen=True)
class Machine:
    """All that a plan knows of the world."""

    gpus: tuple[Gpu, ...] = ()
    ram: Ram = field(default_factory=Ram)
    device: DeviceType = "cpu"
    note: str | None = None
    """One line about a GPU that is there but cannot be used, with what to type."""
    disk: int | None = None
    """Bytes free where the hub's files are kept; None where that is not asked."""
    rates: Rates | None = None
    """How fast the roomiest GPU is; None where nothing is known of it."""
    past: tuple[PastRun, ...] = ()
    """What runs on this machine really needed, the oldest first."""
    kept: Path | None = None
    """The folder with what was learnt of this machine; None where nothing was asked for."""
    driver: str = ""
    """The GPUs' driver, as ``580.95.05``; empty where unknown."""
    versions: str = ""
    """Of what computes, as ``torch 2.11.0, diffusers 0.42.1``; empty where unknown."""

    @property
    def software(self) -> str:
        """The driver and what computes, in one word for all of it."""
        return f"driver {self.driver}, {self.versions}"

    @property
    def roomiest(self) -> Gpu | None:
        """The GPU that a run on one GPU uses: the one with most room; None without any.

        Of GPUs with as much, the one that this kernel uses already: another costs another context.
        """
        stays = {g.index: _LOADED if g.reserved is not None else 0 for g in self.gpus}
        return max(
            self.gpus, key=lambda g: ((g.room or 0) + stays[g.index], -g.index), default=None
        )

    @classmethod
    def of(
        cls, gpus: str | None = None, *, ram: float | None = None, vram: float | None = None
    ) -> Machine:
        """A machine that one describes, such as ``Machine.of("2x A100 40GB", ram=64)``.

        Args:
            gpus: names of cards, ``RTX 3060``, ``2x T4`` or ``RTX 3090 + RTX 3060``.
            ram: host memory in GiB; unknown, and so no limit, when left out.
            vram: GiB of each GPU that may be used; without `gpus`, a generic card of that size.

        Raises:
            RequestError: for unknown cards and impossible amounts.
        """
        return described(gpus, ram=ram, vram=vram)

    @classmethod
    def detect(cls, folder: Path | None = None, *, gpus: Sequence[str] = ()) -> Machine:
        """Read this machine, now. Creates no CUDA context and imports no torch.

        Args:
            folder: where figures of past runs are kept; default the user's cache folder.
            gpus: indices or UUIDs of the GPUs that count; all if left out.

        Raises:
            RequestError: for a GPU that is not there.
        """
        found = cls._detect().only(gpus)
        gpu = found.roomiest
        if gpu is None or found.device != "cuda":
            return found
        return with_experience(found, gpu, folder)

    def limited_to(self, limit: int | None) -> Machine:
        """With `limit` bytes of each GPU at most for this kernel, its context and its tensors."""
        if limit is None:
            return self
        allowed = (min(limit, g.allowed or limit) for g in self.gpus)
        gpus = (replace(g, allowed=a) for g, a in zip(self.gpus, allowed, strict=True))
        return replace(self, gpus=tuple(gpus))

    def only(self, gpus: Sequence[str]) -> Machine:
        """With no other GPUs than those named, by index or UUID; all if none is.

        Raises:
            RequestError: for a GPU that is not there.
        """
        found = replace(self, gpus=selected(self.gpus, gpus)) if gpus else self
        gpu = found.roomiest
        if gpu is None or gpu == self.roomiest:
            return found
        return with_experience(found, gpu, self.kept) if self.kept else with_rates(found, gpu)

    @classmethod
    def _detect(cls) -> Machine:
        build = torch_build()
        ram = host_ram()
        if build.hip:
            gpus = with_torch_counters(amd_gpus())
            return cls(gpus, ram, "cuda" if gpus else "cpu")
        found = nvidia_gpus()
        if found and build.cuda is None:
            return cls((), ram, "cpu", cpu_only_note(found, build))
        gpus = with_torch_counters(found)
        if gpus:
            return cls(gpus, ram, "cuda")
        mps = sys.platform == "darwin" and platform.machine() == "arm64"
        return cls((), ram, "mps" if mps else "cpu", visible_note())


def with_experience(machine: Machine, gpu: Gpu, folder: Path | None) -> Machine:
    """Add what is known of the GPU's speed and of past runs, and the software that they go by."""
    from cogmagic._machine.history import History
    from cogmagic._machine.rates import probed_rates

    history = History(folder)
    kept = history.path.parent
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "diffusers"))
    here = replace(
        machine, past=history.read(), kept=kept, driver=driver_version(), versions=versions
    )
    if history.note:  # once: it is set aside now
        warnings.warn(history.note, stacklevel=2)
    return with_rates(here, gpu, probed_rates(gpu, kept, here.software))


def with_rates(machine: Machine, gpu: Gpu, known: Rates | None = None) -> Machine:
    """Add the GPU's speed: as measured, if it is known, or what is expected of such a card."""
    from cogmagic._machine.card_names import card_for
    from cogmagic._machine.rates import datasheet_rates

    card = card_for(gpu.name, gpu.total)
    return replace(machine, rates=known or (datasheet_rates(card) if card else None))


def with_torch_counters(gpus: tuple[Gpu, ...]) -> tuple[Gpu, ...]:
    """Add this kernel's share from torch's host-side counters, where it has a CUDA context."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return gpus
    count = torch.cuda.device_count()
    started = getattr(torch._C, "_cuda_hasPrimaryContext", lambda _: True)  # not in every build
    return tuple(
        replace(
            gpu,
            reserved=torch.cuda.memory_reserved(gpu.index),
            allocated=torch.cuda.memory_allocated(gpu.index),
        )
        if gpu.index < count and started(gpu.index)  # a GPU without a context has none of ours
        else gpu
        for gpu in gpus
    )


def checked_by_torch(machine: Machine) -> Machine:
    """`machine`, or its CPU alone with a note where this torch cannot use what NVML sees.

    Imports torch and asks its CUDA runtime, so only a run does this; still no context is created.
    """
    import torch

    if machine.device == "mps" and not torch.backends.mps.is_available():
        return replace(machine, device="cpu")
    if machine.device != "cuda":
        return machine
    name, version = machine.gpus[0].name, torch.__version__
    if not torch.cuda.is_available():
        note = (
            f"{name} found, but torch {version} cannot start CUDA: the driver is too old for it."
            f" Update the driver, or: {INSTALL}cu126, then restart the kernel. Using the CPU."
        )
        return Machine((), machine.ram, "cpu", note)
    architectures, count = torch.cuda.get_arch_list(), torch.cuda.device_count()
    usable = tuple(
        g for g in machine.gpus if g.index < count and built_for(g.capability, architectures)
    )
    if usable:
        return replace(machine, gpus=usable)
    note = (
        f"{name} is not among the architectures of torch {version}"
        f" ({', '.join(torch.cuda.get_arch_list())}). For older GPUs: {INSTALL}cu126, then restart"
        " the kernel. Using the CPU."
    )
    return Machine((), machine.ram, "cpu", note)


_DISPLAY = 300 * MIB
"""What the driver and a desktop keep of a card that is otherwise idle."""


_GENERIC = "RTX 3060"
"""The card whose speed a described amount of VRAM without a name gets."""


def described(
    gpus: str | None = None, *, ram: float | None = None, vram: float | None = None
) -> Machine:
    """The machine of `Machine.of`: idle cards, less what a driver and a desktop keep.

    Amounts are in GiB; what sellers call GB of memory are GiB, so ``ram=12.7`` is Colab's. A card's
    own size in whole GiB is all of it, although its driver reports a little less (23.99 of 24).

    Raises:
        RequestError: for unknown cards and impossible amounts.
    """
    amount = None if vram is None else gib_bytes(vram, "--vram")
    host = None if ram is None else gib_bytes(ram, "--ram")
    memory = Ram(host, host)
    if gpus is None and amount is None:
        return Machine((), memory)
    cards = parse_gpus(gpus) if gpus is not None else (find_card(_GENERIC),)
    if gpus is not None and amount is not None:
        amount = _within(amount, cards)
    found = []
    for index, card in enumerate(cards):
        total = amount or card.vram
        name = card.name if gpus is not None else f"GPU of {vram:g} GiB"
        free = total - _DISPLAY
        found.append(Gpu(index, name, total=total, free=free, capability=card.capability))
    machine = Machine(tuple(found), memory, "cuda")
    best = machine.roomiest
    return Machine(
        machine.gpus, memory, "cuda", rates=datasheet_rates(cards[best.index]) if best else None
    )


def _within(amount: int, cards: Sequence[Card]) -> int:
    """`amount` bytes if every card has so much, its nominal size counted as all it has."""
    least = min(cards, key=lambda c: c.vram)
    if amount > math.ceil(least.vram / GIB) * GIB:
        nearest = math.ceil(least.vram / GIB)
        raise RequestError(
            f"--vram {amount / GIB:g} is more than {least.name} has. Nearest: --vram {nearest}."
        )
    return min(amount, least.vram)
