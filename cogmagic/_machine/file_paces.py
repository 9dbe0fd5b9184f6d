"""Paces of reading weight files on this machine, as runs measured them."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from statistics import median

from cogmagic._files import read_table, write_table
from cogmagic._machine.rates import Rates

__all__ = ["delete_file_paces", "store_file_pace", "with_file_paces"]

_NAMES = ("disk", "copying")
"""The rates that a run can measure."""
_KEPT = 5
"""Runs stored per rate, whose median counts."""
_PLAUSIBLE = (1e6, 1e12)
"""Plausible bytes a second."""


def with_file_paces(rates: Rates, folder: Path) -> Rates:
    """`rates` with the median paces that runs have measured."""
    paces = _read(folder)
    return replace(
        rates,
        disk=median(paces.get("disk", [rates.disk])),
        copying=median(paces.get("copying", [rates.copying])),
    )


def store_file_pace(name: str, pace: float, folder: Path) -> None:
    """Store bytes a second that a run measured; a folder that cannot be written is no error.

    Args:
        name: ``disk`` for files that were not in the page cache, ``copying`` for those that were.
        pace: bytes a second; implausible ones are left out.
        folder: of the probes.
    """
    if not _is_pace(pace):
        return
    table = _read(folder)
    table[name] = [*table.get(name, []), pace][-_KEPT:]
    with suppress(OSError):
        write_table(_file(folder), table)


def delete_file_paces(folder: Path) -> None:
    """Delete what runs have measured."""
    with suppress(OSError):
        _file(folder).unlink()


def _read(folder: Path) -> dict[str, list[float]]:
    """The stored paces, without damaged ones."""
    table = read_table(_file(folder))
    lists = {name: table[name] for name in _NAMES if isinstance(table.get(name), list)}
    sound = {name: [pace for pace in paces if _is_pace(pace)] for name, paces in lists.items()}
    return {name: paces for name, paces in sound.items() if paces}


def _is_pace(value: object) -> bool:
    least, most = _PLAUSIBLE
    return isinstance(value, float) and least < value < most


def _file(folder: Path) -> Path:
    return folder / "file-paces-v1.json"
