"""The requests of a validation, checked before anything moves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cogmagic._errors import RequestError
from cogmagic._models.model import Model
from cogmagic._models.request import Request, known_options
from cogmagic._pipeline.prompt_cache import prompts_of
from cogmagic._pipeline.tokenizer import ignored_words
from cogmagic.training.borrowed import BorrowedPipeline

if TYPE_CHECKING:
    import torch

__all__ = ["ValidationSample", "check_no_adapters", "samples_of"]


_EMBEDS = ("prompt_embeds", "negative_prompt_embeds")


@dataclass(frozen=True)
class ValidationSample:
    """One video to make."""

    request: Request
    embeds: tuple[torch.Tensor, ...] | None
    """Prompt embeddings from the caller, each [1, tokens, width]; None to encode the prompts."""


def samples_of(
    requests: object, model: Model, borrowed: BorrowedPipeline
) -> list[ValidationSample]:
    """The videos to make.

    Args:
        requests: prompts, or mappings of options; see `Validation.generate`.
        model: the trained model.
        borrowed: the pipeline.

    Raises:
        RequestError: for what the model cannot do.
    """
    if isinstance(requests, str | Mapping) or not isinstance(requests, Sequence):
        raise RequestError("Pass a list of requests, even for a single one: v.generate([...]).")
    if not requests:
        raise RequestError("The list has no request: v.generate needs at least one.")
    return [_sample(i, request, model, borrowed) for i, request in enumerate(requests)]


def check_no_adapters(request: Request) -> None:
    """Refuse LoRA adapters, a preset's as well: a validation shows the trainer's own pipeline.

    And a video to begin from or to extend, which would show less of it.

    Raises:
        RequestError: with their names.
    """
    if request.video is not None:
        raise RequestError("A validation begins from noise, not from a video. Leave out video.")
    if request.extend is not None:
        raise RequestError("A validation extends no clip. Leave out extend, and pass an image.")
    if request.loras:
        source = f"preset {request.preset}" if request.preset else "lora"
        raise RequestError(
            f"A validation adds no LoRA adapters ({', '.join(a.name for a in request.loras)})."
            f" Leave out {source}, or load them into the training's pipeline."
        )


def _sample(index: int, spec: object, model: Model, borrowed: BorrowedPipeline) -> ValidationSample:
    if not isinstance(spec, str | Mapping):
        raise RequestError(
            f"Request {index} is {spec!r:.60}. Pass a prompt, or options with a prompt."
        )
    options: dict[str, Any] = {"prompt": spec} if isinstance(spec, str) else dict(spec)
    if "dtype" in options:
        raise RequestError("A request of a validation has no dtype: pass validation(dtype=...).")
    embeds = [options.pop(name, None) for name in _EMBEDS]
    prompt = options.pop("prompt", "given as embeddings" if embeds[0] is not None else "")
    options.setdefault("seed", index)
    request = Request.of(prompt, model, **known_options(options))
    check_no_adapters(request)
    if embeds[0] is not None:
        return ValidationSample(request, _checked_embeds(embeds, request, borrowed.transformer))
    if embeds[1] is not None:
        raise RequestError("negative_prompt_embeds without prompt_embeds: pass both, or neither.")
    if borrowed.text_encoder is None or borrowed.pipe.tokenizer is None:
        raise RequestError("The pipeline has no text encoder: pass prompt_embeds.")
    _check_prompts(request, borrowed.pipe.tokenizer)
    return ValidationSample(request, None)


def _checked_embeds(
    embeds: list[Any], request: Request, transformer: Any
) -> tuple[torch.Tensor, ...]:
    """The embeddings that the request needs, of the right shape and finite."""
    import torch

    model = request.model
    if request.guided and embeds[1] is None:
        raise RequestError(
            "prompt_embeds without negative_prompt_embeds: pass both, or guidance_scale=1."
        )
    needed = embeds[: len(prompts_of(request))]
    shape = (1, model.max_tokens, int(transformer.config.text_embed_dim))
    for tensor in needed:
        if not isinstance(tensor, torch.Tensor) or tuple(tensor.shape) != shape:
            actual = tuple(getattr(tensor, "shape", ())) or type(tensor).__name__
            raise RequestError(
                f"Embeddings for {model.name} must have shape {shape}, not {actual}."
            )
        if not tensor.isfinite().all():
            raise RequestError("The embeddings contain numbers that are not finite.")
    return tuple(needed)


def _check_prompts(request: Request, tokenizer: Any) -> None:
    limit = request.model.max_tokens
    for text in (request.prompt, request.negative_prompt):
        count, ignored = ignored_words(tokenizer, text, limit)
        if ignored and not request.truncate:
            raise RequestError(
                f"A prompt has {count} tokens, but the model reads {limit}: it would ignore"
                f" {ignored[:120]!r}. Shorten it, or pass truncate=True."
            )
