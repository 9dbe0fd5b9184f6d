"""The panel: live memory, the recommendation, the request, and a run that leaves the kernel free.

A kernel has one panel; displayed twice, both views show the same. A run goes through the
same functions as the magics, with the same options.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, MutableMapping
from html import escape
from typing import Any

import ipywidgets as w

from cogmagic._api.plan import plan
from cogmagic._errors import reason_of
from cogmagic._notebook.panel.clips.results import Results
from cogmagic._notebook.panel.form.advice import advise
from cogmagic._notebook.panel.form.enhancer import Enhancer
from cogmagic._notebook.panel.form.fields import Fields
from cogmagic._notebook.panel.form.rows import form, prompts
from cogmagic._notebook.panel.machine.readings import Reading
from cogmagic._notebook.panel.machine.watch import Watch
from cogmagic._notebook.panel.parts.html import show_html
from cogmagic._notebook.panel.parts.labels import panel_words
from cogmagic._notebook.panel.parts.looks import make
from cogmagic._notebook.panel.parts.page import Page, tooltips
from cogmagic._notebook.panel.runs.progress import RunDisplay
from cogmagic._notebook.panel.runs.queue import Queue
from cogmagic._notebook.panel.runs.runs import Entered, Runs
from cogmagic._notebook.panel.view import View, close
from cogmagic._notebook.panel.zones import button_row, buttons, in_zones, now, zone
from cogmagic._planning.plan import Plan

__all__ = ["Panel", "close_panel", "the_panel"]


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
        self._refreshing = threading.RLock()
        self.fields = Fields(self.refresh, {} if variables is None else variables, defaults or {})
        self.page = Page(self._on_ctrl_enter)
        self.run = RunDisplay(self.page.announce)
        self.results = Results(self.fields, defaults or {}, self._handler, self.run.preview)
        self.enhancer = Enhancer(self.fields, defaults or {}, self.results.browser)
        self.runs = Runs(self.run, self.results.add, self._on_run)
        self.watch = Watch(self.fields, self.runs, self.run, plan, lambda: self.refresh(), read)
        self.queue = Queue(
            {
                "earlier": lambda number: self.runs.move(number, -1),
                "later": lambda number: self.runs.move(number, 1),
                "edit": self._edit,
                "remove": self.runs.remove,
                "clear": lambda _: self.runs.clear(),
            }
        )
        self.advice, self.tokens, self.hint = make(w.HTML), make(w.HTML), make(w.HTML)
        self.generate, self.cancel, self.release = buttons()
        self.generate.on_click(self._handler(self._generate))
        self.cancel.on_click(self._handler(self.runs.cancel))
        self.release.on_click(self._handler(self._release))
        self.page.tooltips = tooltips(self.fields.inputs, self.results.inputs, self.enhancer.inputs)
        unseen = self.page, self.results.browser
        self.view = View([*unseen, in_zones(self._zones())], self.results.record)
        self.view.add_class("cogmagic-panel")
        self.watch.meter.observe(lambda change: self._on_visible(change["new"]), "visible")
        self.refresh()

    def _zones(self) -> tuple[Any, ...]:
        self.hint.add_class("cogmagic-hint")
        examples = self.fields.examples.view
        request = (
            prompts(self.fields.rows, (examples, self.enhancer.toggle), self.tokens),
            self.enhancer.view,
            button_row(self.generate, self.cancel, self.release),
            now(self.run.bar, self.run.status, self.hint, self.run.errors),
            form(self.fields.rows, self.fields.words),
        )
        results = self.results.stage, self.results.clip, self.queue, self.results.gallery
        return (
            zone("request", "Request", request),
            zone("results", "Results", results),
            zone("machine", "Machine", (self.watch.meter, self.advice)),
        )

    def close(self) -> None:
        """Stop the sampler and a run, and take the widgets away."""
        self.watch.close()
        self.runs.close()
        self.enhancer.close()
        close(self.view)

    def refresh(self) -> None:
        """Check what is entered, and plan again; safe in any thread."""
        with self._refreshing:
            self._refresh()

    def _refresh(self) -> None:
        advice = advise(self.fields, self._make_plan)
        self.watch.plan = advice.plan
        # Without a new recommendation the last one stays, greyed, so that the form does not move.
        if advice.html:
            show_html(self.advice, advice.html)
            self.advice.remove_class("cogmagic-stale")
        else:
            self.advice.add_class("cogmagic-stale")
        if advice.tokens is not None:
            show_html(self.tokens, advice.tokens)
        running = self.runs.job is not None
        # The memory of the run will be free at the turn of a queued one, which is planned again.
        queued = running and advice.plan is not None and advice.complete
        self.generate.disabled = not (queued or advice.ready)
        self._show_hint("" if queued else advice.refusal, advice.note)

    def _show_hint(self, refusal: str, note: str) -> None:
        """Say beside Generate why it is off, or what it begins with."""
        refusal = panel_words(refusal)
        self.generate.tooltip = refusal or note or "make the video"
        error = f'<span class="cogmagic-error">{escape(refusal)}</span>'
        show_html(self.hint, error if refusal else escape(note))

    def _handler(self, act: Callable[[], None]) -> Callable[[Any], None]:
        """A click handler that shows errors in the panel."""

        def handle(_: Any) -> None:
            try:
                act()
            except Exception as error:
                self.run.show_error(reason_of(error))

        return handle

    def _generate(self) -> None:
        """Begin a run, or queue it behind the one that is running."""
        self.fields.draw_seed()
        fields = self.fields
        entered = fields.prompt(), fields.options(), fields.entered()
        queued = self.runs.job is not None
        if not queued:
            self.results.make_room()
        self.runs.add(Entered(*entered, count=fields.inputs["num_videos"].value))
        if queued:
            self.page.announce(f"Added to the queue: {len(self.runs.queue)} waiting.")

    def _edit(self, number: int) -> None:
        """Take a request out of the queue, into the form."""
        if (entered := self.runs.remove(number)) is not None:
            self.fields.enter(entered.prompt, entered.names, entered.count)

    def _on_run(self) -> None:
        """Switch the buttons when a run begins or ends, and show the queue."""
        running = self.runs.job is not None
        self.release.disabled, self.cancel.disabled = running, not running
        self.generate.description = "Add to queue" if running else "Generate"
        self.generate.icon = "plus" if running else "play"
        self.queue.show(self.runs.queue)
        self.refresh()

    def _on_ctrl_enter(self, prompt: str) -> None:
        """Generate, with the prompt as the page shows it: its last keys may still be under way."""
        self.fields.inputs["prompt"].value = prompt
        if not self.generate.disabled:
            self.generate.click()

    def _release(self) -> None:
        from cogmagic._api.kernel import release

        self.run.show_text(release())
        self.refresh()

    def _on_visible(self, visible: bool) -> None:
        self.watch.sampler.activate(visible)
        if visible:
            self.results.open()


_PANEL: list[Panel] = []


def the_panel(
    variables: MutableMapping[str, Any] | None = None, defaults: Mapping[str, Any] | None = None
) -> Panel:
    """The kernel's panel; a new one at the first call, and after the user's code closed it."""
    if _PANEL and _PANEL[0].view.comm is None:
        close_panel()
    if not _PANEL:
        _PANEL.append(Panel(variables, defaults=defaults))
    elif variables is not None:
        _PANEL[0].fields.given.variables = variables
    return _PANEL[0]


def close_panel() -> None:
    """Close the kernel's panel, if it has one."""
    while _PANEL:
        _PANEL.pop().close()
