"""Host memory, and a container's limit of it."""

from __future__ import annotations

from pathlib import Path

from cogmagic._machine.ram import cgroup_memory, host_ram
from cogmagic._units import GIB
from tests.helpers.files import write


def test_tightest_cgroup_v2_limit_applies(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "membership": "0::/user/kernel\n",
            "memory.max": "max\n",
            "memory.current": "1\n",
            "user/memory.max": f"{8 * GIB}\n",
            "user/memory.current": f"{3 * GIB}\n",
            "user/memory.stat": f"anon 5\ninactive_file {GIB}\n",
            "user/kernel/memory.max": f"{16 * GIB}\n",
            "user/kernel/memory.current": f"{GIB}\n",
        },
    )
    assert cgroup_memory(tmp_path, tmp_path / "membership") == (8 * GIB, 2 * GIB)


def test_cgroup_v1_limit_of_a_container_applies(tmp_path: Path) -> None:
    """The membership names the host's path, which the container does not see."""
    write(
        tmp_path,
        {
            "membership": "5:cpu:/docker/abc\n4:memory:/docker/abc\n",
            "memory/memory.limit_in_bytes": f"{12 * GIB}\n",
            "memory/memory.usage_in_bytes": f"{5 * GIB}\n",
            "memory/memory.stat": f"total_inactive_file {2 * GIB}\n",
        },
    )
    assert cgroup_memory(tmp_path, tmp_path / "membership") == (12 * GIB, 3 * GIB)


def test_no_cgroup_limit_is_none(tmp_path: Path) -> None:
    assert cgroup_memory(tmp_path, tmp_path / "nothing") is None
    write(tmp_path, {"membership": "0::/\n", "memory.max": "max\n", "memory.current": "1\n"})
    assert cgroup_memory(tmp_path, tmp_path / "membership") is None


def test_host_ram_is_read_from_the_system() -> None:
    ram = host_ram()
    assert ram.total is not None
    assert ram.available is not None
    assert 0 < ram.available <= ram.total
