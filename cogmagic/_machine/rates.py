"""Rates of a device at CogVideoX's work: by its card's datasheet, or by probes."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from cogmagic._files import read_table, write_table
from cogmagic._machine.cards.efficiency import efficiency_of
from cogmagic._machine.gpu import Gpu
from cogmagic._units import GIB

if TYPE_CHECKING:
    from cogmagic._machine.cards.table import Card

__all__ = [
    "PINNING",
    "PROBES",
    "Rates",
    "datasheet_rates",
    "delete_probes",
    "disturbed",
    "float32_rates",
    "probed_rates",
    "store_probe",
]


PROBES = 5
"""Probes stored per GPU; several, because its host's pace changes from second to second."""


# Copies from pageable memory, as diffusers' offloading makes them, pass through a buffer of the
# driver at the host's pace rather than the link's: 5 GiB/s on the same machine.
_PAGEABLE = 5.0 * GIB


# Reading a file that is not in the page cache: a plain NVMe disk or a cloud volume. And copying one
# that is into memory of the process, four tensors at once: 9 to 15 GB a second on an H100's host, 6
# on an H200's (docs/benchmarks/tiers.jsonl and lora.jsonl, runs that load again).
_DISK = 1.5 * GIB


_COPYING = 10.0 * GIB


PINNING = 20.0 * GIB
"""Bytes a second page-locked in place: 10.3 GiB in 0.46 s on an H100's host."""


# Sequential offload (accelerate's hooks) waits for the host at each tensor, and first returns free
# memory to the driver, which must map it again: on an H100's host, in eighteen probes
# (docs/benchmarks/probe.jsonl), 0.12 to 0.24 ms a tensor, and 131 to 195 GiB a second.
_TENSOR_SECONDS = 1.8e-4


_MAPPING = 140.0 * GIB


# With other processes at work on the GPU a probe measured 1/14 of its rate
# (docs/benchmarks/caps.jsonl, the steps predicted on cards of 10 GiB); a card that is throttled by
# power or heat still reaches more than a quarter of its datasheet's rate.
_DISTURBED_BELOW = 0.25


_PLAUSIBLE = (1e6, 1e17)
"""Plausible operations or bytes a second; a probe with others comes from a damaged file."""


@dataclass(frozen=True)
class Rates:
    """Operations and bytes per second of a device and its host."""

    products: float
    """Floating-point operations a second in the transformer's linear products, in 16 bits."""
    attention: float
    """The same in torch's own attention."""
    decode: float
    """The same in the VAE decoder."""
    memory: float
    """Bytes a second that elementwise passes read and write in the device's memory."""
    fp8: float = 0.0
    """Operations a second in row-wise fp8 products; 0 where the device has none."""
    pageable: float = _PAGEABLE
    """Bytes a second from ordinary host memory to the device."""
    locked: float = 2 * _PAGEABLE
    """Bytes a second from page-locked host memory to the device."""
    source: str = "the card's datasheet"
    """Where they come from; ``probe`` for a measurement of this GPU."""
    disk: float = _DISK
    """Bytes a second from the disk that holds the checkpoint, without the page cache."""
    copying: float = _COPYING
    """Bytes a second from the page cache into memory of this process."""
    pinning: float = PINNING
    """Bytes a second of host memory that the driver page-locks in place."""
    tensor: float = _TENSOR_SECONDS
    """Seconds of the host for each tensor that sequential offload onloads, however small."""
    mapping: float = _MAPPING
    """Bytes a second of device memory that the driver maps and unmaps."""
    probes: int = 0
    """Number of probes that they are the median of."""
    kernels: Mapping[str, float] = field(default_factory=dict)
    """Rates of attention kernels, of torch's own; 1 for others."""


_AMOUNTS = (
    *("products", "attention", "decode", "memory", "fp8"),
    *("pageable", "locked", "pinning", "tensor", "mapping"),
)
"""What a probe measures."""
_MAY_BE_ZERO = "fp8"


def datasheet_rates(card: Card) -> Rates:
    """Rates expected by a card's datasheet, before anything has run on it."""
    peak, known = card.tflops_16 * 1e12, efficiency_of(card.capability)
    also = f"; also of this name: {', '.join(card.also)}" if card.also else ""
    return Rates(
        products=peak * known.products,
        attention=peak * known.attention,
        decode=peak * known.decode,
        memory=min(card.bandwidth * 1e9 * known.memory, known.most_memory),
        fp8=peak * known.fp8,
        pageable=min(_PAGEABLE, card.host_rate / 2),
        locked=card.host_rate,
        source=f"the datasheet of {card.name} {known.source}{also}",
        kernels=known.kernels,
    )


def float32_rates(card: Card) -> Rates | None:
    """Rates in float32 expected by the datasheet; None where it is unknown (Ampere and newer).

    Their source differs from that of 16 bits, so that past runs in one correct no times of the
    other.
    """
    if card.tflops_32 is None:
        return None
    rates = datasheet_rates(replace(card, tflops_16=card.tflops_32))
    return replace(rates, source=f"the float32 rate of {card.name}'s datasheet alone: not measured")


def disturbed(measured: Rates, expected: Rates | None) -> bool:
    """Whether other processes on the GPU disturbed a probe: it is far slower than expected.

    Args:
        measured: rates of the probe.
        expected: rates of earlier probes or of the datasheet; None where unknown.
    """
    return expected is not None and measured.products < _DISTURBED_BELOW * expected.products


def probed_rates(gpu: Gpu, folder: Path, software: str = "") -> Rates | None:
    """Median rates of the stored probes of a GPU; None without any.

    Args:
        gpu: the GPU.
        folder: of the stored probes.
        software: that the probes were made with; others say nothing about it.
    """
    probes = _read(folder).get(_key(gpu, software), [])
    if not probes:
        return None
    medians = {name: median(p[name] for p in probes) for name in _AMOUNTS}
    kernels = efficiency_of(gpu.capability).kernels
    return Rates(**medians, source="probe", probes=len(probes), kernels=kernels)


def delete_probes(folder: Path) -> None:
    """Delete the results of all probes."""
    with suppress(OSError):
        _file(folder).unlink()


def store_probe(gpu: Gpu, rates: Rates, folder: Path, software: str = "") -> None:
    """Store a probe's rates beside earlier ones; a folder that cannot be written is no error.

    Of probes with other software, those of the two that were used last are retained.
    """
    key, table = _key(gpu, software), _read(folder)
    probes = [*table.pop(key, []), {name: getattr(rates, name) for name in _AMOUNTS}]
    others = [k for k in table if k.partition(", ")[0] == key.partition(", ")[0]]
    for old in others[:-2]:
        del table[old]
    with suppress(OSError):
        write_table(_file(folder), table | {key: probes[-PROBES:]})


def _read(folder: Path) -> dict[str, list[dict[str, float]]]:
    """The stored probes of each GPU, without damaged ones."""
    table = read_table(_file(folder))
    return {k: [p for p in v if _is_valid(p)] for k, v in table.items() if isinstance(v, list)}


def _is_valid(probe: object) -> bool:
    """Whether a probe has all rates, each plausible for hardware."""
    if not isinstance(probe, dict) or probe.keys() != set(_AMOUNTS):
        return False
    least, most = _PLAUSIBLE
    if not all(type(v) in (int, float) and 0 <= v < most for v in probe.values()):
        return False  # also a whole number that is too large for a float
    # The seconds of a tensor become the rate of a tensor of 1 MB.
    known = {n: v for n, v in probe.items() if v or n != _MAY_BE_ZERO}
    rates = ((1e6 / v if v else 0) if n == "tensor" else v for n, v in known.items())
    return all(least < rate < most for rate in rates)


def _file(folder: Path) -> Path:
    return folder / "rates-v5.json"


def _key(gpu: Gpu, software: str) -> str:
    return f"{gpu.uuid or gpu.name}, {software}"
