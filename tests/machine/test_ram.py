"""Host memory of the machine."""

from __future__ import annotations

from cogmagic._machine.ram import host_ram


def test_host_ram_is_read_from_the_system() -> None:
    ram = host_ram()
    assert ram.total is not None
    assert ram.available is not None
    assert 0 < ram.available <= ram.total
