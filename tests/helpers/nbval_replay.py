"""A plugin for nbval: compare several copies of a notebook with what one kernel sent.

    COGMAGIC_OUTCOMES=FILE pytest -p tests.helpers.nbval_replay --nbval NOTEBOOK COPY...

A kernel runs the cells of the first notebook, and every message that nbval reads is recorded. For
its copies nbval gets those messages again: what it says of other stored outputs then needs neither
a second run of the same cells nor a second start of pytest. FILE gets, as JSON and by notebook, the
outcome and the message of each cell.
"""

from __future__ import annotations

import json
import os
import sys
from collections import defaultdict
from pathlib import Path
from queue import Empty
from typing import Any

import pytest

sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment] # jsonschema does without it: 3 s

import nbval.plugin  # noqa: E402
from nbval.kernel import RunningKernel  # noqa: E402

from tests.helpers.frozen import FREEZE  # noqa: E402
from tests.helpers.kernels import PATIENCE  # noqa: E402

_sources: list[tuple[str, str]] = []
"""The source of each executed cell, and the id of its message."""
_messages: dict[str, list[Any]] = {"iopub": [], "shell": []}
_outcomes: dict[str, dict[int, tuple[str, str]]] = defaultdict(dict)


class Recorder(RunningKernel):  # type: ignore[misc]
    """A kernel whose executed sources and messages are recorded."""

    started = False

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.started = True
        if os.environ["COGMAGIC_FREEZE"]:
            self.await_idle(super().execute_cell_input(FREEZE), PATIENCE)
        for messages in _messages.values():  # of the start, not of a cell
            messages.clear()
        nbval.plugin.RunningKernel = Replay

    def get_message(self, stream: str, timeout: float | None = None) -> Any:
        # nbval waits ten seconds for its first reply, and five for an output. A second without an
        # output at the start is no failure: it asks again.
        patient = stream == "shell" or self.started
        message = super().get_message(stream, max(timeout or 0, PATIENCE) if patient else timeout)
        _messages[stream].append(message)
        return message

    def execute_cell_input(self, source: str, allow_stdin: bool | None = None) -> str:
        sent = str(super().execute_cell_input(source, allow_stdin))
        _sources.append((source, sent))
        return sent


class Replay(RunningKernel):  # type: ignore[misc]
    """A kernel that answers the same sources with the recorded messages."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self.sources = _sources.copy()
        self.messages = {stream: messages.copy() for stream, messages in _messages.items()}

    def get_message(self, stream: str, timeout: float | None = None) -> Any:
        if not self.messages[stream]:
            raise Empty
        return self.messages[stream].pop(0)

    def execute_cell_input(self, source: str, allow_stdin: bool | None = None) -> str:
        recorded, sent = self.sources.pop(0)
        assert source == recorded, f"not the recorded cell: {source}"
        return str(sent)

    def is_alive(self) -> bool:
        return True

    def stop(self) -> None:
        assert not self.sources, "cells of the recording were left out"


nbval.plugin.RunningKernel = Recorder


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note the outcome of a cell; that of its set-up or teardown only where it failed."""
    if report.when == "call" or report.outcome != "passed":
        file, _, cell = report.nodeid.partition("::Cell ")
        outcome = "xfailed" if hasattr(report, "wasxfail") else report.outcome
        _outcomes[Path(file).name][int(cell)] = (outcome, report.longreprtext)


def pytest_sessionfinish() -> None:
    Path(os.environ["COGMAGIC_OUTCOMES"]).write_text(json.dumps(_outcomes))
