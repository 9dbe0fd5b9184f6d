"""The panel: live memory, the recommendation, the request, and a run that leaves the kernel free.

A kernel has one panel; displayed twice, both views show the same. A run is in a thread that only
sets traits; it goes through the same functions as the magics, with the same options.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Mapping, MutableMapping
from html import escape
from typing import Any

import ipywidgets as w

from cogmagic._api.plan import plan
from cogmagic._errors import Cancelled, CogMagicError
from cogmagic._notebook.panel.advice import advise
from cogmagic._notebook.panel.fields import Fields
from cogmagic._notebook.panel.html import bars
from cogmagic._notebook.panel.meter import Meter
from cogmagic._notebook.panel.parts import View, close, show_html
from cogmagic._notebook.panel.progress import RunDisplay
from cogmagic._notebook.panel.readings import Reader, Reading, Sampler
from cogmagic._notebook.panel.results import Results
from cogmagic._planning.plan import Plan
from cogmagic._progress import Progress
from cogmagic._session.session import session
from cogmagic._spelling import typed_in_cell

__all__ = ["Panel", "close_panel", "the_panel"]


_JOIN_SECONDS = 30.0
"""Seconds that closing waits for a run to stop."""


_REPLAN_BYTES = 2**27
"""Change of free memory after which the plan is made again."""


class Panel:
    """The widgets, and what they do.

    Args:
        variables: the user's variables.
        read: takes a reading of the machine; from NVML and torch's counters if left out.
        defaults: the first values of the fields, by the names of the options.
        plan: makes a plan of a prompt and options.
    """

    def __init__(
        self,
        variables: MutableMapping[str, Any] | None = None,
        read: Callable[[], Reading] | None = None,
        defaults: Mapping[str, Any] | None = None,
        plan: Callable[..., Plan] = plan,
    ) -> None:
        self._make_plan = plan
        self._copies = self._readings = 0
        self._job: threading.Thread | None = None
        self._stopping = False
        self._plan: Plan | None = None
        self._free: tuple[int, ...] = ()
        self._refreshing = threading.RLock()
        self.meter, self.run = Meter(), RunDisplay()
        self.fields = Fields(self.refresh, {} if variables is None else variables, defaults or {})
        self.results = Results(self.fields.enter, self._copy, self._handler)
        self.advice, self.tokens, self.hint = w.HTML(), w.HTML(), w.HTML()
        self.generate = w.Button(description="Generate", button_style="primary", icon="play")
        self.cancel = w.Button(description="Cancel", icon="stop", disabled=True)
        self.release = w.Button(description="Release", icon="eject")
        self.release.tooltip = "free the weights, and list what still holds VRAM"
        self.generate.on_click(self._handler(self._generate))
        self.cancel.on_click(self._handler(self._cancel))
        self.release.on_click(self._handler(self._release))
        self.generate.add_class("cogmagic-generate")
        self.hint.add_class("cogmagic-hint")
        buttons = w.HBox([self.generate, self.cancel, self.release])
        above = (self.meter, self.advice, self.fields.view(), self.tokens, buttons, self.hint)
        self.view = View([*above, *self.run.widgets, *self.results.widgets])
        self.view.add_class("cogmagic-panel")
        self.sampler = Sampler(read or Reader(), self._on_reading)
        self.meter.observe(lambda change: self.sampler.activate(change["new"]), "visible")
        self.refresh()

    def close(self) -> None:
        """Stop the sampler and a run, and take the widgets away."""
        self.sampler.close()
        job = self._job
        if job is not None and job is not threading.current_thread():
            self._stopping = True
            session().cancel()
            job.join(_JOIN_SECONDS)
        close(self.view)

    def refresh(self) -> None:
        """Check what is entered, and plan again; safe in any thread."""
        with self._refreshing:
            self._refresh()

    def _refresh(self) -> None:
        advice = advise(self.fields, self._make_plan)
        self._plan = advice.plan
        if advice.html:
            show_html(self.advice, advice.html)
        # Hidden, the recommendation keeps its place, so that the form does not move.
        self.advice.layout.visibility = "visible" if advice.html else "hidden"
        if advice.tokens is not None:
            show_html(self.tokens, advice.tokens)
        running = self._job is not None
        self.generate.disabled = running or not advice.ready
        self._show_hint("" if running else advice.refusal, "" if running else advice.note)

    def _show_hint(self, refusal: str, note: str) -> None:
        """Say beside Generate why it is off, or what it begins with."""
        self.generate.tooltip = refusal or note or "make the video"
        error = f'<span class="cogmagic-error">{escape(refusal)}</span>'
        show_html(self.hint, error if refusal else escape(note))

    def _handler(self, act: Callable[[], None]) -> Callable[[Any], None]:
        """A click handler that shows errors in the panel."""

        def handle(_: Any) -> None:
            try:
                act()
            except Exception as error:
                self.run.show_error(f"{type(error).__name__}: {error}")

        return handle

    def _generate(self) -> None:
        if self._job is not None:
            return
        entered = (self.fields.prompt(), self.fields.options(), self.fields.entered())
        self._stopping = False
        self.run.begin()
        # The context carries the cell's identity, by which ipykernel places output.
        context = contextvars.copy_context()
        self._job = threading.Thread(
            target=context.run, args=(self._work, *entered), name="cogmagic-panel", daemon=True
        )
        self._switch_buttons(running=True)
        self._job.start()

    @typed_in_cell()
    def _work(self, prompt: str, options: dict[str, Any], entered: dict[str, Any]) -> None:
        from cogmagic._api.generate import generate

        try:
            video = generate(
                prompt,
                on_progress=self._on_progress,
                on_preview=self.run.show_preview,
                **options,
            )
            self.run.peaks.include(video.report.peak_reserved)
            self.run.show_text("")
            self.results.add(video, entered)
        except Cancelled as stopped:
            self.run.show_text(str(stopped))
        except CogMagicError as error:
            self.run.show_error(str(error))
        except Exception as error:
            self.run.show_error(f"{type(error).__name__}: {error}")
        finally:
            self.run.end()
            self._switch_buttons(running=False)
            self._job = None  # from here on another run may begin
            self.refresh()

    def _on_progress(self, progress: Progress) -> None:
        if self._stopping:
            raise KeyboardInterrupt
        self.run.show_progress(progress)

    def _switch_buttons(self, *, running: bool) -> None:
        self.generate.disabled = self.release.disabled = running
        self.cancel.disabled = not running
        if running:
            self._show_hint("", "")

    def _cancel(self) -> None:
        if self._job is None:  # it has just ended; a run in a cell is not the panel's to stop
            return
        self._stopping = True  # before the run has begun, the session has nothing to cancel
        session().cancel()
        self.run.show_text("Stopping…")

    def _release(self) -> None:
        from cogmagic._api.kernel import release

        self.run.show_text(release())
        self.refresh()

    def _copy(self, text: str) -> None:
        self._copies += 1  # so that the same text again is a change
        self.meter.copied = f"{self._copies} {text}"

    def _on_reading(self, reading: Reading) -> None:
        """In the sampler's thread: draw the bars, and plan again where free memory has changed."""
        self._readings += 1  # so that the same values again are a change
        drawn = bars(reading, self._plan, self.run.peaks.bytes)
        self.meter.reading = drawn | {"tick": self._readings}
        free = (reading.ram.available or 0, *(g.available or 0 for g in reading.gpus))
        changed = len(free) != len(self._free) or any(
            abs(now - before) > _REPLAN_BYTES for now, before in zip(free, self._free, strict=True)
        )
        if self._job is None and changed:
            self._free = free
            self.refresh()


_PANEL: list[Panel] = []


def the_panel(
    variables: MutableMapping[str, Any] | None = None, defaults: Mapping[str, Any] | None = None
) -> Panel:
    """The kernel's panel; a new one at the first call."""
    if not _PANEL:
        _PANEL.append(Panel(variables, defaults=defaults))
    elif variables is not None:
        _PANEL[0].fields.first_frame.variables = variables
    return _PANEL[0]


def close_panel() -> None:
    """Close the kernel's panel, if it has one."""
    while _PANEL:
        _PANEL.pop().close()
