"""The plans of all models for the panel's list, made in a thread of their own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from cogmagic._api.plan import ANY_PROMPT
from cogmagic._errors import first_line
from cogmagic._models.catalog import MODELS
from cogmagic._models.model import Model
from cogmagic._notebook.panel.form.models import row
from cogmagic._notebook.panel.parts.choices import Choices
from cogmagic._planning.plan import Plan

__all__ = ["Survey"]


_PAUSE_SECONDS = 5.0
"""Least seconds from one survey to the next: free memory may change at every reading."""


_JOIN_SECONDS = 10.0
"""Seconds that closing waits for the plan that is being made."""


class Survey:
    """Plans each model when the machine or the options change, and updates the rows of the list.

    Args:
        picker: the list.
        plan: `cogmagic.plan`, or one for a described machine.
    """

    def __init__(self, picker: Choices, plan: Callable[..., Plan]) -> None:
        self._picker, self._plan = picker, plan
        self._done: object = None
        self._next: Mapping[str, Any] | None = None
        self._lock, self._closed = threading.Lock(), threading.Event()
        self._thread: threading.Thread | None = None

    def update(self, key: object, options: Mapping[str, Any]) -> None:
        """Survey the models again, unless `key` is that of the last survey.

        Args:
            key: the state of the machine and the options.
            options: those of `plan` that concern memory and speed.
        """
        with self._lock:
            if self._closed.is_set() or key == self._done:
                return
            self._done, self._next = key, options
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="cogmagic-models", daemon=True
                )
                self._thread.start()

    def close(self) -> None:
        """Stop for good, and wait until the thread has ended."""
        self._closed.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(_JOIN_SECONDS)

    def _run(self) -> None:
        while True:
            with self._lock:
                if self._next is None or self._closed.is_set():
                    self._thread = None
                    return
                options, self._next = self._next, None
            for i, model in enumerate(MODELS):
                if self._closed.is_set():
                    break
                self._show(i, self._row(model, options))
            self._closed.wait(_PAUSE_SECONDS)

    def _row(self, model: Model, options: Mapping[str, Any]) -> dict[str, Any]:
        try:
            return row(model, self._plan(ANY_PROMPT, model=model.name, **options))
        except Exception as error:
            return row(model, None, first_line(error))

    def _show(self, i: int, new: dict[str, Any]) -> None:
        rows = list(self._picker.rows)
        rows[i] = new
        if not self._closed.is_set():
            with suppress(Exception):  # the front end may have gone
                self._picker.show(rows)
