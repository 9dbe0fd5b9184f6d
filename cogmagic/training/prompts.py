"""Prompt embeddings in a validation, made by the trainer's own text encoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cogmagic._models.request import Request
from cogmagic._pipeline.prompt_cache import cached_in_memory, prompts_of

if TYPE_CHECKING:
    import torch

__all__ = ["PromptEncoder"]


class PromptEncoder:
    """Encodes prompts with a borrowed text encoder, each prompt once.

    Embeddings are cached as long as the text encoder lives if nobody trains it, else for this
    validation.

    Args:
        pipe: the trainer's pipeline.
        device: where the text encoder computes.
        dtype: the precision of the embeddings.
    """

    def __init__(self, pipe: Any, device: torch.device, dtype: torch.dtype) -> None:
        self._pipe, self._device, self._dtype = pipe, device, dtype
        encoder = pipe.text_encoder
        trained = encoder is None or any(p.requires_grad for p in encoder.parameters())
        self.cache: dict[tuple[Any, ...], torch.Tensor] = (
            {} if trained else cached_in_memory(encoder)
        )
        """Embeddings [1, tokens, width] in host memory, by text, token limit and dtype."""

    def cached(self, request: Request) -> tuple[torch.Tensor, ...] | None:
        """The embeddings of a request's prompts, or None if one of them is not cached."""
        keys = self._keys(request)
        return tuple(self.cache[k] for k in keys) if all(k in self.cache for k in keys) else None

    def encode(self, request: Request) -> tuple[torch.Tensor, ...]:
        """The embeddings of a request's prompts; the text encoder is on the device."""
        embeds = {
            key: self.cache[key] if key in self.cache else self._encoded(key)
            for key in self._keys(request)
        }
        # NaN and infinity are not cached, or a text encoder that is repaired later would not run.
        self.cache |= {key: tensor for key, tensor in embeds.items() if tensor.isfinite().all()}
        return tuple(embeds[key] for key in self._keys(request))

    def _encoded(self, key: tuple[Any, ...]) -> torch.Tensor:
        text, max_tokens, dtype = key
        embeds: torch.Tensor = self._pipe.encode_prompt(
            text,
            do_classifier_free_guidance=False,
            max_sequence_length=max_tokens,
            device=self._device,
            dtype=dtype,
        )[0]
        return embeds.to("cpu")

    def _keys(self, request: Request) -> list[tuple[Any, ...]]:
        return [(text, request.model.max_tokens, self._dtype) for text in prompts_of(request)]
