"""What past runs really needed: a small file in the user's cache folder, and what it teaches."""

from __future__ import annotations

import json
import math
import os
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from cogmagic._files import cache_folder, try_lock, write_atomically
from cogmagic._units import GIB

__all__ = ["History", "PastRun", "history_table"]


_VERSION = 1


_KEPT = 500


_LARGEST = 5_000_000


_WAIT = 2.0
"""Seconds to wait for another kernel's lock; a row is worth no more."""


@dataclass(frozen=True)
class PastRun:
    """One run: what was predicted for it, and what it took. Bytes and seconds."""

    when: float
    card: str
    versions: str
    """Of the predictions and of what computed: ``predictions 1.5, torch 2.11.0, …``."""
    model: str
    size: str
    num_frames: int
    dtype: str
    tier: str
    predicted_allocated: int | None = None
    measured_allocated: int | None = None
    predicted_step: float | None = None
    measured_step: float | None = None
    out_of_memory: bool = False
    """It ended for want of memory; `limit` is then what there was."""
    driver: str = ""
    """The driver's version, as ``580.95.05``; empty where unknown."""
    rates: str = ""
    """What the predicted seconds rested on: ``probe``, or a datasheet; empty where unknown."""
    limit: int | None = None
    """Bytes that tensors could have had when it ran."""


class History:
    """The file of past runs; what cannot be read or written is never an error."""

    def __init__(self, folder: Path | None = None) -> None:
        self.path = (folder or cache_folder()) / f"history-v{_VERSION}.jsonl"
        self.note = ""
        """What was wrong with the file and where it went; empty if nothing."""

    def read(self) -> tuple[PastRun, ...]:
        """The runs, oldest first. A file that is not one of ours is set aside."""
        rows, wrong = self._rows()
        if wrong:
            with suppress(OSError), self._locked():  # another kernel may be doing the same
                rows = self._settled()
            if not rows and not self.note:
                self.note = f"The history of runs is unreadable ({wrong}): {self.path}"
        return rows

    def _rows(self) -> tuple[tuple[PastRun, ...], str]:
        """The runs, and what is wrong with the file; nothing for one that is not there."""
        try:
            facts = self.path.stat()
            if not stat.S_ISREG(facts.st_mode):  # a pipe would be waited for
                return (), "not a file"
            if facts.st_size > _LARGEST:
                return (), "larger than 5 MB"
            lines = self.path.read_text(encoding="utf-8").split("\n")
        except OSError:
            return (), ""
        except ValueError:
            return (), "not text"
        lines = [line for line in lines if line.strip()]
        rows = tuple(row for line in lines if (row := _past(line)))
        return rows, "" if rows or not lines else "no runs in it"

    def _settled(self) -> tuple[PastRun, ...]:
        """The runs, what is not ours set aside; for those who hold the lock."""
        rows, wrong = self._rows()
        if wrong:
            aside = self.path.with_suffix(f".corrupt-{int(time.time())}")
            self.path.rename(aside)
            self.note = f"The history of runs was unreadable ({wrong}); it is now {aside.name}."
        return rows

    def add(self, past: PastRun) -> None:
        """Append one run; the oldest go when there are more than 500."""
        if not _sound(past):
            return
        with suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self._locked() as alone:
                rows = self._settled()
                # Trimming would lose what another kernel appends meanwhile; appending does not.
                if len(rows) >= _KEPT and alone:
                    kept = [*rows[1 - _KEPT :], past]
                    write_atomically(self.path, "".join(map(_line, kept)).encode())
                else:
                    self._append(past)

    def clear(self) -> int:
        """Forget all runs; how many are forgotten."""
        with suppress(OSError), self._locked():
            count = len(self._settled())
            self.path.unlink(missing_ok=True)
            return count
        return 0

    @contextmanager
    def _locked(self) -> Iterator[bool]:
        """Alone among kernels, where platform and file system can lock; whether it is so."""
        with self.path.with_suffix(".lock").open("a+b") as file:
            end = time.monotonic() + _WAIT
            alone = try_lock(file.fileno())
            while alone is False and time.monotonic() < end:
                time.sleep(0.01)
                alone = try_lock(file.fileno())
            yield bool(alone)  # closing the file lets go

    def _append(self, past: PastRun) -> None:
        """One write at the end, after the newline that a cut line lacks."""
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT
        handle = os.open(self.path, flags | getattr(os, "O_BINARY", 0), 0o666)
        with os.fdopen(handle, "r+b", buffering=0) as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - 1, 0))
            file.write((b"\n" if file.read(1) not in {b"", b"\n"} else b"") + _line(past).encode())


def _line(past: PastRun) -> str:
    return json.dumps({"v": _VERSION, **asdict(past)}) + "\n"


def _past(line: str) -> PastRun | None:
    """The run of a line; None for a line that is none, such as one cut short by a full disk."""
    try:
        row = json.loads(line)
        if row.pop("v") != _VERSION:
            return None
        names = {f.name for f in fields(PastRun)}
        past = PastRun(**{k: v for k, v in row.items() if k in names})
    # RecursionError is what a line of a hundred thousand brackets gives.
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
        return None
    return past if _sound(past) else None


def _sound(past: PastRun) -> bool:
    """Whether every field is of its kind, so that nobody who reads it need ask again."""
    words = (
        past.card, past.versions, past.model, past.size, past.dtype, past.tier, past.driver,
        past.rates,
    )  # fmt: skip
    amounts = [
        getattr(past, f.name)
        for f in fields(PastRun)
        if f.name.startswith(("predicted_", "measured_")) or f.name == "limit"
    ]
    return (
        all(isinstance(word, str) for word in words)
        and all(amount is None or (_number(amount) and amount > 0) for amount in amounts)
        and _number(past.when)
        and _number(past.num_frames)
        and isinstance(past.out_of_memory, bool)
    )


def _number(value: object) -> bool:
    """Whether it is a finite number that a float holds: no NaN, no text, no thousand digits."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < 1e18 and math.isfinite(value)


def history_table(rows: Sequence[PastRun]) -> str:
    """Past runs as a table, the newest last."""
    form = "{:<16} {:<12} {:<18} {:<11} {:>17} {:>17}"
    lines = [form.format("when", "model", "clip", "tier", "VRAM, predicted", "s/step, predicted")]
    for row in rows[-30:]:
        measured = row.measured_allocated and row.measured_allocated / GIB
        predicted = row.predicted_allocated and row.predicted_allocated / GIB
        vram = "out of memory" if row.out_of_memory else _pair(measured, predicted)
        step = _pair(row.measured_step, row.predicted_step)
        clip = f"{row.size}x{row.num_frames}"
        lines.append(
            form.format(_date(row.when), _short(row.model, 12), clip, row.tier, vram, step)
        )
    return "\n".join(lines)


def _date(when: float) -> str:
    try:
        return time.strftime("%Y-%m-%d %H:%M", time.localtime(when))
    except (OverflowError, ValueError, OSError):  # no clock says that
        return "n/a"


def _short(text: str, width: int) -> str:
    """The end of a long name, which tells hub ids apart."""
    return text if len(text) <= width else f"…{text[1 - width :]}"


def _pair(measured: Any, predicted: Any) -> str:
    one, other = (f"{x:.2f}" if x else "n/a" for x in (measured, predicted))
    return f"{one}, {other}"
