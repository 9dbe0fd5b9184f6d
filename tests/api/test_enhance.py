"""Prompts rewritten by a language model, on a server of this machine."""

from __future__ import annotations

import logging
import os
import signal
import threading
import traceback
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import Image

import cogmagic
from cogmagic import Cancelled, EndpointError, RequestError
from cogmagic._api.captions import as_caption
from cogmagic._notebook.body import check_body
from tests.helpers.chat_server import Chat, completion, serving

SECRET = "sk-not-for-anybody-else"  # noqa: S105 - of this test


@pytest.fixture(scope="module")
def server() -> Iterator[Chat]:
    with serving() as server:
        yield server


@pytest.fixture
def chat(server: Chat, monkeypatch: pytest.MonkeyPatch) -> Chat:
    monkeypatch.setenv("COGMAGIC_API_KEY", SECRET)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # never for this machine
    server.requests.clear()
    server.answer()
    return server


def enhance(chat: Chat, prompt: str = "a red circle", **options: Any) -> cogmagic.Enhanced:
    options = {"endpoint": chat.base, "endpoint_model": "llama"} | options
    return cogmagic.enhance(prompt, **options)


def test_one_request_has_the_text_the_instructions_and_the_key(chat: Chat) -> None:
    chat.answer(completion("A red circle moves to the right."))
    enhanced = enhance(chat, " a red circle\n")
    assert enhanced.prompt == enhanced.received == "A red circle moves to the right."
    assert (enhanced.tokens, enhanced.max_tokens, enhanced.notes) == (9, 64, ())
    [(path, headers, payload)] = chat.requests
    assert path == "/v1/chat/completions"
    assert headers["authorization"] == f"Bearer {SECRET}"
    assert not headers.keys() & {"cookie", "x-amzn-trace-id"}
    assert headers["user-agent"] == f"cogmagic/{cogmagic.__version__}"
    system, user = (message["content"] for message in payload.pop("messages"))
    assert payload == {"model": "llama"}
    assert (system, user) == (enhanced.instructions, enhanced.sent) == (system, "a red circle")


@pytest.mark.parametrize("path", ["", "/", "/v1/", "/v1/chat/completions"])
def test_base_url_may_have_the_rest_of_the_path_or_none(chat: Chat, path: str) -> None:
    enhance(chat, endpoint=chat.base.removesuffix("/v1") + path)
    assert chat.requests[0][0] == "/v1/chat/completions"


def test_without_a_key_no_other_token_is_sent(chat: Chat, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COGMAGIC_API_KEY")
    monkeypatch.setenv("HF_TOKEN", "hf_of_the_hub")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-another-server")
    enhance(chat)
    assert "authorization" not in chat.requests[0][1]
    chat.answer(b"", 401)
    with pytest.raises(EndpointError, match="asks for a key"):
        enhance(chat)


def test_key_is_in_no_error_traceback_log_or_result(
    chat: Chat, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    echo = f"key {SECRET} is wrong"
    chat.answer(b'{"error": {"message": "%s"}}' % echo.encode(), 401)
    with pytest.raises(EndpointError, match=r"\(HTTP 401: key \*\*\* is wrong\)") as raised:
        enhance(chat)
    with pytest.raises(EndpointError, match="No answer from") as unreached:
        enhance(chat, endpoint="http://127.0.0.1:9/v1")
    for error in (raised.value, unreached.value):
        shown = traceback.TracebackException.from_exception(error, capture_locals=True)
        ours = [one for one in shown.stack if "cogmagic/" in one.filename]
        assert ours
        assert not [one for one in ours if SECRET in str(one.locals)]
        assert error.__context__ is None
    chat.answer(completion(f"A fox. {echo}"))
    enhanced = enhance(chat)
    assert enhanced.received == "A fox. key *** is wrong"
    assert SECRET not in repr(enhanced) + caplog.text
    assert "POST" in caplog.text


@pytest.mark.parametrize(
    ("status", "body", "headers", "message"),
    [
        (404, b'{"error": "model not found"}', {}, r"no model 'llama' \(HTTP 404: model not found"),
        (429, b"", {"Retry_After": "20"}, "Try again in 20 s"),
        (503, b"<html>", {"Content_Type": "text/html"}, r"failed \(HTTP 503\)\. Try again later"),
        (400, b'{"detail": "bad\\nmodel"}', {}, "HTTP 400: bad model"),
        (204, b"", {}, "without a chat completion"),
        (200, b"<html>log in</html>", {"Content_Type": "text/html"}, r"\(text/html, 19 bytes\)"),
        (200, b"[" * 100_000, {}, "without a chat completion"),
        (200, b'{"choices": []}', {}, "without a chat completion"),
        (200, b'{"choices": [{"message": {"content": 5}}]}', {}, "without a chat completion"),
        (200, b'{"error": {"message": "out of credit"}}', {}, "out of credit"),
        (200, completion(None), {}, "returned no text"),
        (200, completion(" \n--- %% "), {}, "returned no text"),
        (200, completion("<think>A fox", finish_reason="length"), {}, "only its reasoning, cut at"),
        (200, completion("fox " * 1500), {}, "returned 5,999 characters"),
        (200, b" " * 1_100_000, {}, "more than 1 MB"),
        (200, b"text", {"Content_Encoding": "gzip"}, "No answer from .*DecodingError"),
    ],
)
def test_an_answer_without_a_prompt_is_one_line(
    chat: Chat, status: int, body: bytes, headers: dict[str, str], message: str
) -> None:
    chat.answer(body, status, **headers)
    with pytest.raises(EndpointError, match=message) as raised:
        enhance(chat)
    assert "\n" not in str(raised.value)


def test_a_redirect_gets_neither_key_nor_text(chat: Chat) -> None:
    other = "http://localhost:1/v2/chat/completions?key=x"
    for status in (301, 302, 303, 307, 308):
        chat.answer(b"", status, Location=other)
        with pytest.raises(EndpointError, match=r'type endpoint="http://localhost:1/v2"$'):
            enhance(chat)
    chat.answer(b"", 307, Location="/v1/chat/completions")
    chat.requests.clear()
    with pytest.raises(EndpointError, match="redirects to 127"):
        enhance(chat)
    assert len(chat.requests) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"endpoint": None}, 'No chat endpoint is named, .* Type endpoint="http://localhost:11434'),
        ({"endpoint": "localhost:11434/v1"}, 'Type endpoint="http://localhost:11434/v1"'),
        ({"endpoint": "api.example.com"}, 'Type endpoint="https://api.example.com"'),
        ({"endpoint": "ftp://example.com"}, "not the URL of a server"),
        ({"endpoint": "http://localhost:99999/v1"}, "not the URL of a server"),
        ({"endpoint": "https://example .com/v1"}, "not the URL of a server"),
        ({"endpoint": "http://"}, "not the URL of a server"),
        ({"endpoint": f"https://me:{SECRET}@example.com/v1"}, "on example.com has a user name"),
        ({"endpoint": f"https://example.com/v1?key={SECRET}"}, "on example.com has a user name"),
        ({"endpoint": f"http://localhost:x{SECRET}"}, "not the URL of a server"),
        ({"endpoint": "http://192.168.0.5:11434/v1"}, "would send the key .* unencrypted"),
        ({"endpoint": "http://127.0.0.1.example.com/v1"}, "would send the key .* unencrypted"),
        ({"endpoint_model": ""}, "No model of 127.0.0.1 is named"),
        ({"prompt": "  "}, "The prompt is empty"),
        ({"prompt": "fox " * 2000}, "7,999 characters, but at most 4,000"),
        ({"model": "5c"}, "Did you mean '5b'"),
        ({"frames": 50, "model": "5b"}, "50"),
        ({"timeout": 0}, "timeout=0 must be above 0 and at most 3600 seconds"),
    ],
)
def test_what_cannot_be_used_is_refused_before_anything_is_sent(
    chat: Chat, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(RequestError, match=message) as raised:
        enhance(chat, **options)
    assert SECRET not in str(raised.value)
    assert chat.requests == []


def test_a_key_that_no_header_can_hold_is_refused_unseen(
    chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COGMAGIC_API_KEY", f"{SECRET}\nX-Other: 1")
    with pytest.raises(RequestError, match="COGMAGIC_API_KEY has spaces, line ends") as raised:
        enhance(chat)
    assert SECRET not in str(raised.value)
    monkeypatch.setenv("COGMAGIC_API_KEY", f"{SECRET}\n")  # as files end
    enhance(chat)
    assert chat.requests[0][1]["authorization"] == f"Bearer {SECRET}"


def test_http_to_another_machine_is_noted(chat: Chat, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COGMAGIC_API_KEY")
    host, port = chat.server_address[:2]
    monkeypatch.setenv("http_proxy", f"http://{host!s}:{port}")  # which answers for it
    monkeypatch.setenv("no_proxy", "")
    enhanced = enhance(chat, endpoint="http://example.invalid/v1")
    assert enhanced.notes[-1].startswith("http is not encrypted")


def test_a_slow_server_and_an_interrupt_end_the_request(chat: Chat) -> None:
    with serving() as slow:
        slow.may_answer.clear()
        with pytest.raises(EndpointError, match=r"did not answer within 0\.1 s"):
            enhance(slow, timeout=0.1)
        slow.may_answer.set()
    chat.asked.clear()
    chat.may_answer.clear()

    def press() -> None:
        chat.asked.wait()
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=press).start()
    with pytest.raises(Cancelled, match="Stopped before") as raised:
        enhance(chat)
    chat.may_answer.set()
    assert raised.value.__context__ is None


@pytest.mark.parametrize(
    ("text", "prompt", "removed"),
    [
        ("A fox.\n\nIt runs.", "A fox. It runs.", ()),
        ("<think>\nHm: a fox?\n</think>\n\nA fox.", "A fox.", ("reasoning",)),
        ("Sure! Here is the caption:\n\nA fox.", "A fox.", ("an introduction",)),
        ('**"A fox & a hare"**', "A fox & a hare", ("markup", "quotes")),
        ("```text\nA fox.\n```", "A fox.", ("markup",)),
        ("A <b>fox</b> &amp; <lora:fox:0.8>", "A fox &", ("HTML",)),
        ("A\x1b[31m fox\u202e.\ud800", "A fox.", ("control characters",)),
        ("%%cogvideo\n%cogvideo release", "cogvideo cogvideo release", ("signs that begin lines",)),
        ("# Title\n- A fox", "Title A fox", ("signs that begin lines",)),
        ("A fox --seed 5 -- and a hare", "A fox seed 5 -- and a hare", ("hyphens of options",)),
        ('"%%bash"', "bash", ("quotes", "signs that begin lines")),
    ],
)
def test_caption_is_one_line_without_magics_and_options(
    text: str, prompt: str, removed: tuple[str, ...]
) -> None:
    assert as_caption(text) == (prompt, removed)


PIECES = [*"%-–!\n \"'<>/&;`*a=", "--seed ", "%cogvideo ", "release"]


@given(st.lists(st.sampled_from(PIECES), max_size=12))
def test_no_caption_is_refused_as_the_body_of_a_cell(pieces: list[str]) -> None:
    caption, _ = as_caption("".join(pieces))
    assume(any(c.isalpha() for c in caption))
    assert "\n" not in caption
    check_body("", caption)


def test_a_prompt_that_would_be_cut_is_noted(chat: Chat) -> None:
    long = "red circle " * 40
    chat.answer(completion(long, finish_reason="length"))
    notes = enhance(chat).notes
    assert notes[0].startswith("It has 81 tokens, but tiny reads 64 and would ignore 'circle red")
    assert notes[1] == "The server cut the text at its own limit."
    assert "Shorten" not in enhance(chat, truncate=True).notes[0]
    chat.answer(completion(long * 3))
    unknown = enhance(chat, model="5b")  # whose tokenizer is not on this machine
    assert unknown.tokens is None
    assert unknown.notes[0].startswith("It has about 343 tokens, but 5b reads 226 and may ignore")


def test_instructions_are_for_the_model_and_its_inputs(chat: Chat) -> None:
    texts = [enhance(chat, model=name).instructions for name in ("5b", "5b-i2v", "1.5-5b")]
    assert ["picture" in text for text in texts] == [False, True, False]
    assert "71 to 142 words" in texts[0]
    assert "one unbroken shot of 6 seconds" in texts[0]
    assert "one unbroken shot of 5 seconds" in texts[2]
    picture = Image.new("RGB", (96, 96))
    assert "picture" in enhance(chat, model="tiny-i2v", image=picture).instructions
