"""Stored paces of reading weight files."""

from __future__ import annotations

from pathlib import Path

import pytest

from cogmagic import Machine
from cogmagic._machine.file_paces import delete_file_paces, store_file_pace, with_file_paces


def test_the_median_of_the_last_five_paces_counts(tmp_path: Path) -> None:
    rates = Machine.of("H100 SXM").rates
    assert rates is not None
    assert with_file_paces(rates, tmp_path) == rates
    for pace in (9e9, 1e9, 5e9, 2e9, 3e9, 4e9):
        store_file_pace("disk", pace, tmp_path)
    for pace in (0.0, -1.0, 1e14, float("nan"), float("inf")):
        store_file_pace("copying", pace, tmp_path)
    learned = with_file_paces(rates, tmp_path)
    assert (learned.disk, learned.copying) == (3e9, rates.copying)
    delete_file_paces(tmp_path)
    assert with_file_paces(rates, tmp_path) == rates


@pytest.mark.parametrize(
    "damage", ["", "[", "[]", "null", '{"disk": 1}', '{"disk": [1, null, "x", true, -1.0]}', "é"]
)
def test_damaged_file_is_ignored(tmp_path: Path, damage: str) -> None:
    rates = Machine.of("H100 SXM").rates
    assert rates is not None
    (tmp_path / "file-paces-v1.json").write_text(damage)
    assert with_file_paces(rates, tmp_path) == rates
    store_file_pace("disk", 2e9, tmp_path)
    assert with_file_paces(rates, tmp_path).disk == 2e9


def test_unwritable_folder_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store_file_pace("disk", 2e9, tmp_path / "file")
