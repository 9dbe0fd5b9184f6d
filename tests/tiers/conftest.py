"""One loaded toy pipeline for all tests of a module."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cogmagic._pipeline.load import load


@pytest.fixture(scope="module")
def pipe(toy: Path) -> Any:
    return load(toy, "t2v", "float32")
