"""One loaded toy pipeline for all tests of a module."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cogmagic._pipeline.load import load
from cogmagic._pipeline.spec import PipelineSpec


@pytest.fixture(scope="module")
def pipe(toy: Path) -> Any:
    return load(PipelineSpec(toy, "t2v", "float32"))
