"""Run history: a JSONL file in the cache folder, with predicted and measured memory and time."""

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


_MAX_ROWS = 500


_MAX_BYTES = 5_000_000


_LOCK_SECONDS = 2.0
"""Longest wait for another kernel's lock; one row is not worth more."""


@dataclass(frozen=True)
class PastRun:
    """A recorded run: predicted and measured memory and time. Bytes and seconds."""

    when: float
    card: str
    versions: str
    """Of the predictions and the libraries: ``predictions 1.5, torch 2.11.0, …``."""
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
    """Whether it ended out of memory; `limit` is then what it had."""
    driver: str = ""
    """The driver's version, as ``580.95.05``; empty where unknown."""
    rates: str = ""
    """Source of the predicted seconds: ``probe``, or a datasheet; empty where unknown."""
    limit: int | None = None
    """Bytes of VRAM that tensors could have used when it ran."""
    uses: str = ""
    """Savings and speedups that were on, such as ``compile, decode, fa3``; empty for none."""
    measured_compile: float | None = None
    """Seconds of compiling before the first step; None where nothing was compiled."""


class History:
    """The file of past runs. A file that cannot be read or written is never an error."""

    def __init__(self, folder: Path | None = None, lock_seconds: float = _LOCK_SECONDS) -> None:
        self._lock_seconds = lock_seconds
        self.path = (folder or cache_folder()) / f"history-v{_VERSION}.jsonl"
        self.note = ""
        """What was wrong with the file and where it was moved; empty if nothing."""

    def read(self) -> tuple[PastRun, ...]:
        """The runs, the oldest first. A file that is not a history is moved aside."""
        rows, problem = self._rows()
        if problem:
            with suppress(OSError), self._locked():  # another kernel may be doing the same
                rows = self._repaired()
            if not rows and not self.note:
                self.note = f"The run history is unreadable ({problem}): {self.path}"
        return rows

    def _rows(self) -> tuple[tuple[PastRun, ...], str]:
        """The runs, and what is wrong with the file; an absent file is empty."""
        try:
            facts = self.path.stat()
            if not stat.S_ISREG(facts.st_mode):  # reading a pipe would block
                return (), "not a file"
            if facts.st_size > _MAX_BYTES:
                return (), "larger than 5 MB"
            lines = self.path.read_text(encoding="utf-8").split("\n")
        except OSError:
            return (), ""
        except ValueError:
            return (), "not text"
        lines = [line for line in lines if line.strip()]
        rows = tuple(row for line in lines if (row := _past(line)))
        return rows, "" if rows or not lines else "no runs in it"

    def _repaired(self) -> tuple[PastRun, ...]:
        """The runs, after a file that is not a history was moved aside; needs the lock."""
        rows, problem = self._rows()
        if problem:
            aside = self.path.with_suffix(f".corrupt-{int(time.time())}")
            self.path.rename(aside)
            self.note = (
                f"The run history was unreadable ({problem}) and has been renamed to {aside.name}."
            )
        return rows

    def add(self, past: PastRun) -> None:
        """Append one run; of more than 500, the oldest are dropped."""
        if not _is_valid(past):
            return
        with suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self._locked() as locked:
                rows = self._repaired()
                # Unlike appending, trimming would lose rows that another kernel appends meanwhile.
                if len(rows) >= _MAX_ROWS and locked:
                    newest = [*rows[1 - _MAX_ROWS :], past]
                    write_atomically(self.path, "".join(map(_line, newest)).encode())
                else:
                    self._append(past)

    def clear(self) -> int:
        """Delete all runs; return their number."""
        with suppress(OSError), self._locked():
            count = len(self._repaired())
            self.path.unlink(missing_ok=True)
            return count
        return 0

    @contextmanager
    def _locked(self) -> Iterator[bool]:
        """Lock the history against other kernels; yields whether that was possible."""
        with self.path.with_suffix(".lock").open("a+b") as file:
            end = time.monotonic() + self._lock_seconds
            locked = try_lock(file.fileno())
            while locked is False and time.monotonic() < end:
                time.sleep(0.01)
                locked = try_lock(file.fileno())
            yield bool(locked)  # closing the file unlocks it

    def _append(self, past: PastRun) -> None:
        """Append in one write, preceded by the newline that a truncated last line lacks."""
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT
        handle = os.open(self.path, flags | getattr(os, "O_BINARY", 0), 0o666)
        with os.fdopen(handle, "r+b", buffering=0) as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - 1, 0))
            file.write((b"\n" if file.read(1) not in {b"", b"\n"} else b"") + _line(past).encode())


def _line(past: PastRun) -> str:
    return json.dumps({"v": _VERSION, **asdict(past)}) + "\n"


def _past(line: str) -> PastRun | None:
    """The run of a line; None for any other line, such as one truncated by a full disk."""
    try:
        row = json.loads(line)
        if row.pop("v") != _VERSION:
            return None
        names = {f.name for f in fields(PastRun)}
        past = PastRun(**{k: v for k, v in row.items() if k in names})
    # RecursionError: a line of a hundred thousand brackets.
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
        return None
    return past if _is_valid(past) else None


def _is_valid(past: PastRun) -> bool:
    """Whether every field has its type and range, so that readers need not check again."""
    texts = (
        past.card, past.versions, past.model, past.size, past.dtype, past.tier, past.driver,
        past.rates, past.uses,
    )  # fmt: skip
    amounts = [
        getattr(past, f.name)
        for f in fields(PastRun)
        if f.name.startswith(("predicted_", "measured_")) or f.name == "limit"
    ]
    return (
        all(isinstance(text, str) for text in texts)
        and all(amount is None or (_is_number(amount) and amount > 0) for amount in amounts)
        and _is_number(past.when)
        and _is_number(past.num_frames)
        and isinstance(past.out_of_memory, bool)
    )


def _is_number(value: object) -> bool:
    """Whether a value is a finite number below 10¹⁸: no NaN, no text, no thousand digits."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < 1e18 and math.isfinite(value)


def history_table(rows: Sequence[PastRun]) -> str:
    """The last 30 runs as a table, the newest last."""
    form = "{:<16} {:<12} {:<18} {:<11} {:>17} {:>17}"
    lines = [form.format("when", "model", "clip", "tier", "VRAM, predicted", "s/step, predicted")]
    for row in rows[-30:]:
        measured = row.measured_allocated and row.measured_allocated / GIB
        predicted = row.predicted_allocated and row.predicted_allocated / GIB
        vram = "out of memory" if row.out_of_memory else _pair(measured, predicted)
        step = _pair(row.measured_step, row.predicted_step)
        clip = f"{row.size}x{row.num_frames}"
        line = form.format(_date(row.when), _short(row.model, 12), clip, row.tier, vram, step)
        lines.append(f"{line}  {row.uses}".rstrip())
    return "\n".join(lines)


def _date(when: float) -> str:
    try:
        return time.strftime("%Y-%m-%d %H:%M", time.localtime(when))
    except (OverflowError, ValueError, OSError):  # outside the range of dates
        return "n/a"


def _short(text: str, width: int) -> str:
    """The end of a long name: the part in which hub ids differ."""
    return text if len(text) <= width else f"…{text[1 - width :]}"


def _pair(measured: Any, predicted: Any) -> str:
    first, second = (f"{x:.2f}" if x else "n/a" for x in (measured, predicted))
    return f"{first}, {second}"
