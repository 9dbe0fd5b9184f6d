"""Limits on what the process may map."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cogmagic import Gpu
from cogmagic._machine.process_limits import cuda_addresses
from cogmagic._units import GIB

CODE = """
import resource, sys
from cogmagic._machine.ram import host_ram
for name, amount in zip(sys.argv[1::2], sys.argv[2::2]):
    kind = getattr(resource, name)
    resource.setrlimit(kind, (int(amount), resource.getrlimit(kind)[1]))
print(host_ram(2**30).mappable)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of Linux")
@pytest.mark.parametrize(
    ("limits", "least", "most"),
    [
        ((), None, None),
        (("RLIMIT_RSS", 1), None, None),  # which Linux ignores
        (("RLIMIT_MEMLOCK", 1), None, None),  # which CUDA does not count against
        (("RLIMIT_AS", 8 * GIB), 6 * GIB, 7 * GIB),  # less what CUDA is to reserve
        (("RLIMIT_DATA", 8 * GIB), 7 * GIB, 8 * GIB),
        (("RLIMIT_AS", 20 * GIB, "RLIMIT_DATA", 4 * GIB), 3 * GIB, 4 * GIB),
        (("RLIMIT_AS", GIB), 0, 0),
    ],
)
def test_limit_leaves_what_the_process_has_not_mapped(
    limits: tuple[object, ...], least: int | None, most: int | None, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", CODE, *map(str, limits)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    if least is None or most is None:
        assert done.stdout.strip() == "None"
    else:
        assert least <= int(done.stdout) <= most


def test_addresses_of_cuda_come_with_its_context() -> None:
    assert cuda_addresses(()) == 0
    assert cuda_addresses((Gpu(0, "A", total=24 * GIB),)) == (16 + 54) * GIB
    assert cuda_addresses((Gpu(0, "A", total=24 * GIB, reserved=0),)) == 0
