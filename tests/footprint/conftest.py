"""The script that writes the table of footprints."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers.benchmarks import BENCHMARKS


@pytest.fixture(scope="module")
def script() -> Any:
    """The script that writes the table: it knows the published configurations."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        import trace_footprints

        return trace_footprints
