"""One kernel for the tests of a module, and its folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.kernels import Kernel, kernel


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("notebook")


@pytest.fixture(scope="module")
def one(folder: Path) -> Iterator[Kernel]:
    with kernel(folder) as started:
        yield started


@pytest.fixture
def there(folder: Path) -> Iterator[Path]:
    """The kernel's folder, emptied afterwards."""
    yield folder
    for path in folder.iterdir():
        path.unlink()
