"""One kernel for all tests that need no fresh one, and its folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.frozen import FREEZE
from tests.helpers.kernels import Kernel, kernel


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("notebook")


@pytest.fixture(scope="session")
def one(folder: Path) -> Iterator[Kernel]:
    with kernel(folder) as started:
        assert started.run(FREEZE).reply["status"] == "ok"
        yield started


@pytest.fixture
def there(folder: Path) -> Iterator[Path]:
    """The kernel's folder, emptied afterwards."""
    yield folder
    for path in folder.iterdir():
        path.unlink()
