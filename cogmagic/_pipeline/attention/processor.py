"""The attention processor: diffusers' own, with an attention kernel in place of torch's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from cogmagic._errors import RequestError
from cogmagic._interrupts import interrupts_ignored
from cogmagic._pipeline.attention.operator import operator

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["attending"]


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
    blocks: Any = transformer.transformer_blocks
    processors = [block.attn1.processor for block in blocks]
    ours = _processor_class()(kernel)
    for theirs in processors:
        if type(theirs) is not type(ours).__base__:
            raise RequestError(
                f"--attention {kernel} replaces diffusers' CogVideoXAttnProcessor2_0, and this"
                f" transformer has {type(theirs).__name__:.80}. Leave it out for that one."
            )
    try:
        for block in blocks:
            block.attn1.processor = ours
        yield
    finally:
        with interrupts_ignored():
            for block, theirs in zip(blocks, processors, strict=True):
                block.attn1.processor = theirs


@cache
def _processor_class() -> Any:
    """The processor's class; made on first use, since this module imports no diffusers."""
    import torch
    from diffusers.models.attention_processor import CogVideoXAttnProcessor2_0
    from diffusers.models.embeddings import apply_rotary_emb

    attention = operator()

    class KernelProcessor(CogVideoXAttnProcessor2_0):  # type: ignore[misc]
        """``CogVideoXAttnProcessor2_0`` with a kernel: the same result but for its rounding."""

        def __init__(self, kernel: str) -> None:
            super().__init__()
            self.kernel = kernel

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
            out: torch.Tensor = attention(query, key, value, self.kernel)
            return out.transpose(1, 2).flatten(2)

    return KernelProcessor
