"""Host memory of the machine."""

from __future__ import annotations

import sys
from pathlib import Path

import psutil
import pytest

from cogmagic._machine.ram import _of_linux, host_ram
from cogmagic._units import GIB


def test_host_ram_is_read_from_the_system() -> None:
    ram = host_ram()
    assert ram.total is not None
    assert ram.available is not None
    assert 0 < ram.available <= ram.total


def test_figures_of_linux_are_psutils() -> None:
    """But for what other programs take between the two."""
    if sys.platform != "linux":
        pytest.skip("reads /proc/meminfo")
    total, available, swap = _of_linux(Path("/proc/meminfo"))
    assert total == psutil.virtual_memory().total
    assert abs(available - psutil.virtual_memory().available) < total / 4
    assert abs(swap - psutil.swap_memory().free) <= GIB


@pytest.mark.parametrize(
    "text",
    [
        "MemTotal: 8 kB\nMemFree: 4 kB\nSwapFree: 0 kB\n",  # Linux before 3.14
        "MemTotal: 8 kB\nMemAvailable: 9 kB\nSwapFree: 0 kB\n",  # LXC
        "nonsense\n",
    ],
)
def test_figures_that_cannot_be_used_are_left_to_psutil(tmp_path: Path, text: str) -> None:
    file = tmp_path / "meminfo"
    file.write_text(text)
    with pytest.raises((KeyError, ValueError)):
        _of_linux(file)
