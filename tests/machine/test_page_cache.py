"""The page cache: which bytes of a checkpoint are in it."""

from __future__ import annotations

import itertools
import os
import sys
from pathlib import Path

import pytest

from cogmagic._machine import page_cache
from cogmagic._machine.page_cache import cached_share, uncached_bytes
from cogmagic._models.find import embedded_folder
from cogmagic._units import MIB

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="mincore is Linux's")


def evicted(file: Path) -> None:
    """Drop a file's pages from the cache."""
    handle = os.open(file, os.O_RDONLY)
    os.fsync(handle)
    os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(handle)


def test_files_count_as_cached_as_far_as_they_are_in_the_page_cache(tmp_path: Path) -> None:
    file, size = tmp_path / "weights", 24 * MIB + 5
    file.write_bytes(os.urandom(size))
    assert uncached_bytes([file]) == 0
    evicted(file)
    if uncached_bytes([file]) == 0:
        pytest.skip("this file system keeps its pages, as tmpfs does")
    assert uncached_bytes([file, file]) == 2 * size
    with file.open("rb") as opened:
        os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_RANDOM)  # no read-ahead
        opened.read(8 * MIB)
    left = uncached_bytes([file])
    assert left is not None
    assert left == pytest.approx(16 * MIB, abs=MIB)


def test_large_files_are_sampled_and_others_are_unknown(tmp_path: Path) -> None:
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(4096 * MIB)  # without pages
    assert uncached_bytes([large]) == 4096 * MIB
    (tmp_path / "empty").touch()
    assert uncached_bytes([tmp_path / "empty"]) == 0
    assert uncached_bytes([tmp_path / "missing"]) is None
    assert uncached_bytes([tmp_path]) is None
    assert cached_share(tmp_path) == 0.0
    assert 0.0 <= cached_share(embedded_folder()) <= 1.0


def test_samples_are_spread_over_a_file_from_its_first_window_to_its_last() -> None:
    starts = [start for start, _ in page_cache._windows(4096 * MIB)]
    assert (starts[0], starts[-1]) == (0, 4095 * MIB)
    gaps = [b - a for a, b in itertools.pairwise(starts)]
    assert {16 * MIB} <= set(gaps) <= {16 * MIB, 17 * MIB}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write every file")
def test_nothing_is_known_of_files_of_others() -> None:
    assert uncached_bytes([Path("/etc/passwd")]) is None
