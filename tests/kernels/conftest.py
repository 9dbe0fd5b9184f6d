"""One kernel for all tests that need no fresh one, a second one, and their folders."""

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


@pytest.fixture(scope="session")
def second_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("second")


@pytest.fixture(scope="session")
def second(second_folder: Path) -> Iterator[Kernel]:
    """A fresh kernel for the first test that asks for it; the last one shuts it down."""
    with kernel(second_folder) as started:
        yield started


@pytest.fixture
def beside(second_folder: Path) -> Iterator[Path]:
    """The second kernel's folder, emptied afterwards."""
    yield second_folder
    for path in second_folder.iterdir():
        path.unlink()
