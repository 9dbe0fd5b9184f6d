"""The verb `enhance`: its line, and the new cell with the longer prompt."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import indent, wrap
from typing import Any

from cogmagic._api.enhance import Enhanced, Enhancement
from cogmagic._api.options.enhance import enhance_options
from cogmagic._api.options.option import Option
from cogmagic._api.options.parser import flags_of, parse_line, unknown_option
from cogmagic._api.options.words import loose_words, without_quotes
from cogmagic._errors import RequestError, plain_line
from cogmagic._notebook.cell_text import as_cell

__all__ = ["run_enhance"]


_MAGIC = "%cogvideo enhance"


_SECONDS = 300.0


_WIDTH = 96


def run_enhance(kernel: Any, line: str) -> str:
    """Have the text of a line rewritten, and set a cell with it as the next input.

    Returns:
        What was received, and the cell. What is sent is printed before.

    Raises:
        CogMagicError: for a line or an endpoint that cannot be used, with what to type instead.
        Cancelled: when interrupted.
    """
    typed, text = _split(line, enhance_options())
    given = {name: value for name, value in typed.items() if not name.startswith("endpoint")}
    options = kernel.with_defaults(given)
    enhancement = Enhancement.of_run(
        text,
        typed.get("endpoint", kernel.endpoint),
        typed.get("endpoint_model", kernel.endpoint_model),
        options,
    )
    print(_outgoing(enhancement), flush=True)  # noqa: T201 - before anything is sent
    enhanced = enhancement.run(_SECONDS)
    cell = as_cell(enhanced.prompt, given)
    kernel.shell.set_next_input(cell)
    return f"{_incoming(enhanced)}\n\n{cell}"


def _split(line: str, table: Sequence[Option]) -> tuple[dict[str, Any], str]:
    """The options of a line, by Python name, and the text around them.

    Raises:
        RequestError: for no text, an option that does not exist, or one for several prompts.
    """
    words, flags = loose_words(line), flags_of(table)
    options, text = list[str](), list[str]()
    while words:
        word = words.pop(0)
        flag, equals, value = word.partition("=")
        if flag not in flags:
            if word.startswith("--") and word.strip("-"):
                raise RequestError(unknown_option(word, flags))
            text.append(word)
            continue
        options.append(word)
        if flags[flag].metavar is not None and not equals and words:
            value = words.pop(0)
            options.append(value)
        is_open = flags[flag].metavar == "TEXT" and value[:1] not in ("'", '"')
        if is_open and words and words[0] not in flags:
            raise RequestError(f'A value with spaces needs quotes: {flag} "{value} …"')
    parsed = parse_line(" ".join(options), _MAGIC, table)
    if "prompts" in parsed:
        raise RequestError(f"{_MAGIC} takes one prompt, on its line. Leave out --prompts.")
    prompt = without_quotes(" ".join(text))
    if not any(c.isalpha() for c in prompt):
        raise RequestError(
            f"{_MAGIC} needs the idea of a video. Type {_MAGIC} --model 5b a fox in snow"
        )
    return parsed, prompt


def _outgoing(enhancement: Enhancement) -> str:
    endpoint = enhancement.endpoint
    return (
        f"Sent to {endpoint.url} ({plain_line(endpoint.model)}), the instructions:\n"
        f"{_shown(enhancement.instructions)}\nand the text:\n{_shown(enhancement.request.prompt)}"
    )


def _incoming(enhanced: Enhanced) -> str:
    """What came back, where the cell below does not show all of it, and the notes."""
    tokens = f" ({enhanced.tokens} of {enhanced.max_tokens} tokens)" if enhanced.tokens else ""
    received = "\n".join(map(plain_line, enhanced.received.strip().splitlines()))
    changed = " ".join(enhanced.received.split()) != enhanced.prompt
    above = f"Received:\n{_shown(received)}\n" if changed else ""
    name = "Its prompt" if changed else "Received"
    return "\n".join((f"{above}{name}{tokens}, in a new cell to run:", *enhanced.notes))


def _shown(text: str) -> str:
    lines = [line for one in text.splitlines() for line in wrap(one, _WIDTH) or [""]]
    return indent("\n".join(lines), "    ")
