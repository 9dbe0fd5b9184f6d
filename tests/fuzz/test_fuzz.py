"""Every reader of bytes that others wrote, on 200 mutated inputs each.

``python -m tests.fuzz --inputs 5000`` is the same at length.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc"),
]


@pytest.fixture(scope="module")
def rows() -> dict[str, dict[str, Any]]:
    """The worker's rows by reader; one process for all, because it imports torch."""
    command = [sys.executable, "-m", "tests.fuzz", "--inputs", "200"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-5000:]  # its end names the reader
    lines = (line for line in done.stdout.splitlines() if line.startswith("{"))
    return {row["reader"]: row for row in map(json.loads, lines)}


def test_every_mutated_input_is_read_or_refused_in_one_line(rows: dict[str, Any]) -> None:
    assert len(rows) == 22
    assert {name: row["failures"][:3] for name, row in rows.items() if row["failures"]} == {}
    assert {row["inputs"] for row in rows.values()} == {200}
    assert all(row["succeeded"] > 0 for row in rows.values())


def test_a_fifth_of_the_inputs_pass_the_first_check(rows: dict[str, Any]) -> None:
    assert {name: row["passed"] for name, row in rows.items() if row["passed"] < 40} == {}
