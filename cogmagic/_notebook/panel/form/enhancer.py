"""The panel's button that has a short prompt rewritten at length, and what comes back."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Mapping
from html import escape
from typing import Any

import ipywidgets as w

from cogmagic._api.enhance import Enhanced, Enhancement
from cogmagic._errors import RequestError, plain_line, reason_of
from cogmagic._notebook.cell_text import as_cell, changed_options
from cogmagic._notebook.panel.form.fields import Fields
from cogmagic._notebook.panel.parts.browser import Browser
from cogmagic._notebook.panel.parts.html import error_html, show_html
from cogmagic._notebook.panel.parts.looks import auto_width, make
from cogmagic._notebook.panel.parts.page import in_row
from cogmagic._spelling import typed_in_cell

__all__ = ["Enhancer"]


_SECONDS = 300.0


class Enhancer:
    """The fields of the server, what is sent and received, and what can be done with the result.

    The prompt changes only when *Use as the prompt* is pressed.

    Args:
        fields: the form, for the prompt and the options.
        configured: the kernel's own defaults, with ``endpoint`` and ``endpoint_model``.
        browser: copies the cell.
    """

    def __init__(self, fields: Fields, configured: Mapping[str, Any], browser: Browser) -> None:
        self._fields, self._configured = fields, configured
        self._asked = 0
        self._thread: threading.Thread | None = None
        self.server = make(w.Text, configured.get("endpoint", ""), description="Server")
        self.server.placeholder = "http://localhost:11434/v1"
        self.server.tooltip = "base URL of a server that speaks OpenAI's protocol, such as Ollama"
        self.model = make(
            w.Text, configured.get("endpoint_model", ""), description="Language model"
        )
        self.model.placeholder = "llama3.1"
        self.model.tooltip = "its name on that server"
        self.send = _button("Send the prompt", "to that server, with cogmagic's instructions")
        self.send.on_click(lambda _: self._send())
        self.note, self.exchange = make(w.HTML), make(w.HTML)
        self.cell = make(w.Textarea, description="New cell", rows=5, layout=auto_width())
        self.use = _button("Use as the prompt", "replace the prompt in the form")
        self.use.on_click(lambda _: self._use())
        self.copy = _button("Copy this cell", "put it on the clipboard")
        self.copy.on_click(lambda _: browser.copy_text(self.cell.value, self._say))
        self.cell.tooltip = "the form's cell with the longer prompt"
        for name, field in self.inputs.items():
            field.add_class(in_row(name))
        row = make(w.Box, [self.server, self.model, self.send])
        row.add_class("cogmagic-bar")
        uses = make(w.Box, [self.use, self.copy])
        uses.add_class("cogmagic-bar")
        self.result = make(w.VBox, [self.cell, uses], layout=w.Layout(display="none"))
        parts = [row, self.note, self.exchange, self.result]
        self.view = make(w.VBox, parts, layout=w.Layout(display="none"))
        self.view.add_class("cogmagic-enhancer")
        self.toggle = make(w.ToggleButton, description="Enhance", icon="magic")
        self.toggle.tooltip = "have a language model rewrite it at length"
        self.toggle.observe(self._on_toggle, "value")
        self.toggle.add_class("cogmagic-example")

    @property
    def inputs(self) -> dict[str, Any]:
        """Its fields, by name."""
        return {"endpoint": self.server, "endpoint_model": self.model, "new_cell": self.cell}

    def close(self) -> None:
        """Drop the answer that is waited for."""
        self._asked += 1

    def wait(self) -> None:
        """Wait until the server has answered."""
        if self._thread is not None:
            self._thread.join()

    def _on_toggle(self, change: Any) -> None:
        self.view.layout.display = "" if change["new"] else "none"

    def _send(self) -> None:
        """Ask the server in a thread; an answer to an earlier press is dropped."""
        self._asked += 1
        self.result.layout.display, self.exchange.value = "none", ""
        self._say("Sending…")
        names = self._fields.entered()
        if not self._fields.lock.value:  # each clip has a random seed
            del names["seed"]
        entered = self._fields.prompt(), self._fields.options(), names
        self._thread = threading.Thread(
            target=contextvars.copy_context().run,
            args=(self._work, self._asked, *entered),
            name="cogmagic-enhancer",
            daemon=True,
        )
        self._thread.start()

    @typed_in_cell()
    def _work(
        self, asked: int, prompt: str, options: dict[str, Any], names: dict[str, Any]
    ) -> None:
        try:
            enhancement = self._checked(prompt, options)
            if asked == self._asked:
                show_html(self.exchange, _sent_html(enhancement))
                self._say(f"Waiting for {enhancement.endpoint.url} …")
            enhanced = enhancement.run(_SECONDS)
        except Exception as error:
            text = reason_of(error)
        else:
            if asked == self._asked:
                self._show(enhanced, names)
            return
        if asked == self._asked:
            show_html(self.note, error_html(text))

    def _checked(self, prompt: str, options: Mapping[str, Any]) -> Enhancement:
        if not any(c.isalpha() for c in prompt):
            raise RequestError("Enter the idea of a video as the prompt first.")
        return Enhancement.of_run(prompt, self.server.value, self.model.value, options)

    def _show(self, enhanced: Enhanced, names: dict[str, Any]) -> None:
        self.cell.value = as_cell(enhanced.prompt, changed_options(names, self._configured))
        self.exchange.value += _received_html(enhanced)
        tokens = [f"{enhanced.tokens} of {enhanced.max_tokens} tokens."] * bool(enhanced.tokens)
        self._say(" ".join(["Received.", *tokens, *enhanced.notes]))
        self.result.layout.display = ""

    def _use(self) -> None:
        magic, _, prompt = self.cell.value.partition("\n")
        whole = not magic.startswith("%%")  # its first line was edited away
        self._fields.inputs["prompt"].value = self.cell.value if whole else prompt
        self._say("The prompt is entered.")

    def _say(self, text: str) -> None:
        show_html(self.note, f'<span role="status">{escape(text)}</span>')


def _sent_html(enhancement: Enhancement) -> str:
    """The text that is sent, and the instructions, which unfold."""
    endpoint, text = enhancement.endpoint, escape(enhancement.request.prompt)
    head = escape(f"Sent to {endpoint.url} ({plain_line(endpoint.model)})")
    summary = "<summary>with these instructions</summary>"
    details = f"<details>{summary}<pre>{escape(enhancement.instructions)}</pre></details>"
    return f"<div>{head}:</div><pre>{text}</pre>{details}"


def _received_html(enhanced: Enhanced) -> str:
    """The text as it came."""
    text = "\n".join(map(plain_line, enhanced.received.strip().splitlines()))
    return f"<div>Received:</div><pre>{escape(text)}</pre>"


def _button(description: str, tooltip: str) -> w.Button:
    return make(w.Button, description=description, tooltip=tooltip, layout=auto_width())
