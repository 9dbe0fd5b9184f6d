"""AMD GPUs under ROCm, which has no NVML: names and memory from sysfs, in torch's order.

HIP numbers GPUs by the nodes of the kernel's compute driver (KFD), not by DRM's cards. The two are
joined by PCI address. Then ``ROCR_VISIBLE_DEVICES`` filters, and ``HIP_VISIBLE_DEVICES`` (else
``CUDA_VISIBLE_DEVICES``) filters what it leaves (AMD's "GPU isolation techniques"). Once torch has
initialised HIP, the PCI addresses of torch's devices are used, whatever the variables are by then.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path

from cogmagic._machine.gpu import Gpu
from cogmagic._machine.imported_torch import imported_torch

__all__ = ["amd_gpus", "hidden_note"]


_SYSFS = Path("/sys")


_AMD_GPU = "AMD GPU"
"""Name of a GPU whose sysfs has none, as of most consumer cards."""


@dataclass(frozen=True)
class _Device:
    """A GPU, or a partition of one (MI300), as the driver lists it."""

    card: Path | None
    """Sysfs folder of its PCI device; None where sysfs lacks it."""
    address: str = ""
    """PCI domain, bus and device, such as ``0000:c3:00``."""
    uuid: str = ""
    """``GPU-`` and 16 hexadecimal digits; empty for GPUs without one, as most consumer cards."""
    partitions: int = 1
    """How many partitions share its memory, itself included."""


def amd_gpus(root: Path = _SYSFS) -> tuple[Gpu, ...]:
    """The AMD GPUs that torch sees or would see, by torch's index."""
    devices = _devices(root)
    visible = _of_torch(devices)
    if visible is None:
        visible = _of_hip(_of_rocr(devices))
    return tuple(_read(device, index) for index, device in enumerate(visible))


def hidden_note(root: Path = _SYSFS) -> str | None:
    """Which variable hides all AMD GPUs of the machine, or None."""
    devices = _devices(root)
    if not devices or _of_hip(left := _of_rocr(devices)):
        return None
    names = ("HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES") if left else ("ROCR_VISIBLE_DEVICES",)
    name = next(n for n in names if n in os.environ)
    hidden = f"{name}={os.environ[name]!r}"
    return f"{len(devices)} AMD GPU(s) hidden by {hidden}; using the CPU."


def _devices(root: Path) -> list[_Device]:
    """All AMD GPUs: by KFD's nodes, or by DRM's numbers where the kernel shows no nodes."""
    files = root.glob("class/drm/card*/device/mem_info_vram_total")
    links = [f.parents[1] for f in files if re.fullmatch(r"card\d+", f.parents[1].name)]
    links.sort(key=lambda link: int(link.name.removeprefix("card")))
    cards = [(link / "device").resolve() for link in links]
    nodes = list((root / "class/kfd/kfd/topology/nodes").glob("[0-9]*"))
    if nodes:
        return _of_kfd(nodes, {_pci_slot(card): card for card in cards})
    return [_Device(card, _pci_slot(card), _unique_id(card)) for card in cards]


def _of_kfd(nodes: list[Path], cards: dict[str, Path]) -> list[_Device]:
    """The GPUs among KFD's nodes, in their order; none that this container may not use."""
    devices = []
    for node in sorted(nodes, key=lambda node: int(node.name)):
        try:
            text = (node / "properties").read_text(encoding="utf-8")
        except OSError:  # the container may not use this GPU, so HIP skips it, too
            continue
        facts = dict(re.findall(r"^(\w+) (\d+)$", text, re.MULTILINE))
        if not int(facts.get("simd_count", 0)):  # a CPU
            continue
        location, unique = int(facts.get("location_id", 0)), int(facts.get("unique_id", 0))
        # The upper half of a location numbers the partition.
        bus, slot = location >> 8 & 0xFF, location >> 3 & 0x1F
        address = _address(int(facts.get("domain", 0)), bus, slot)
        uuid = f"GPU-{unique:016x}" if unique else ""
        devices.append(_Device(cards.get(address), address, uuid))
    addresses = [d.address for d in devices]
    return [replace(d, partitions=addresses.count(d.address)) for d in devices]


def _address(domain: int, bus: int, device: int) -> str:
    return f"{domain:04x}:{bus:02x}:{device:02x}"


def _pci_slot(card: Path) -> str:
    """The address in the name of a PCI device's folder (``0000:c3:00.0``), without function."""
    return card.name.partition(".")[0]


def _unique_id(card: Path) -> str:
    text = _text(card / "unique_id")
    return f"GPU-{text:0>16}" if re.fullmatch(r"[0-9a-f]{1,16}", text) and int(text, 16) else ""


def _of_torch(devices: list[_Device]) -> list[_Device] | None:
    """The devices of a torch that has initialised HIP; None without one, or without addresses."""
    torch = imported_torch()
    if torch is None or not torch.cuda.is_initialized():
        return None
    left = list(devices)
    visible = []
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        try:
            domain, bus = properties.pci_domain_id, properties.pci_bus_id
            address = _address(domain, bus, properties.pci_device_id)
        except AttributeError:  # an older torch
            return None
        device = next((d for d in left if d.address == address), None)
        if device is not None:
            left.remove(device)  # the next partition of the same GPU has the same address
        visible.append(device or _Device(None, address))
    return visible


def _of_rocr(devices: list[_Device]) -> list[_Device]:
    """What ``ROCR_VISIBLE_DEVICES`` leaves, in its order, as ROCr's ``amd_filter_device.cpp``.

    Indices (decimal, octal or hexadecimal) and beginnings of UUIDs, in either case. The list ends
    at a word that names no GPU, more than one, or one again; an empty list leaves none.
    """
    value = os.environ.get("ROCR_VISIBLE_DEVICES")
    if value is None:
        return devices
    visible: list[_Device] = []
    for word in (w.strip().lower() for w in value.split(",")):
        if word.startswith("g"):
            matches = [d for d in devices if len(word) > 4 and d.uuid.lower().startswith(word)]
        else:
            number = _c_integer(word)
            matches = devices[number : number + 1] if number >= 0 else []
        if len(matches) != 1 or any(d is matches[0] for d in visible):
            break
        visible.append(matches[0])
    return visible


def _c_integer(word: str) -> int:
    """A number as C's ``strtol`` reads it, base 0; -1 for anything else."""
    if not re.fullmatch(r"\+?(0x[0-9a-f]+|[0-9]+)", word):
        return -1
    digits = word.removeprefix("+")
    base = 16 if digits.startswith("0x") else 8 if digits.startswith("0") else 10
    try:
        return int(digits, base)
    except ValueError:  # 08
        return -1


def _of_hip(devices: list[_Device]) -> list[_Device]:
    """What ``HIP_VISIBLE_DEVICES``, else ``CUDA_VISIBLE_DEVICES``, leaves (``rocdevice.cpp``).

    Indices and UUIDs. The list ends at a word that names no GPU (``-1``, or one with a space); a
    GPU counts once. An empty list leaves none, and an empty ``HIP_VISIBLE_DEVICES`` also hides
    ``CUDA_VISIBLE_DEVICES``.
    """
    value = os.environ.get("HIP_VISIBLE_DEVICES", os.environ.get("CUDA_VISIBLE_DEVICES"))
    if value is None:
        return devices
    visible: list[_Device] = []
    for word in value.split(","):
        if word.startswith("GPU-"):
            device = next((d for d in devices if d.uuid.startswith(word)), None)
        else:
            device = next((d for n, d in enumerate(devices) if str(n) == word), None)
        if device is None:
            break
        if not any(d is device for d in visible):
            visible.append(device)
    return visible


def _read(device: _Device, index: int) -> Gpu:
    card, uuid = device.card, device.uuid or None
    if card is None:
        return Gpu(index=index, name=_AMD_GPU, uuid=uuid, source="sysfs")
    total, used = _bytes(card / "mem_info_vram_total"), _bytes(card / "mem_info_vram_used")
    if (
        device.partitions > 1 and total is not None
    ):  # only torch knows how much of its share is free
        total, used = total // device.partitions, None
    shared, shared_used = _bytes(card / "mem_info_gtt_total"), _bytes(card / "mem_info_gtt_used")
    gpu = Gpu(
        index=index,
        name=_text(card / "product_name") or _AMD_GPU,
        uuid=uuid,
        total=total,
        free=None if total is None or used is None else total - used,
        source="sysfs",
    )
    if shared is None or shared <= (total or 0) or not _is_apu(card):
        return gpu
    left = shared - (shared_used or 0)
    return replace(gpu, total=shared, free=left, allowed=left, unified=True)


def _is_apu(card: Path) -> bool:
    """Whether a GPU is part of a processor.

    Its ``gpu_metrics`` then have format 2 or 3; those of other GPUs have 1 (the kernel's
    ``kgd_pp_interface.h``). The driver gives it host memory (GTT) in place of its carve-out where
    the carve-out is the smaller of the two (``apu_prefer_gtt`` in the kernel's ``amdgpu_ttm.c``).
    """
    try:
        header = (card / "gpu_metrics").read_bytes()[:4]
    except OSError:
        return False
    return len(header) == 4 and header[2] >= 2  # size in two bytes, then the format


def _bytes(path: Path) -> int | None:
    text = _text(path)
    return int(text) if text.isdecimal() else None


def _text(path: Path) -> str:
    """Text of a file in sysfs; empty if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""
