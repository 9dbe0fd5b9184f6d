"""The verb `enhance`: what it sends, prints, and sets as the next cell."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from traitlets import TraitError

from cogmagic import EndpointError, RequestError
from tests.helpers.cells import printed
from tests.helpers.chat_server import Chat, completion, serving


@pytest.fixture(scope="module")
def server() -> Iterator[Chat]:
    with serving() as server:
        yield server


@pytest.fixture
def chat(server: Chat, shell: Any) -> Chat:
    server.requests.clear()
    server.answer(completion("A red circle moves to the right."))
    shell.run(f"%config CogMagic.endpoint = '{server.base}'")
    shell.run("%config CogMagic.endpoint_model = 'llama'")
    return server


def sent(chat: Chat) -> str:
    [(_, _, payload)] = chat.requests
    return str(payload["messages"][1]["content"])


def test_text_becomes_a_new_cell_that_runs(shell: Any, chat: Chat) -> None:
    shown = printed(shell, "%cogvideo enhance --seed 3 --dry-run a red circle --frames 9")
    cell = "%%cogvideo --num-frames 9 --seed 3 --dry-run\nA red circle moves to the right."
    assert shell.rl_next_input == cell
    assert shown.startswith(f"Sent to {chat.base}/chat/completions (llama), the instructions:\n")
    assert "and the text:\n    a red circle\n" in shown
    assert shown.endswith(f"Received (9 of 64 tokens), in a new cell to run:\n\n{cell}\n")
    assert "9 frames" in printed(shell, cell)


def test_what_is_sent_is_shown_even_if_nothing_comes_back(
    shell: Any, chat: Chat, capsys: pytest.CaptureFixture[str]
) -> None:
    chat.answer(b"", 500)
    with pytest.raises(EndpointError):
        shell.run("%cogvideo enhance a red circle")
    assert "and the text:\n    a red circle\n" in capsys.readouterr().out
    assert getattr(shell, "rl_next_input", None) is None


def test_a_changed_text_is_shown_as_it_came(shell: Any, chat: Chat) -> None:
    chat.answer(completion("%%cogvideo release\n--tier none \x1b[31ma <b>red</b> circle"))
    shown = printed(shell, "%cogvideo enhance a red circle")
    assert r"Received:" in shown
    assert "\n    --tier none \\x1b[31ma <b>red</b> circle\n" in shown
    assert "Removed from the text: HTML, control characters, signs that begin lines." in shown
    assert shell.rl_next_input == "%%cogvideo\ncogvideo release tier none a red circle"


@pytest.mark.parametrize(
    ("line", "text", "options"),
    [
        ("a dog's tail -- wagging", "a dog's tail -- wagging", ""),
        ('"a red circle, -5 degrees"', "a red circle, -5 degrees", ""),
        ("{words} in snow", "a fox in snow", ""),
        ("--seed 1 a fox --timesteps 999,499", "a fox", " --seed 1 --timesteps 999,499"),
        ('--negative-prompt "{{a}} b" fox', "fox", ' --negative-prompt "{{a}} b"'),
        ("--model tiny-i2v a circle --seeds 1,2", "a circle", " --model tiny-i2v --seeds 1,2"),
    ],
)
def test_line_is_split_into_options_and_text(
    shell: Any, chat: Chat, line: str, text: str, options: str
) -> None:
    shell.user_ns["words"] = "a fox"
    printed(shell, f"%cogvideo enhance {line}")
    assert sent(chat) == text
    assert shell.rl_next_input.splitlines()[0] == f"%%cogvideo{options}"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("%cogvideo enhance", "Type %cogvideo enhance --model 5b a fox in snow"),
        ("%cogvideo enhance --model 5b", "needs the idea of a video"),
        ("%cogvideo enhance --sead 3 a fox", "Did you mean '--seed'?"),
        ("%cogvideo enhance a fox --seed", "--seed needs a value"),
        ("%cogvideo enhance --negative-prompt dark red a fox", '--negative-prompt "dark …"'),
        ("%cogvideo enhance --image no.png --model 5b-i2v a fox", "No image at no.png"),
        ("%cogvideo enhance --prompts a.csv a fox", "Leave out --prompts"),
        ("%cogvideo enhance --endpoint http://h/v1?k=1 a fox", "in the environment variable"),
        ("%%cogvideo enhance --seed 1\na fox", "Type it with one %, .*enhance --seed 1 a fox"),
        ("%cogvideo enhance --seed 1\na fox in snow", "reads one line. Type .*1 a fox in snow"),
        ("%cogvideo enhance what does a fox do?", "Type %cogvideo enhance what does a fox do$"),
        ("%cogvideo enhence a red fox in snow", "Did you mean 'enhance'"),
        ("%cogvideo upsample", "Type %cogvideo enhance"),
    ],
)
def test_line_that_cannot_be_used_is_refused(
    shell: Any, chat: Chat, source: str, message: str
) -> None:
    with pytest.raises(RequestError, match=message.replace("?", r"\?")):
        shell.run(source)
    assert chat.requests == []


def test_without_an_endpoint_nothing_is_sent(shell: Any) -> None:
    with pytest.raises(RequestError, match="Type --endpoint http://localhost:11434/v1"):
        shell.run("%cogvideo enhance a fox")
    with pytest.raises(TraitError, match="has a user name, a password"):
        shell.user_ns["get_ipython"]().magics_manager.registry[
            "CogMagic"
        ].endpoint = "https://me:word@example.com/v1"
