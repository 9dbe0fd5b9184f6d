"""The token limit: prompts are checked before anything heavy is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cogmagic._errors import CheckpointError, RequestError, error_line
from cogmagic._models.request import Request

__all__ = ["check_length", "check_prompts", "ignored_words", "load_tokenizer"]


def check_prompts(request: Request, folder: Path) -> None:
    """Refuse a prompt of which the model would read only the beginning.

    Raises:
        RequestError: naming the words that would be ignored, unless `request.truncate`.
        CheckpointError: for a tokenizer that cannot be loaded.
    """
    check_length(request, load_tokenizer(folder))  # with `truncate`, too: it may be damaged


def check_length(request: Request, tokenizer: Any) -> None:
    """Refuse a prompt that is longer than the model reads, by its `tokenizer`.

    Raises:
        RequestError: naming the words that would be ignored, unless `request.truncate`.
    """
    if request.truncate:
        return
    for label, text in (("prompt", request.prompt), ("negative prompt", request.negative_prompt)):
        count, ignored = ignored_words(tokenizer, text, request.model.max_tokens)
        if ignored:
            raise RequestError(
                f"The {label} has {count} tokens, but {request.model.name} reads"
                f" {request.model.max_tokens}: it would ignore {_shortened(ignored)!r}."
                " Shorten it, or let it be cut with --truncate."
            )


def load_tokenizer(folder: Path) -> Any:
    """The checkpoint's T5 tokenizer.

    Raises:
        CheckpointError: when its files cannot be loaded.
    """
    from cogmagic._pipeline.libraries import quiet_libraries

    with quiet_libraries():
        from transformers import T5Tokenizer

        try:
            return T5Tokenizer.from_pretrained(folder, subfolder="tokenizer", local_files_only=True)
        except Exception as error:  # the tokenizers library raises plain ones
            cause = error_line(error)
            raise CheckpointError(
                f"{folder / 'tokenizer'} cannot be loaded as a T5 tokenizer ({cause})."
                " Download or copy it again."
            ) from None


def ignored_words(tokenizer: Any, text: str, limit: int) -> tuple[int, str]:
    """The number of tokens of `text`, end mark included, and the part of it beyond `limit`."""
    encoded = tokenizer(text, truncation=False, return_offsets_mapping=True, verbose=False)
    ids, offsets = encoded["input_ids"], encoded["offset_mapping"]
    if len(ids) <= limit:
        return len(ids), ""
    # The end mark takes the last place, so the text has limit - 1.
    return len(ids), text[offsets[limit - 1][0] :].strip()


def _shortened(text: str, length: int = 120) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"
