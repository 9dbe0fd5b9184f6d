"""`enhance`: a short prompt rewritten at length by a language model that the user names."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from inspect import signature
from typing import Any

from cogmagic._api.captions import WORDS_PER_TOKEN, as_caption, instructions
from cogmagic._api.endpoint import Endpoint, Reply
from cogmagic._api.generate import DEFAULT_MODEL
from cogmagic._errors import CogMagicError, EndpointError, RequestError
from cogmagic._interrupts import interrupts_deferred
from cogmagic._models.find import find_model, local_folder
from cogmagic._models.inputs import placeholders
from cogmagic._models.real_numbers import real_number
from cogmagic._models.request import Request
from cogmagic._models.unknown_words import unknown_words
from cogmagic._spelling import errors_for_python

__all__ = ["Enhanced", "Enhancement", "enhance"]


_MOST_CHARACTERS = 4000
"""Characters of a prompt; 226 tokens of English have about 1100."""


_MOST_SECONDS = 3600


@dataclass(frozen=True)
class Enhanced:
    """A rewritten prompt, what was sent for it, and what came back."""

    prompt: str
    """The new prompt, on one line."""
    received: str
    """The server's text as it came."""
    sent: str
    instructions: str
    """What was sent with the text."""
    url: str
    endpoint_model: str
    tokens: int | None
    """Tokens of the new prompt; None where the model's tokenizer is not on this machine."""
    max_tokens: int
    """Tokens that the model reads."""
    notes: tuple[str, ...] = ()
    """Sentences on what was removed from the text, and on what a run would do with it."""


@dataclass(frozen=True)
class Enhancement:
    """A text that has been checked and can be sent."""

    endpoint: Endpoint
    request: Request

    @classmethod
    def of(
        cls, prompt: str, endpoint: Any, endpoint_model: Any, model: str, **options: Any
    ) -> Enhancement:
        """The enhancement of a prompt; `options` are those of `Request.of`.

        Raises:
            CogMagicError: for a text, an endpoint or an option that cannot be used.
        """
        reader = find_model(model)
        request = Request.of(prompt, reader, **(placeholders(reader.task, options) | options))
        if len(request.prompt) > _MOST_CHARACTERS:
            raise RequestError(
                f"The text has {len(request.prompt):,} characters, but at most {_MOST_CHARACTERS:,}"
                " are sent. Shorten it to the idea."
            )
        return cls(Endpoint.of(endpoint, endpoint_model), request)

    @classmethod
    def of_run(
        cls, prompt: str, endpoint: Any, endpoint_model: Any, options: Mapping[str, Any]
    ) -> Enhancement:
        """The enhancement of a prompt for a run with these options of `generate`."""
        known = signature(Request.of).parameters
        given = {n: v for n, v in options.items() if n in known and v is not None}
        return cls.of(prompt, endpoint, endpoint_model, **given)

    @property
    def instructions(self) -> str:
        """What is sent with the text."""
        return instructions(self.request)

    def run(self, timeout: float) -> Enhanced:
        """Send the text, and check what comes back.

        Raises:
            EndpointError: when the server cannot be reached, or gives no prompt.
            Cancelled: when interrupted.
        """
        messages = [
            {"role": "system", "content": self.instructions},
            {"role": "user", "content": self.request.prompt},
        ]
        reply = self.endpoint.reply(messages, timeout)
        prompt, removed = as_caption(reply.text)
        _check(prompt, reply, removed, self.endpoint)
        tokens: int | None = None
        notes: tuple[str, ...] = ()
        with suppress(KeyboardInterrupt), interrupts_deferred():  # it imports; the text has come
            tokens, notes = _tokens(replace(self.request, prompt=prompt))
        if removed:
            notes = (f"Removed from the text: {', '.join(removed)}.", *notes)
        if reply.is_cut:
            notes = (*notes, "The server cut the text at its own limit.")
        if self.endpoint.is_readable_by_others:
            notes = (*notes, "http is not encrypted: others on the network can read the text.")
        return Enhanced(
            prompt=prompt,
            received=reply.text,
            sent=self.request.prompt,
            instructions=self.instructions,
            url=self.endpoint.url,
            endpoint_model=self.endpoint.model,
            tokens=tokens,
            max_tokens=self.request.model.max_tokens,
            notes=notes,
        )


@errors_for_python()
def enhance(
    prompt: str,
    *,
    endpoint: str | None = None,
    endpoint_model: str | None = None,
    model: str = DEFAULT_MODEL,
    timeout: float = 300.0,
    **options: Any,
) -> Enhanced:
    """Have a language model rewrite a short prompt in the long form that CogVideoX was trained on.

    One request to a server that you name, with OpenAI's protocol (chat completions). It contains
    the prompt, cogmagic's instructions, and the key in the environment variable COGMAGIC_API_KEY,
    if that is set; no picture, video or option. No video is made: pass `Enhanced.prompt` on to
    `generate`.

    Args:
        prompt: a short prompt.
        endpoint: base URL of the server, such as ``http://localhost:11434/v1``.
        endpoint_model: the language model's name on that server.
        model: the CogVideoX model that is to read the prompt: short name, hub id or folder.
        timeout: seconds until the whole answer must have come.
        **options: those of the video, as `Request.of` takes them; they are checked, and the
            instructions mention a first frame or a clip.

    Raises:
        RequestError: for a text, an endpoint or an option that cannot be used; nothing is sent.
        EndpointError: when the server cannot be reached, or gives no prompt.
        Cancelled: when interrupted.
    """
    seconds = real_number("timeout", timeout)
    if not 0 < seconds <= _MOST_SECONDS:
        raise RequestError(
            f"timeout={timeout!r:.80} must be above 0 and at most {_MOST_SECONDS} seconds."
        )
    return Enhancement.of(prompt, endpoint, endpoint_model, model, **options).run(seconds)


def _check(prompt: str, reply: Reply, removed: tuple[str, ...], endpoint: Endpoint) -> None:
    """Refuse a text that is no prompt."""
    if not any(c.isalpha() for c in prompt):
        what = "only its reasoning" if "reasoning" in removed else "no text"
        limit = ", cut at its own limit" if reply.is_cut else ""
        raise EndpointError(
            f"{endpoint.model} on {endpoint.url} returned {what}{limit}. Try again, or name another"
            " model with --endpoint-model."
        )
    if len(prompt) > _MOST_CHARACTERS:
        raise EndpointError(
            f"{endpoint.model} on {endpoint.url} returned {len(prompt):,} characters; a prompt has"
            " about 1,100. Try again, or name another model with --endpoint-model."
        )


def _tokens(request: Request) -> tuple[int | None, tuple[str, ...]]:
    """The number of the prompt's tokens if it is known, and what a run would do with the prompt."""
    from cogmagic._pipeline.tokenizer import ignored_words, load_tokenizer

    model, folder = request.model, None
    try:
        folder = local_folder(model)
        if folder is not None:
            tokenizer = load_tokenizer(folder)
            tokens, ignored = ignored_words(tokenizer, request.prompt, model.max_tokens)
            unknown = unknown_words(request, folder)
            notes = (f"{unknown}.",) if unknown else ()
            return tokens, (*notes, _too_long(f"{tokens}", request, ignored)) if ignored else notes
    except CogMagicError:  # a damaged checkpoint, of which a run says more
        pass
    words = len(request.prompt.split())
    if words <= model.max_tokens * WORDS_PER_TOKEN:
        return None, ()
    estimate = f"about {words / WORDS_PER_TOKEN:.0f}"
    return None, (_too_long(estimate, request),)


def _too_long(tokens: str, request: Request, ignored: str = "") -> str:
    outcome = f"would ignore {ignored[:120]!r}" if ignored else "may ignore its end"
    advice = (
        "" if request.truncate else " Shorten it, enhance it again, or let it be cut: --truncate."
    )
    reads = f"{request.model.name} reads {request.model.max_tokens}"
    return f"It has {tokens} tokens, but {reads} and {outcome}.{advice}"
