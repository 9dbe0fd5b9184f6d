"""The process that reads mutated inputs, and what it writes about them: one JSON row a reader."""

from __future__ import annotations

import faulthandler
import json
import resource
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from tests.fuzz.readers import Reader, readers

MAX_SECONDS = 2.0
"""Seconds of a core that one input may take."""
MAX_BYTES = 512 * 2**20
"""Memory that the process may grow by while it reads one input."""
_PATIENCE = 120.0
"""Seconds after which an input hangs, on a machine that does other things."""


@dataclass
class Outcome:
    """The outcome of a reader's inputs."""

    inputs: int = 0
    passed: int = 0
    """How many passed the first check."""
    succeeded: int = 0
    refused: int = 0
    seconds: float = 0.0
    """Of a core, for all inputs."""
    max_seconds: float = 0.0
    max_bytes: int = 0
    failures: list[str] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)


def run(name: str, reader: Reader, inputs: range, seed: int) -> Outcome:
    """Read mutated inputs; each must end in success or in one line, soon and within bounds."""
    from cogmagic import CogMagicError

    outcome = Outcome()
    for content in reader.seeds:  # an unchanged file is read
        reader.read(content)
    for number in inputs:
        random = Random(f"{seed} {name} {number}")  # noqa: S311 - repeatable
        data = reader.mutate(random, random.choice(reader.seeds))
        outcome.inputs += 1
        outcome.passed += reader.passes(data)
        faulthandler.dump_traceback_later(_PATIENCE, exit=True)
        Path("/proc/self/clear_refs").write_text("5")  # the peak is that of this input
        before, began = _memory("VmRSS"), time.process_time()
        problem = ""
        try:
            reader.read(data)
            outcome.succeeded += 1
        except CogMagicError as error:
            outcome.refused += 1
            if "\n" in str(error) or not str(error):
                problem = f"not one line: {error}"
        except BaseException as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            kind = f"{type(error).__name__} at {Path(place.filename).name}:{place.lineno}"
            outcome.kinds[kind] += 1
            problem = f"{kind}: {str(error)[:200]}"
        seconds, nbytes = time.process_time() - began, _memory("VmHWM") - before
        faulthandler.cancel_dump_traceback_later()
        outcome.seconds += seconds
        outcome.max_seconds = max(outcome.max_seconds, seconds)
        outcome.max_bytes = max(outcome.max_bytes, nbytes)
        if seconds > MAX_SECONDS:
            problem = f"{problem} took {seconds:.1f} s"
        if nbytes > MAX_BYTES:
            problem = f"{problem} took {nbytes / 2**20:.0f} MiB"
        if problem:
            outcome.failures.append(f"input {number}: {problem}")
    return outcome


def _memory(name: str) -> int:
    """A figure of this process's memory in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    raise ValueError(name)


def main(inputs: range, seed: int, names: list[str]) -> None:
    """Run the readers of those names, or all, and print a row for each."""
    with tempfile.TemporaryDirectory() as folder:
        every = readers(Path(folder))
        limit = _memory("VmSize") + 4 * 2**30  # what runs away is an error of this process alone
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        for name in names or every:
            print(f"reading {name}", file=sys.stderr, flush=True)  # noqa: T201
            outcome = run(name, every[name], inputs, seed)
            row: dict[str, Any] = {"reader": name, **vars(outcome)}
            print(json.dumps(row), flush=True)  # noqa: T201
