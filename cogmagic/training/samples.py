"""The requests of a validation, checked before anything moves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cogmagic._errors import RequestError
from cogmagic._models.catalog import Model
from cogmagic._models.request import Request
from cogmagic._pipeline.tokenizer import ignored_words
from cogmagic.training.borrowed import BorrowedPipeline

if TYPE_CHECKING:
    import torch

__all__ = ["Sample", "samples_of"]


_EMBEDS = ("prompt_embeds", "negative_prompt_embeds")


@dataclass(frozen=True)
class Sample:
    """One video to be made."""

    request: Request
    embeds: tuple[torch.Tensor, ...] | None
    """Given by the caller."""


def samples_of(requests: object, model: Model, adopted: BorrowedPipeline) -> list[Sample]:
    """What is to be made.

    Raises:
        RequestError: for what the model cannot do.
    """
    if isinstance(requests, str | Mapping) or not isinstance(requests, Sequence):
        raise RequestError("Give a list of requests, also of one: v.generate([...]).")
    if not requests:
        raise RequestError("There is no request: v.generate needs one at least.")
    return [_sample(i, r, model, adopted) for i, r in enumerate(requests)]


def _sample(index: int, wish: object, model: Model, adopted: BorrowedPipeline) -> Sample:
    from cogmagic._models.request import known_options

    if not isinstance(wish, str | Mapping):
        raise RequestError(f"Request {index} is {wish!r:.60}: a prompt, or options with a prompt.")
    options: dict[str, Any] = {"prompt": wish} if isinstance(wish, str) else dict(wish)
    if "dtype" in options:
        raise RequestError("A request of a validation has no dtype: give validation(dtype=...).")
    given = [options.pop(name, None) for name in _EMBEDS]
    prompt = options.pop("prompt", "given as embeddings" if given[0] is not None else "")
    options.setdefault("seed", index)
    request = Request.of(prompt, model, **known_options(options))
    if given[0] is None and given[1] is not None:
        raise RequestError("negative_prompt_embeds without prompt_embeds: give both, or neither.")
    if given[0] is not None:
        guided = request.guidance_scale > 1.0
        if guided and given[1] is None:
            raise RequestError(
                "prompt_embeds without negative_prompt_embeds: give both, or guidance_scale=1."
            )
        wanted = given[: 2 if guided else 1]
        return Sample(request, tuple(_checked(e, model, adopted) for e in wanted))
    if adopted.text_encoder is None or adopted.pipe.tokenizer is None:
        raise RequestError("The pipeline has no text encoder: give prompt_embeds.")
    _check_prompts(request, adopted)
    return Sample(request, None)


def _checked(embeds: Any, model: Model, adopted: BorrowedPipeline) -> torch.Tensor:
    import torch

    wanted = (1, model.max_tokens, int(adopted.transformer.config.text_embed_dim))
    if not isinstance(embeds, torch.Tensor) or tuple(embeds.shape) != wanted:
        found = tuple(getattr(embeds, "shape", ())) or type(embeds).__name__
        raise RequestError(f"Embeddings of {model.name} have shape {wanted}, not {found}.")
    if not embeds.isfinite().all():
        raise RequestError("The embeddings are not all finite numbers.")
    return embeds


def _check_prompts(request: Request, adopted: BorrowedPipeline) -> None:
    limit = request.model.max_tokens
    for text in (request.prompt, request.negative_prompt):
        count, ignored = ignored_words(adopted.pipe.tokenizer, text, limit)
        if ignored and not request.truncate:
            raise RequestError(
                f"A prompt has {count} tokens, but the model reads {limit}: it would ignore"
                f" {ignored[:120]!r}. Shorten it, or give truncate=True."
            )
