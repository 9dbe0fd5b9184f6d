"""The attention processor: diffusers' own, with an attention kernel in place of torch's.

It can also exchange heads for tokens with other ranks around the attention.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from cogmagic._errors import RequestError
from cogmagic._interrupts import interrupts_ignored
from cogmagic._pipeline.attention.operator import operator

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["Around", "attending", "exchanging"]


Around = Callable[..., "torch.Tensor"]
"""Calls an attention with query, key and value, which it may exchange; gets the text's tokens."""


@contextmanager
def attending(transformer: nn.Module, kernel: str) -> Iterator[None]:
    """Compute the attention of all blocks with a kernel; restore diffusers' processors afterwards.

    Args:
        transformer: a CogVideoX transformer, placed or not, with or without adapters.
        kernel: a name in `KERNELS`; empty for torch's own through diffusers' processor.

    Raises:
        RequestError: for blocks with another processor than diffusers' own.
    """
    if not kernel:
        yield
        return
    plain, ours = _classes()
    with _replaced(transformer, ours(kernel)) as processors:
        for theirs in processors:
            if type(theirs) is not plain:
                raise RequestError(
                    f"--attention {kernel} replaces diffusers' CogVideoXAttnProcessor2_0, and this"
                    f" transformer has {type(theirs).__name__:.80}. Leave out --attention."
                )
        yield


@contextmanager
def exchanging(transformer: nn.Module, around: Around) -> Iterator[None]:
    """Compute the attention of all blocks within `around`, by the kernel that they have.

    Args:
        transformer: as for `attending`, outside or inside of it.
        around: receives the attention of each block.

    Raises:
        RequestError: for blocks with another processor than diffusers' own or `attending`'s.
    """
    plain, ours = _classes()
    blocks: Any = transformer.transformer_blocks
    kernel = getattr(blocks[0].attn1.processor, "kernel", "")
    with _replaced(transformer, ours(kernel, around)) as processors:
        for theirs in processors:
            if type(theirs) not in (plain, ours):
                raise RequestError(
                    "--parallel replaces diffusers' CogVideoXAttnProcessor2_0, and this transformer"
                    f" has {type(theirs).__name__:.80}. Leave out --parallel."
                )
        yield


@contextmanager
def _replaced(transformer: nn.Module, ours: Any) -> Iterator[list[Any]]:
    """The blocks' processors, replaced by `ours` within the context."""
    blocks: Any = transformer.transformer_blocks
    processors = [block.attn1.processor for block in blocks]
    try:
        for block in blocks:
            block.attn1.processor = ours
        yield processors
    finally:
        with interrupts_ignored():
            for block, theirs in zip(blocks, processors, strict=True):
                block.attn1.processor = theirs


@cache
def _classes() -> tuple[Any, Any]:
    """The classes of diffusers' processor and of ours, made on first use.

    This module imports no diffusers.
    """
    import torch
    from diffusers.models.attention_processor import CogVideoXAttnProcessor2_0
    from diffusers.models.embeddings import apply_rotary_emb
    from torch.nn.functional import scaled_dot_product_attention

    attention = operator()

    class KernelProcessor(CogVideoXAttnProcessor2_0):  # type: ignore[misc]
        """``CogVideoXAttnProcessor2_0`` with a kernel: the same result but for its rounding."""

        def __init__(self, kernel: str, around: Around | None = None) -> None:
            super().__init__()
            self.kernel, self.around = kernel, around

        def __call__(
            self,
            attn: Any,
            hidden_states: torch.Tensor,
            encoder_hidden_states: torch.Tensor,
            attention_mask: torch.Tensor | None = None,
            image_rotary_emb: tuple[torch.Tensor, torch.Tensor] | None = None,
        ) -> tuple[torch.Tensor, torch.Tensor]:
            """The video's and the text's hidden states after their joint attention."""
            if attention_mask is not None:  # no CogVideoX pipeline passes one; kernels take none
                return super().__call__(  # type: ignore[no-any-return]
                    attn, hidden_states, encoder_hidden_states, attention_mask, image_rotary_emb
                )
            text = encoder_hidden_states.size(1)
            joint = torch.cat([encoder_hidden_states, hidden_states], dim=1)
            joint = self.attended(attn, joint, text, image_rotary_emb)
            joint = attn.to_out[1](attn.to_out[0](joint))
            return joint[:, text:], joint[:, :text]

        def attended(
            self,
            attn: Any,
            joint: torch.Tensor,
            text: int,
            rotary: tuple[torch.Tensor, torch.Tensor] | None,
        ) -> torch.Tensor:
            """Attention between all tokens, of which the first `text` have no position."""
            query, key, value = (
                project(joint).unflatten(2, (attn.heads, -1)).transpose(1, 2)
                for project in (attn.to_q, attn.to_k, attn.to_v)
            )
            query = query if attn.norm_q is None else attn.norm_q(query)
            key = key if attn.norm_k is None else attn.norm_k(key)
            if rotary is not None:
                query[:, :, text:] = apply_rotary_emb(query[:, :, text:], rotary)
                key[:, :, text:] = apply_rotary_emb(key[:, :, text:], rotary)
            out: torch.Tensor
            if self.around is None:
                out = self.attend(query, key, value)
            else:
                out = self.around(self.attend, query, key, value, text)
            return out.transpose(1, 2).flatten(2)

        def attend(
            self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
        ) -> torch.Tensor:
            """Attention of the given heads, by the kernel or by torch's own."""
            out: torch.Tensor
            if self.kernel:
                out = attention(query, key, value, self.kernel)
            else:
                out = scaled_dot_product_attention(query, key, value)
            return out

    return CogVideoXAttnProcessor2_0, KernelProcessor
