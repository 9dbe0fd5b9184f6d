"""The panel's list of the requests that wait for the one that runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import anywidget
import traitlets as t

from cogmagic._errors import plain_line
from cogmagic._notebook.panel.form.models import clip_words
from cogmagic._notebook.panel.runs.runs import Entered

__all__ = ["Queue"]


class Queue(anywidget.AnyWidget):
    """The list; hidden while nothing waits.

    Args:
        acts: what each button does, given the number of its request: ``earlier``, ``later``,
            ``edit``, ``remove``; and ``clear``, given 0.
    """

    _esm = Path(__file__).parents[1] / "static" / "queue.js"
    entries = t.List().tag(sync=True)
    """Per request: ``number``, ``title`` and ``about``."""

    def __init__(self, acts: Mapping[str, Callable[[int], object]]) -> None:
        super().__init__()
        self._acts = acts
        self.on_msg(self._on_message)

    def show(self, waiting: Sequence[Entered]) -> None:
        """Show these requests; nothing is sent to the page where nothing changes."""
        entries = [_entry(one) for one in waiting]
        if entries != self.entries:
            self.entries = entries

    def _on_message(self, _: Any, content: Any, __: Any) -> None:
        if not isinstance(content, dict):
            return
        act, number = self._acts.get(str(content.get("act"))), content.get("number")
        if act is not None and isinstance(number, int):
            act(number)


def _entry(waiting: Entered) -> dict[str, Any]:
    options = waiting.options
    size = clip_words(*(options[n] for n in ("width", "height", "num_frames", "fps")))
    several = f"{waiting.count} clips" if waiting.count > 1 else ""
    about = (options["model"], size, several, f"seed {options['seed']}")
    title = plain_line(" ".join(waiting.prompt.split()))[:200]
    return {
        "number": waiting.number,
        "title": title,
        "about": plain_line(" · ".join(filter(None, about)))[:200],
    }
