"""Runs that end in every way, in random order, in one process: nothing is left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.benchmarks import ROOT


@pytest.mark.slow
def test_nothing_is_left_behind(toy: Path, toy_inp: Path, toy_void: Path) -> None:
    script = ROOT / "docs" / "benchmarks" / "soak.py"
    command = [sys.executable, "-m", "tests.helpers.frozen", str(script)]
    command += ["--models", f"{toy},{toy_inp},{toy_void}", "--runs", "16"]
    command += ["--sizes", "48x32x9,32x48x9,48x32x17", "--speeds", "exact,fast,faster"]
    # Compiling would take minutes.
    env = os.environ | {"PYTHONPATH": str(ROOT), "TORCH_COMPILE_DISABLE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    assert done.returncode == 0, done.stderr[-2000:]
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert rows[-1] == {"wrong": []}
    came = {row["came"].partition(":")[0] for row in rows if "came" in row}
    assert came >= {"video", "InjectedError", "Cancelled", "OutOfMemoryError"}
