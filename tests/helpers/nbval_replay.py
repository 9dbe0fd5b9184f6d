"""A plugin for nbval: record what a notebook's kernel sends, or compare with such a recording.

    COGMAGIC_RECORDING=FILE pytest -p tests.helpers.nbval_replay --nbval ...

Where FILE does not exist, a kernel runs the cells and every message that nbval reads goes into it.
Where it does, nbval gets those messages again: what it says of other stored outputs then needs no
second run of the same cells.
"""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from queue import Empty
from typing import Any

import nbval.plugin
from nbval.kernel import RunningKernel

RECORDING = Path(os.environ["COGMAGIC_RECORDING"])


class Recorder(RunningKernel):  # type: ignore[misc]
    """A kernel whose executed sources and messages are written to the recording when it stops."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)  # what it reads there is no cell's
        self.sources: list[tuple[str, str]] = []
        self.messages: dict[str, list[Any]] = {"iopub": [], "shell": []}

    def get_message(self, stream: str, timeout: float | None = None) -> Any:
        message = super().get_message(stream, timeout)
        if hasattr(self, "messages"):
            self.messages[stream].append(message)
        return message

    def execute_cell_input(self, source: str, allow_stdin: bool | None = None) -> str:
        sent = str(super().execute_cell_input(source, allow_stdin))
        self.sources.append((source, sent))
        return sent

    def stop(self) -> None:
        super().stop()
        RECORDING.write_bytes(pickle.dumps((self.sources, self.messages)))


class Replay(RunningKernel):  # type: ignore[misc]
    """A kernel that answers the same sources with the recorded messages."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self.sources, self.messages = pickle.loads(RECORDING.read_bytes())  # noqa: S301 - our own

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


nbval.plugin.RunningKernel = Replay if RECORDING.exists() else Recorder
