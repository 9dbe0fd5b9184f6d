"""The end of a kernel."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.helpers.kernels import Kernel, cell


@pytest.mark.ipykernel
def test_kernel_with_a_panel_shuts_down_at_once(second: Kernel, beside: Path, toy: Path) -> None:
    """Last, as it ends the second kernel."""
    second.run("import cogmagic\ndisplay(cogmagic.panel())")
    second.run(cell(toy, "--steps 1"))
    began = time.monotonic()
    second.manager.shutdown_kernel()
    assert time.monotonic() - began < 100
    assert not second.manager.is_alive()
    assert [p.suffix for p in beside.iterdir()] == [".mp4"]
