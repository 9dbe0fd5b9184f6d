"""The panel's button that has a prompt rewritten, against a server on this machine."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import ipywidgets as w
import pytest

from cogmagic._notebook.panel.widget import Panel
from tests.helpers.chat_server import Chat, completion, serving

LONG = "A red circle moves to the right."
KEY = "sk-secret-0123456789"


@pytest.fixture
def chat(panel: Panel, monkeypatch: pytest.MonkeyPatch) -> Iterator[Chat]:
    """A server, whose address and model are entered, with a key in the environment."""
    monkeypatch.setenv("COGMAGIC_API_KEY", KEY)
    with serving() as server:
        server.answer(completion(LONG))
        panel.enhancer.toggle.value = True
        panel.enhancer.server.value, panel.enhancer.model.value = server.base, "llama"
        panel.fields.inputs["prompt"].value = "a <b>red</b> circle"
        yield server


def sent(panel: Panel) -> Any:
    panel.enhancer.send.click()
    panel.enhancer.wait()
    return panel.enhancer


def test_prompt_changes_only_when_it_is_used(panel: Panel, chat: Chat) -> None:
    panel.fields.inputs["num_inference_steps"].value = 7
    enhancer = sent(panel)
    assert enhancer.view.layout.display == enhancer.result.layout.display == ""
    for text in (f"{chat.base}/chat/completions (llama)", "a &lt;b&gt;red&lt;/b&gt; circle", LONG):
        assert text in enhancer.exchange.value
    assert "9 of 64 tokens." in enhancer.note.value
    line, prompt = enhancer.cell.value.split("\n")
    assert line == "%%cogvideo --model tiny --num-inference-steps 7"
    assert prompt == LONG
    assert panel.fields.prompt() == "a <b>red</b> circle"
    enhancer.use.click()
    assert panel.fields.prompt() == LONG
    enhancer.cell.value = "without its\nmagic"
    enhancer.use.click()
    assert panel.fields.prompt() == "without its\nmagic"


def test_key_is_sent_and_in_no_widget(panel: Panel, chat: Chat) -> None:
    chat.answer(completion(f"A red circle, and {KEY}."))
    sent(panel)
    [(_, headers, _)] = chat.requests
    assert headers["authorization"] == f"Bearer {KEY}"
    assert "and ***." in panel.enhancer.exchange.value
    states = [str(x.get_state()) for x in w.Widget.widgets.values() if _has_open_looks(x)]
    assert len(states) > 100
    assert not any(KEY in state for state in states)


def _has_open_looks(widget: w.Widget) -> bool:
    """Not so for widgets that other tests left behind, whose shared looks a panel has closed."""
    looks = [getattr(widget, name, None) for name in ("layout", "style")]
    return all(look.comm for look in looks if isinstance(look, w.Widget))


def test_cell_is_copied_by_the_page(
    panel: Panel, chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    messages: list[Any] = []
    monkeypatch.setattr(panel.results.browser, "send", lambda *message: messages.append(message))
    sent(panel).copy.click()
    assert messages[0][0]["copy"] == panel.enhancer.cell.value
    panel.results.browser._on_message(None, {"copied": False}, None)
    assert "did not copy it" in panel.enhancer.note.value


@pytest.mark.parametrize(
    ("server", "prompt", "error"),
    [
        ("", "a fox", "No chat endpoint is named, so nothing was sent. Type server http://"),
        ("localhost:1/v1", "a fox", "Type server http://localhost:1/v1"),
        (None, " ", "Enter the idea of a video as the prompt first."),
        (None, "a fox " * 1000, "The text has 5,999 characters"),
    ],
)
def test_errors_name_the_fields_and_nothing_is_sent(
    panel: Panel, chat: Chat, server: str | None, prompt: str, error: str
) -> None:
    if server is not None:
        panel.enhancer.server.value = server
    panel.fields.inputs["prompt"].value = prompt
    assert error in sent(panel).note.value
    assert panel.enhancer.result.layout.display == "none"
    assert chat.requests == []


def test_server_that_fails_leaves_the_prompt(panel: Panel, chat: Chat) -> None:
    chat.answer(b"", 500)
    assert "failed (HTTP 500)" in sent(panel).note.value
    assert "a &lt;b&gt;red" in panel.enhancer.exchange.value
    assert panel.fields.prompt() == "a <b>red</b> circle"


def test_second_press_drops_the_first_answer(panel: Panel, chat: Chat) -> None:
    first_may, before = chat.may_answer, panel.enhancer
    first_may.clear()
    before.send.click()
    first, before._thread = before._thread, None
    assert chat.asked.wait(300)
    chat.may_answer = threading.Event()
    chat.may_answer.set()
    before.model.value = "other"
    sent(panel)
    chat.answer(completion("late"))
    first_may.set()
    assert first is not None
    first.join()
    assert [request[2]["model"] for request in chat.requests] == ["llama", "other"]
    assert "(other)" in panel.enhancer.exchange.value
    assert "(llama)" not in panel.enhancer.exchange.value
