"""Prompts as embeddings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from cogmagic._models.request import Request
from cogmagic._pipeline.finite import FiniteCheck
from cogmagic._pipeline.prompt_cache import prompts_of
from cogmagic._progress import Clock

if TYPE_CHECKING:
    import torch

__all__ = ["OnEncoded", "embeddings_of", "encode_texts"]


OnEncoded = Callable[["list[torch.Tensor]"], None]
"""Called with new embeddings: the prompt's and, with guidance, the negative prompt's."""


def embeddings_of(
    pipe: Any,
    request: Request,
    clock: Clock,
    finite: FiniteCheck,
    embeddings: tuple[torch.Tensor, ...] | None,
    on_encoded: OnEncoded | None,
) -> tuple[torch.Tensor, ...]:
    """The checked embeddings of the prompts, encoded unless they are given.

    Args:
        pipe: placed on its device.
        request: has the prompts.
        clock: reports the phase.
        finite: checks the embeddings.
        embeddings: those of the prompts, if they were encoded before.
        on_encoded: called with embeddings that were made here.

    Raises:
        NonFiniteError: for NaN or infinity in the embeddings.
    """
    new = embeddings is None
    if embeddings is None:
        clock.phase("encode")
        embeddings = _encode(pipe, request)
    for embeds in embeddings:
        finite(embeds, "The text encoder computed")
    finite.read()  # before they are cached
    if new and on_encoded is not None:
        on_encoded(list(embeddings))
    return embeddings


def _encode(pipe: Any, request: Request) -> tuple[torch.Tensor, ...]:
    """Embeddings of the prompt and, with guidance, the negative one: each [1, tokens, width]."""
    device, tokens = pipe._execution_device, request.model.max_tokens
    return tuple(_encode_text(pipe, text, tokens, device) for text in prompts_of(request))


def _encode_text(pipe: Any, text: str, max_tokens: int, device: Any) -> torch.Tensor:
    """The embeddings [1, tokens, width] of one text, on the pipeline's `device`."""
    embeds: torch.Tensor
    embeds, _ = pipe.encode_prompt(
        text,
        do_classifier_free_guidance=False,
        max_sequence_length=max_tokens,
        device=device,
    )
    return embeds


def encode_texts(
    pipe: Any,
    texts: Sequence[str],
    max_tokens: int,
    clock: Clock,
    receive: Callable[[str, torch.Tensor], None],
) -> None:
    """Encode texts one by one, as `embeddings_of` does, with a step of the clock for each.

    Args:
        pipe: placed on its device.
        texts: different texts.
        max_tokens: the model's.
        clock: reports the steps.
        receive: called with each text and its embeddings [1, tokens, width] in host memory, unless
            they contain NaN or infinity; a run that needs those fails.
    """
    clock.phase("encode", len(texts))
    device = pipe._execution_device  # once: diffusers looks at every module of the pipeline
    for done, text in enumerate(texts, 1):
        embeds = _encode_text(pipe, text, max_tokens, device).cpu()
        if embeds.isfinite().all():
            receive(text, embeds)
        clock.step(done, len(texts))
