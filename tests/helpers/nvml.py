"""NVML of a machine with two GPUs that does not exist."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from cogmagic._units import GIB, MIB

UUIDS = ["aaaaaaaa00001111222233334444aaaa", "bbbbbbbb00001111222233334444bbbb"]


class NVMLError(Exception):
    pass


class FakeNvml:
    """NVML of a machine that CI does not have: two cards, listed in the other order than CUDA's,
    and a MIG instance whose parent refuses memory questions, as inside a container.
    """

    NVMLError = NVMLError
    nvmlMemory_v2 = 2
    cards = {
        "GPU-" + "bbbbbbbb-0000-1111-2222-33334444bbbb": ("RTX 3060", 12 * GIB, 11 * GIB, (8, 6)),
        "GPU-" + "aaaaaaaa-0000-1111-2222-33334444aaaa": ("H100", 80 * GIB, 70 * GIB, (9, 0)),
        "MIG-" + "cccccccc-0000-1111-2222-33334444cccc": ("H100 MIG 1g", 10 * GIB, 9 * GIB, None),
    }
    knows_v2 = True

    def nvmlDeviceGetHandleByUUID(self, uuid: bytes) -> str:
        if uuid.decode() not in self.cards:
            raise NVMLError
        return uuid.decode()

    def nvmlDeviceGetMemoryInfo(self, handle: str, version: int | None = None) -> Any:
        if version is not None and not self.knows_v2:
            raise NVMLError
        _, total, free, _ = self.cards[handle]
        # Version 1 counts the driver's own reserve as used.
        return SimpleNamespace(total=total, free=free if version else free - 500 * MIB)

    def nvmlDeviceGetName(self, handle: str) -> str:
        return self.cards[handle][0]

    def nvmlDeviceGetDeviceHandleFromMigDeviceHandle(self, handle: str) -> str:
        raise NVMLError

    def nvmlDeviceGetCudaComputeCapability(self, handle: str) -> Any:
        capability = self.cards[handle][3]
        if capability is None:
            raise NVMLError
        return capability

    def nvmlDeviceGetCount(self) -> int:
        return 2

    def nvmlSystemGetDriverVersion(self) -> str:
        return "580.95.05"
