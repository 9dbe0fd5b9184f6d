"""Experience with a GPU: earlier probes of its rates and kernels, and the run history."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from cogmagic._machine.cards.names import card_for
from cogmagic._machine.file_paces import with_file_paces
from cogmagic._machine.gpu import Gpu
from cogmagic._machine.history import History, PastRun
from cogmagic._machine.kernels import Comparison, comparisons
from cogmagic._machine.nvml import driver_version
from cogmagic._machine.rates import Rates, datasheet_rates, probed_rates

__all__ = ["card_rates", "read_experience", "software"]


@dataclass(frozen=True)
class Experience:
    """Rates and kernels of a GPU and past runs, with their folder and software."""

    rates: Rates | None
    past: tuple[PastRun, ...]
    folder: Path
    driver: str
    versions: str
    compared: tuple[Comparison, ...] = ()


def read_experience(gpu: Gpu, folder: Path | None) -> Experience:
    """Rates of `gpu`, as probed or else by its datasheet, and the run history.

    Args:
        gpu: the GPU that a run would use.
        folder: of the history and the probes; default the user's cache folder.
    """
    history = History(folder)
    past = history.read()
    if history.note:  # once: the damaged file has been set aside
        warnings.warn(history.note, stacklevel=4)
    driver = driver_version()
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "diffusers"))
    folder = history.path.parent
    probed = probed_rates(gpu, folder, software(driver, versions))
    rates = probed or card_rates(gpu)
    if rates is not None:
        rates = with_file_paces(rates, folder)
    return Experience(rates, past, folder, driver, versions, comparisons(gpu.name, folder))


def card_rates(gpu: Gpu) -> Rates | None:
    """Rates by the datasheet of the GPU's model; None for an unknown model."""
    card = card_for(gpu.name, gpu.total)
    return datasheet_rates(card) if card else None


def software(driver: str, versions: str) -> str:
    """The driver and the libraries that compute, as the key of the probes made with them."""
    return f"driver {driver}, {versions}"
