"""torch while another thread imports it."""

from __future__ import annotations

import importlib.util
import sys
import threading
from pathlib import Path

import pytest

import cogmagic
from cogmagic._machine.imported_torch import imported_torch

SLOW = """
import pathlib, time
pathlib.Path('begun').touch()
while not pathlib.Path('go').exists():
    time.sleep(0.01)
"""
"""A torch whose import waits for a file."""


def test_machine_is_read_while_torch_is_imported(
    cwd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    (cwd / "torch.py").write_text(SLOW)
    monkeypatch.syspath_prepend(cwd)
    assert importlib.util.find_spec("torch") is not None
    importing = threading.Thread(target=lambda: __import__("torch"))
    importing.start()
    try:
        while not (cwd / "begun").exists():
            pass
        assert "torch" in sys.modules
        assert imported_torch() is None
        assert cogmagic.Machine.detect_hardware().ram.total
    finally:
        (cwd / "go").touch()
        importing.join()
        sys.modules.pop("torch", None)
        monkeypatch.undo()
