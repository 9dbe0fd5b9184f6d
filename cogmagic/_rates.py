"""How fast a device is at what CogVideoX does: from its datasheet, a probe, or past runs."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING, Any

from cogmagic._gpu import GIB, Gpu

if TYPE_CHECKING:
    import torch

    from cogmagic._cards import Card

__all__ = ["Rates", "expected", "known", "probe", "remember"]

# Shares of a card's rate that CogVideoX reaches, from all five models at several sizes on an
# H100 SXM (docs/benchmarks/tiers.jsonl): 318 to 372 TFLOP/s while denoising, 80 to 127 while
# decoding, of 989 on the datasheet and 728 in the probe's product.
_DENOISE_OF_DATASHEET, _DECODE_OF_DATASHEET = 0.355, 0.115
_DENOISE_OF_PRODUCT, _DECODE_OF_PRODUCT = 0.485, 0.157
# Copies from pageable memory, as diffusers' offloading makes them, go through a buffer of the
# driver's, at the host's pace rather than the link's: 5 GiB/s on the same machine.
_PAGEABLE = 5.0 * GIB


@dataclass(frozen=True)
class Rates:
    """Operations and bytes per second of one device."""

    compute: float
    """Floating-point operations a second while denoising, in 16 bits."""
    decode: float
    """The same in the VAE's decoder."""
    pageable: float = _PAGEABLE
    """Bytes a second from ordinary host memory to the device."""
    source: str = "datasheet"


def expected(card: Card) -> Rates:
    """What a card's datasheet lets expect, before anything has run on it."""
    peak = card.tflops_16 * 1e12
    return Rates(
        peak * _DENOISE_OF_DATASHEET,
        peak * _DECODE_OF_DATASHEET,
        min(_PAGEABLE, card.host_rate / 2),
    )


def probe(device: torch.device) -> Rates:
    """Measure one large product and one copy on a CUDA device, in well under a second."""
    import torch

    dtype = torch.bfloat16 if torch.cuda.get_device_capability(device)[0] >= 8 else torch.float16
    size = 4096
    left = torch.randn(size, size, device=device, dtype=dtype)
    product = _best(lambda: left @ left, device, seconds=0.25)
    host = torch.empty(256 * 2**20, dtype=torch.uint8).fill_(1)
    copy = _best(lambda: host.to(device), device, seconds=0.25)
    rate = 2 * size**3 / product
    return Rates(
        rate * _DENOISE_OF_PRODUCT, rate * _DECODE_OF_PRODUCT, host.numel() / copy, "probe"
    )


def _best(work: Any, device: torch.device, seconds: float) -> float:
    """The shortest time of some repetitions, the first left out."""
    import torch

    work()
    torch.cuda.synchronize(device)
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < 2 or (time.perf_counter() < end and len(times) < 50):
        start = time.perf_counter()
        work()
        torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
    return min(times)


def known(gpu: Gpu, folder: Path) -> Rates | None:
    """What an earlier probe of this GPU found, or None."""
    with suppress(OSError, ValueError, TypeError, KeyError):
        found = json.loads(_file(folder).read_text(encoding="utf-8"))[_key(gpu)]
        rates = Rates(**found)
        if min(rates.compute, rates.decode, rates.pageable) > 0:
            return rates
    return None


def remember(gpu: Gpu, rates: Rates, folder: Path) -> None:
    """Keep a probe's result; a folder that cannot be written is no error."""
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        table: dict[str, Any] = {}
        with suppress(OSError, ValueError):
            read = json.loads(_file(folder).read_text(encoding="utf-8"))
            table = read if isinstance(read, dict) else {}
        table[_key(gpu)] = asdict(rates)
        with NamedTemporaryFile("w", dir=folder, delete=False, encoding="utf-8") as part:
            json.dump(table, part)
        Path(part.name).replace(_file(folder))


def _file(folder: Path) -> Path:
    return folder / "rates-v1.json"


def _key(gpu: Gpu) -> str:
    return gpu.uuid or gpu.name
