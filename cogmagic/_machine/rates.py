"""How fast a device is at what CogVideoX does: from its datasheet, a probe, or past runs."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from cogmagic._files import write_atomically
from cogmagic._machine.gpu import Gpu
from cogmagic._units import GIB

if TYPE_CHECKING:
    from cogmagic._machine.cards import Card

__all__ = [
    "PROBES",
    "Rates",
    "datasheet_rates",
    "delete_probes",
    "disturbed",
    "probed_rates",
    "store_probe",
]


PROBES = 5
"""How many are kept of a GPU: its host's pace changes from second to second."""


# Shares of a card's 16-bit rate that CogVideoX reaches while denoising and decoding: of the
# datasheet's, and of the probe's product. On an H100 SXM (docs/benchmarks/tiers.jsonl, all five
# models at several sizes) 318 to 372 TFLOP/s and 71 to 127, of 989 on the datasheet and 728 in the
# product. On other cards a larger share of less: an A100 (312 on the datasheet) takes about 180 s
# for 50 steps of 5b (zai-org/CogVideo, README), which is 0.65; products there reach 0.85.
_Shares = tuple[float, float]


_HOPPER: tuple[_Shares, _Shares] = ((0.355, 0.115), (0.485, 0.157))


_OTHERS: tuple[_Shares, _Shares] = ((0.65, 0.21), (0.76, 0.25))


# Copies from pageable memory, as diffusers' offloading makes them, go through a buffer of the
# driver's, at the host's pace rather than the link's: 5 GiB/s on the same machine.
_PAGEABLE = 5.0 * GIB


# What a file that is not in the page cache is read at: a plain NVMe disk or a cloud's volume.
_DISK = 1.0 * GIB


# Sequential offload (accelerate's hooks) waits for the host at each tensor, and gives free memory
# back to the driver before it, which must map it anew: on an H100's host, in eighteen probes
# (docs/benchmarks/probe.jsonl), 0.12 to 0.24 ms a tensor, and 131 to 195 GiB a second.
_TENSOR = 1.8e-4


_MAPPING = 140.0 * GIB


# With other processes at work on the GPU a probe found 1/14 of what it has
# (docs/benchmarks/caps.jsonl, the steps predicted on cards of 10 GiB); a card that is held back by
# its power or heat keeps more than a quarter of its datasheet's.
_HINDERED = 0.25


_PLAUSIBLE = (1e6, 1e17)
"""Operations or bytes a second of anything; outside, a file of rates is damaged."""


def _shares(capability: tuple[int, int]) -> tuple[_Shares, _Shares]:
    """Of the datasheet and of the product; data-centre Blackwell is taken to be as Hopper."""
    return _HOPPER if capability[0] in (9, 10) else _OTHERS


@dataclass(frozen=True)
class Rates:
    """Operations and bytes per second of one device."""

    compute: float
    """Floating-point operations a second while denoising, in 16 bits."""
    decode: float
    """The same in the VAE's decoder."""
    pageable: float = _PAGEABLE
    """Bytes a second from ordinary host memory to the device."""
    locked: float = 2 * _PAGEABLE
    """Bytes a second from page-locked host memory to the device."""
    source: str = "the card's datasheet"
    """What they rest on; ``probe`` for a measurement of this very GPU."""
    disk: float = _DISK
    """Bytes a second from the disk that holds the checkpoint, without the page cache."""
    tensor: float = _TENSOR
    """Seconds that the host takes for each tensor that `sequential` brings, however small."""
    mapping: float = _MAPPING
    """Bytes a second of device memory that are taken from the driver, and given back."""
    probes: int = 0
    """How many probes they are the middle of."""


_AMOUNTS = ("compute", "decode", "pageable", "locked", "disk", "tensor", "mapping")


def datasheet_rates(card: Card) -> Rates:
    """What a card's datasheet lets expect, before anything has run on it."""
    peak, (denoise, decode) = card.tflops_16 * 1e12, _shares(card.capability)[0]
    known = "and runs on an H100" if card.capability == (9, 0) else "alone: not measured"
    return Rates(
        peak * denoise,
        peak * decode,
        min(_PAGEABLE, card.host_rate / 2),
        card.host_rate,
        f"the datasheet of {card.name} {known}",
    )


def disturbed(found: Rates, before: Rates | None) -> bool:
    """Whether a probe tells of other processes' work on the GPU rather than of the GPU.

    Args:
        found: by the probe.
        before: by those before it, or what the datasheet lets expect.
    """
    return before is not None and found.compute < _HINDERED * before.compute


def probed_rates(gpu: Gpu, folder: Path, software: str = "") -> Rates | None:
    """What earlier probes of this GPU found, the middle of each amount; None without any.

    Args:
        gpu: the GPU.
        folder: where they are kept.
        software: what they were made with; others are no measure of it.
    """
    probes = _read(folder).get(_key(gpu, software), [])
    if not probes:
        return None
    middle = {name: median(p[name] for p in probes) for name in _AMOUNTS}
    return Rates(**middle, source="probe", probes=len(probes))


def delete_probes(folder: Path) -> None:
    """Let go of every probe's result."""
    with suppress(OSError):
        _file(folder).unlink()


def store_probe(gpu: Gpu, rates: Rates, folder: Path, software: str = "") -> None:
    """Keep a probe's result beside the ones before it; a folder that cannot be written is no error.

    Those with other software stay, of the two that were used last.
    """
    key, table = _key(gpu, software), _read(folder)
    probes = [*table.pop(key, []), {name: getattr(rates, name) for name in _AMOUNTS}]
    others = [k for k in table if k.partition(", ")[0] == key.partition(", ")[0]]
    for old in others[:-2]:
        del table[old]
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(_file(folder), json.dumps(table | {key: probes[-PROBES:]}).encode())


def _read(folder: Path) -> dict[str, list[dict[str, float]]]:
    """The probes of each GPU; what is damaged is not among them."""
    with suppress(OSError, ValueError, RecursionError):
        table = json.loads(_file(folder).read_text(encoding="utf-8"))
        if isinstance(table, dict):
            return {k: [p for p in v if _sound(p)] for k, v in table.items() if isinstance(v, list)}
    return {}


def _sound(probe: object) -> bool:
    """Whether it has all amounts, and each is one that hardware could have."""
    if not isinstance(probe, dict) or probe.keys() != set(_AMOUNTS):
        return False
    if not all(type(v) in (int, float) and v for v in probe.values()):
        return False
    least, most = _PLAUSIBLE
    paces = (1e6 / v if n == "tensor" else v for n, v in probe.items())  # of a tensor of 1 MB
    return all(least < pace < most for pace in paces)


def _file(folder: Path) -> Path:
    return folder / "rates-v4.json"


def _key(gpu: Gpu, software: str) -> str:
    return f"{gpu.uuid or gpu.name}, {software}"
