"""Where the live line appears: under a cell, or in a terminal."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from io import StringIO
from typing import Any, Protocol

from cogmagic._html import volatile_bundle
from cogmagic._interrupts import interrupts_deferred

__all__ = ["CellDisplay", "Display", "TerminalDisplay"]


class Display(Protocol):
    """One line of text that changes, and a warning on a line of its own."""

    def show(self, text: str, share: float | None = None, warning: str = "") -> None:
        """Replace the text; `share` is the part of the phase that is done, if it is known."""

    def end(self, text: str, warning: str = "", *, failed: bool = False) -> None:
        """Replace the text for good."""


class CellDisplay:
    """A line under a cell, in the error colour if something failed."""

    def __init__(self) -> None:
        self._handle: Any = None

    def show(self, text: str, share: float | None = None, warning: str = "") -> None:
        """Replace the text; the share is not drawn."""
        del share
        self._update(volatile_bundle(text, warning))

    def end(self, text: str, warning: str = "", *, failed: bool = False) -> None:
        """Replace the text for good."""
        self._update(volatile_bundle(text, warning, failed=failed))

    def _update(self, bundle: dict[str, str]) -> None:
        from IPython.display import DisplayHandle

        if self._handle is not None:
            self._handle.update(bundle, raw=True)
        else:
            self._handle = DisplayHandle()
            self._handle.display(bundle, raw=True)


class TerminalDisplay:
    """A progress bar on stderr, below any warning; only the facts if it is not a terminal."""

    def __init__(self) -> None:
        from tqdm import tqdm

        class Bar(tqdm):  # type: ignore[misc]  # tqdm is untyped
            monitor_interval = 0  # without a thread of tqdm's own

        off = sys.stderr is None or bool(os.environ.get("TQDM_DISABLE"))
        self._bar = Bar(
            bar_format="{bar:10} {desc}",
            file=sys.stderr,
            disable=True if off else None,  # None: unless it is a terminal
            dynamic_ncols=True,
            leave=False,
        )
        self._warning = ""

    def show(self, text: str, share: float | None = None, warning: str = "") -> None:
        """Replace the text, and draw the share as a bar; a new warning is printed above it."""
        with interrupts_deferred():  # else tqdm would keep its lock, and block all other threads
            if warning not in ("", self._warning) and not self._bar.disable:
                self._warning = warning
                self._bar.write(f"warning: {warning}", file=self._bar.fp)
            self._bar.total, self._bar.n = (None, 0) if share is None else (1, share)
            self._bar.set_description_str(text)

    def end(self, text: str, warning: str = "", *, failed: bool = False) -> None:
        """Remove the bar, and print the text; a failure only where there was a bar.

        A warning that has not been printed above the bar is printed below the text.
        """
        animated = not self._bar.disable
        self._bar.close()
        if failed and not animated:  # the error says what failed
            return
        with suppress(OSError, ValueError):  # a closed stderr must not cost the video
            below = f"\nwarning: {warning}" if warning not in ("", self._warning) else ""
            print(f"{text}{below}", file=sys.stderr or StringIO())
