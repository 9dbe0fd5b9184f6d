"""The panel: live memory, the recommendation, the request, and a run that leaves the kernel free.

One panel a kernel; shown twice, it shows the same twice. The work is done in a thread that sets
traits only; what the magics do is done by the same functions with the same options.
"""

from __future__ import annotations

import contextvars
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Mapping, MutableMapping
from html import escape
from typing import TYPE_CHECKING, Any

import ipywidgets as w

from cogmagic._api.live_line import describe
from cogmagic._errors import Cancelled, CogMagicError
from cogmagic._notebook.cell_text import as_cell
from cogmagic._notebook.panel.fields import Fields
from cogmagic._notebook.panel.html import animated, bars, recommendation
from cogmagic._notebook.panel.parts import Marks, Meter, View, close, error_html, player
from cogmagic._notebook.panel.sampler import Reader, Sample, Sampler
from cogmagic._planning.plan import Plan
from cogmagic._progress import Progress
from cogmagic._session.session import session

if TYPE_CHECKING:
    from cogmagic._video.video import Video

__all__ = ["Panel", "close_panel", "the_panel"]


_MOST = 8
"""Earlier results that are kept in the strip."""


_PATIENCE = 30.0
"""Seconds that closing waits for a run to stop."""


_NOTICED = 2**27
"""Bytes of free memory by which the recommendation is made anew."""


class Panel:
    """The widgets, and what they do.

    Args:
        names: the user's variables.
        read: what samples the machine; NVML and torch's counters when it is left out.
        defaults: what the fields begin with, by the names of the options.
    """

    def __init__(
        self,
        names: MutableMapping[str, Any] | None = None,
        read: Callable[[], Sample] | None = None,
        defaults: Mapping[str, Any] | None = None,
    ) -> None:
        self._copies = self._samples = 0
        self._job: threading.Thread | None = None
        self._plan: Plan | None = None
        self._free: tuple[int, ...] = ()
        self._marks = Marks()
        self._said_at = 0.0
        self._stopping = False
        self._refreshing = threading.RLock()
        self.meter = Meter()
        self.fields = Fields(self.refresh, {} if names is None else names, defaults or {})
        self.advice, self.tokens, self.status = w.HTML(), w.HTML(), w.HTML()
        self.bar = w.HTML()
        self.preview = w.HTML(layout=w.Layout(display="none"))
        self.generate = w.Button(description="Generate", button_style="primary", icon="play")
        self.cancel = w.Button(description="Cancel", icon="stop", disabled=True)
        self.release = w.Button(description="Release", icon="eject")
        self.result, self.strip = w.HTML(), w.VBox()
        self.cell = w.Textarea(
            description="Cell", rows=3, layout=w.Layout(display="none", width="auto")
        )
        for button, act in (
            (self.generate, self._generate), (self.cancel, self._cancel),
            (self.release, self._release),
        ):  # fmt: skip
            button.on_click(self._told(act))
        buttons = w.HBox([self.generate, self.cancel, self.release])
        self.view = View(
            [
                self.meter, self.advice, self.fields.view(), self.tokens, buttons, self.bar,
                self.status, self.preview, self.result, self.cell, self.strip,
            ]
        )  # fmt: skip
        self.view.add_class("cogmagic-panel")
        self.sampler = Sampler(read or Reader(), self._sampled)
        self.meter.observe(lambda change: self.sampler.want(change["new"]), "visible")
        self.refresh()

    def close(self) -> None:
        """Stop the sampler and a run, and take the widgets away."""
        self.sampler.close()
        job = self._job
        if job is not None and job is not threading.current_thread():
            self._stopping = True
            session().cancel()
            job.join(_PATIENCE)
        close(self.view)

    def refresh(self) -> None:
        """Check what is entered, and recommend anew; from whatever thread."""
        with self._refreshing:
            self._refresh()

    def _refresh(self) -> None:
        found, advice = None, ""
        try:
            wrong = self.fields.check()
            if not wrong:
                found = self._planned()
                advice = recommendation(found)
            self._set(self.tokens, self._counted())
        except Exception as error:
            wrong = str(error) or type(error).__name__
            by_hand = self.fields.inputs["tier"].value != "auto"
            if by_hand and isinstance(error, CogMagicError):
                self.fields.check(wrong)
            else:
                advice = error_html(wrong)
        self._plan = found
        self._set(self.advice, advice)
        blocked = bool(wrong) or not self.fields.prompt().strip() or self._job is not None
        self.generate.disabled = blocked

    def _planned(self) -> Plan:
        from cogmagic._api.plan import plan

        options = self.fields.options()
        for name in ("compile", "keep", "save", "overwrite"):
            options.pop(name)
        found: Plan = plan(self.fields.prompt() or "any", **options)
        return found

    def _counted(self) -> str:
        """Tokens of the prompt, once there is a tokenizer, which no two threads use at once."""
        from cogmagic._pipeline.tokenizer import ignored_words

        if session().running is not None:
            return str(self.tokens.value)
        loaded, model = session().loaded, self.fields.model()
        if loaded is None or model is None or loaded.model.name != model.name:
            return ""
        tokenizer = loaded.pipe.tokenizer
        count, ignored = ignored_words(tokenizer, self.fields.prompt(), model.max_tokens)
        cut = "; the end would be ignored" if ignored else ""
        return f"<div>{count} of {model.max_tokens} tokens{cut}</div>"

    def _told(self, act: Callable[[], None]) -> Callable[[Any], None]:
        """A handler whose errors appear in the panel."""

        def handle(_: Any) -> None:
            try:
                act()
            except Exception as error:
                self._set(self.status, error_html(f"{type(error).__name__}: {error}"))

        return handle

    def _generate(self) -> None:
        if self._job is not None:
            return
        prompt, options = self.fields.prompt(), self.fields.options()
        entered = self.fields.entered()
        self._marks, self._said_at, self._stopping = Marks(), 0.0, False
        self._show_running(True)
        # The context tells ipykernel which cell's output this is.
        run = contextvars.copy_context().run
        self._job = threading.Thread(
            target=run,
            args=(self._work, prompt, options, entered),
            name="cogmagic-panel",
            daemon=True,
        )
        self._job.start()

    def _cancel(self) -> None:
        if self._job is None:  # it has just ended, and what runs now is not the panel's
            return
        self._stopping = True  # it may not have begun
        session().cancel()
        self._set(self.status, "Stopping…")

    def _release(self) -> None:
        from cogmagic._api.kernel import release

        self._set(self.status, escape(release()))
        self.refresh()

    def _work(self, prompt: str, options: dict[str, Any], entered: dict[str, Any]) -> None:
        from cogmagic._api.generate import generate

        try:
            video = generate(
                prompt, on_progress=self._progress, on_preview=self._show_preview, **options
            )
            self._marks.raise_to(video.report.peak_reserved)
            self._set(self.status, "")
            self._add(video, entered)
        except Cancelled as stopped:
            self._set(self.status, escape(str(stopped)))
        except CogMagicError as error:
            self._set(self.status, error_html(str(error)))
        except Exception as error:
            self._set(self.status, error_html(f"{type(error).__name__}: {error}"))
        finally:
            self._show_running(False)
            self._job = None  # from now on there may be another
            self.refresh()

    def _progress(self, progress: Progress) -> None:
        if self._stopping:
            raise KeyboardInterrupt
        self._marks.look()
        now = time.monotonic()
        if progress.done and progress.done != progress.total and now - self._said_at < 0.2:
            return
        self._said_at = now
        self._show_done(progress.done / progress.total if progress.total else 0.0)
        note = " (the kernel's stop button does not reach this: use Cancel)"
        self._set(self.status, escape(describe(progress, progress.phase_seconds) + note))

    def _show_preview(self, frames: Any) -> None:
        source = "data:image/webp;base64," + b64encode(animated(frames, 8)).decode()
        self.preview.value = f'<img alt="The video as it forms" width="240" src="{source}">'
        self.preview.layout.display = ""

    def _show_running(self, running: bool) -> None:
        self.generate.disabled, self.cancel.disabled = running, not running
        self.release.disabled = running
        self._show_done(0.0)
        if not running:
            self.preview.layout.display = "none"

    def _show_done(self, share: float) -> None:
        bar = f'<progress class="cogmagic-progress" aria-label="Progress" value="{share:.3f}">'
        self._set(self.bar, bar + "</progress>")

    def _add(self, video: Video, entered: dict[str, Any]) -> None:
        """Show a result, and put it at the head of the strip."""
        self.result.value = player(video) + f"<div>{escape(video.facts_line())}</div>"
        poster = w.HTML(f'<img width="120" alt="{escape(repr(video))}" src="{video._poster()}">')
        again = w.Button(description="Use these settings again", layout=w.Layout(width="auto"))
        copy = w.Button(description="Copy as a cell", layout=w.Layout(width="auto"))
        again.on_click(self._told(lambda: self.fields.set(video.prompt, entered)))
        copy.on_click(self._told(lambda: self._copy(as_cell(video.prompt, entered))))
        wrap = w.Layout(flex_flow="row wrap")
        row = w.Box([poster, w.Label(video.path.name), again, copy], layout=wrap)
        gone = self.strip.children[_MOST - 1 :]
        self.strip.children = (row, *self.strip.children[: _MOST - 1])
        for widget in gone:
            close(widget)

    def _copy(self, text: str) -> None:
        self._copies += 1
        self.cell.value, self.cell.layout.display = text, ""
        self.meter.copied = f"{self._copies} {text}"  # so that the same again is a change

    def _sampled(self, sample: Sample) -> None:
        """In the sampler's thread: the bars, and the advice where what is free has changed."""
        self._samples += 1  # so that each is a change, and news for the page
        found = bars(sample, self._plan, self._marks.bytes)
        self.meter.sample = found | {"tick": self._samples}
        free = (sample.ram.available or 0, *(g.available or 0 for g in sample.gpus))
        moved = len(free) != len(self._free) or any(
            abs(now - before) > _NOTICED for now, before in zip(free, self._free, strict=True)
        )
        if self._job is None and moved:
            self._free = free
            self.refresh()

    @staticmethod
    def _set(widget: Any, value: str) -> None:
        if widget.value != value:
            widget.value = value


_PANEL: list[Panel] = []


def the_panel(
    names: MutableMapping[str, Any] | None = None, defaults: Mapping[str, Any] | None = None
) -> Panel:
    """The kernel's panel; a new one if there is none."""
    if not _PANEL:
        _PANEL.append(Panel(names, defaults=defaults))
    elif names is not None:
        _PANEL[0].fields.names = names
    return _PANEL[0]


def close_panel() -> None:
    """Close the kernel's panel, if there is one."""
    while _PANEL:
        _PANEL.pop().close()
