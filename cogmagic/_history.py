"""What past runs really needed: a small file in the user's cache folder, and what it teaches."""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import median
from tempfile import NamedTemporaryFile
from typing import Any

from cogmagic._gpu import GIB

__all__ = ["History", "Past", "cache_folder", "correction", "render"]

_VERSION = 1
_KEPT = 500
_LARGEST = 5_000_000


@dataclass(frozen=True)
class Past:
    """One run: what was predicted for it, and what it took. Bytes and seconds."""

    when: float
    card: str
    versions: str
    """Of torch and diffusers, as ``torch 2.11.0, diffusers 0.42.1``."""
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
    """It ended for want of memory: `measured_allocated` is then what there was, or more."""


def cache_folder() -> Path:
    """``$COGMAGIC_CACHE``, or ``cogmagic`` in the user's cache folder."""
    if os.environ.get("COGMAGIC_CACHE"):
        return Path(os.environ["COGMAGIC_CACHE"]).expanduser()
    if sys.platform == "win32" and os.environ.get("LOCALAPPDATA"):
        return Path(os.environ["LOCALAPPDATA"]) / "cogmagic"
    if sys.platform == "darwin":
        return Path("~/Library/Caches/cogmagic").expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "cogmagic"


class History:
    """The file of past runs; what cannot be read or written is never an error."""

    def __init__(self, folder: Path | None = None) -> None:
        self.path = (folder or cache_folder()) / f"history-v{_VERSION}.jsonl"
        self.note = ""
        """What was wrong with the file and where it went; empty if nothing."""

    def read(self) -> tuple[Past, ...]:
        """The runs, oldest first. A file that is not one of ours is set aside."""
        try:
            if self.path.stat().st_size > _LARGEST:
                return self._set_aside("larger than 5 MB")
            lines = self.path.read_text(encoding="utf-8").splitlines()
        except OSError:
            return ()
        except ValueError:
            return self._set_aside("not text")
        found = [_past(line) for line in lines]
        if lines and not any(found):
            return self._set_aside("no runs in it")
        return tuple(p for p in found if p)

    def add(self, past: Past) -> None:
        """Append one run; the oldest go when there are more than 500."""
        with suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with _locked(self.path.with_suffix(".lock")):
                rows = self.read()
                if len(rows) >= _KEPT:
                    self._replace([*rows[1 - _KEPT :], past])
                else:
                    with self.path.open("a", encoding="utf-8") as file:
                        file.write(_line(past))

    def clear(self) -> int:
        """Forget all runs; how many there were."""
        count = len(self.read())
        with suppress(OSError):
            self.path.unlink(missing_ok=True)
        return count

    def _replace(self, rows: Sequence[Past]) -> None:
        folder = self.path.parent
        with NamedTemporaryFile("w", dir=folder, delete=False, encoding="utf-8") as part:
            part.writelines(_line(row) for row in rows)
        Path(part.name).replace(self.path)

    def _set_aside(self, why: str) -> tuple[Past, ...]:
        aside = self.path.with_suffix(f".corrupt-{int(time.time())}")
        with suppress(OSError):
            self.path.rename(aside)
            self.note = f"The history of runs was unreadable ({why}); it is now {aside.name}."
        return ()


def _line(past: Past) -> str:
    return json.dumps({"v": _VERSION, **asdict(past)}) + "\n"


def _past(line: str) -> Past | None:
    """The run of a line; None for a line that is none, such as one cut short by a full disk."""
    try:
        row = json.loads(line)
        if row.pop("v") != _VERSION:
            return None
        names = {f.name for f in fields(Past)}
        past = Past(**{k: v for k, v in row.items() if k in names})
        amounts = (past.predicted_allocated, past.measured_allocated, past.predicted_step,
                   past.measured_step)  # fmt: skip
        sound = all(a is None or (math.isfinite(a) and a > 0) for a in amounts)
        return past if sound and isinstance(past.card, str) else None
    except (ValueError, TypeError, AttributeError, KeyError):
        return None


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Alone among processes, where the platform and the file system can lock."""
    with path.open("a+b") as file:
        with suppress(ImportError, OSError):
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def correction(
    rows: Sequence[Past], value: Callable[[Past], tuple[float | None, float | None]], spread: float
) -> float:
    """How much more than predicted runs took: a factor that shrinks toward 1 on thin evidence.

    The median of the logarithms of measured over predicted, with two runs added that were exactly
    as predicted; so one run, however odd, changes nothing, two agreeing ones half, and many decide.

    Args:
        rows: runs that are like the one in question.
        value: (predicted, measured) of a run; runs that lack one do not count.
        spread: the factor stays within 1 / (1 + spread) and 1 + spread.
    """
    pairs = [value(row) for row in rows]
    logs = [math.log(m / p) for p, m in pairs if p and m]
    if not logs:
        return 1.0
    most = math.log(1 + spread)
    return math.exp(min(max(median([*logs, 0.0, 0.0]), -most), most))


def render(rows: Sequence[Past]) -> str:
    """Past runs as a table, the newest last."""
    form = "{:<16} {:<12} {:<18} {:<11} {:>17} {:>17}"
    lines = [form.format("when", "model", "clip", "tier", "VRAM, predicted", "s/step, predicted")]
    for row in rows[-30:]:
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(row.when))
        measured = row.measured_allocated and row.measured_allocated / GIB
        predicted = row.predicted_allocated and row.predicted_allocated / GIB
        vram = "out of memory" if row.out_of_memory else _pair(measured, predicted)
        step = _pair(row.measured_step, row.predicted_step)
        clip = f"{row.size}x{row.num_frames}"
        lines.append(form.format(when, row.model, clip, row.tier, vram, step))
    return "\n".join(lines)


def _pair(measured: Any, predicted: Any) -> str:
    one, other = (f"{x:.2f}" if x else "n/a" for x in (measured, predicted))
    return f"{one}, {other}"
