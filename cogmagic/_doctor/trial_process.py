"""The process of the trials that need torch, and what its end means."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence

from cogmagic._doctor.check import Result, failure
from cogmagic._doctor.trials import TRIALS
from cogmagic._session.parallel.child_process import import_path

__all__ = ["trial_results"]


_MODULE = "cogmagic._doctor.trials"


_SECONDS = 300.0
"""Longest wait: torch takes a minute from a slow network disk, and a hanging driver for ever."""


def trial_results(
    command: Sequence[str] | None = None, seconds: float = _SECONDS
) -> Iterator[Result]:
    """The results of the trials as they come; the last is a failure if the process ended early.

    Args:
        command: what to run in place of the trials.
        seconds: the longest wait.
    """
    process = subprocess.Popen(  # noqa: S603 - this interpreter, with a module of ours
        [sys.executable, "-P", "-m", _MODULE] if command is None else list(command),
        env=os.environ | {"PYTHONPATH": os.pathsep.join(import_path())},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    errors = list[str]()
    reader = threading.Thread(target=lambda: errors.extend(process.stderr or ()), daemon=True)
    reader.start()
    timer = threading.Timer(seconds, process.kill)
    timer.start()
    done, failed = 0, False
    try:
        for line in process.stdout or ():
            if line.startswith('{"name"'):  # libraries may print, too
                result = Result(**json.loads(line))
                done, failed = done + 1, result.status == "fail"
                yield result
        code = process.wait()
        reader.join(10)
    finally:
        late = not timer.is_alive()
        timer.cancel()
        process.kill()
        process.wait()
    if not failed and done < len(TRIALS):
        yield _broken(TRIALS[done].name, code, errors, seconds if late else None)


def _broken(name: str, code: int, errors: Sequence[str], seconds: float | None) -> Result:
    """The failure of the trial during which the process ended."""
    if seconds is not None:
        text = f"no answer within {seconds:.0f} s: the driver, or a disk, may hang"
        return Result.from_finding(name, failure(text, "nvidia-smi; restart the machine"))
    last = next((line.strip() for line in reversed(errors) if line.strip()), "")
    end = f"the process ended with {_ending(code)}"
    text = f"{end} ({last[:200]})" if last else end
    fix = "pip install --force-reinstall torch, and check the driver with nvidia-smi"
    return Result.from_finding(name, failure(text, fix))


def _ending(code: int) -> str:
    """The exit code in words: that of a signal by its name."""
    try:
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"
    except ValueError:
        return f"signal {-code}"
