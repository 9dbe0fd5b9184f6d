"""A transformer whose work is divided among ranks: guidance in halves, tokens in shares.

diffusers' own context parallelism (``enable_parallelism``, 0.42.1) has no plan for CogVideoX. Here
hooks of torch cut and gather the tokens outside the blocks, and attention exchanges them inside, so
blocks run as they are: compiled, streamed, with adapters, in a weight storage, or skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from cogmagic._interrupts import interrupts_ignored
from cogmagic._pipeline.attention.processor import exchanging
from cogmagic._pipeline.guidance import calls_replaced, item
from cogmagic._pipeline.parallel.attention import Exchange, groups, spans
from cogmagic._pipeline.parallel.group import Rank, gathered

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["in_parallel"]


@contextmanager
def in_parallel(transformer: nn.Module, rank: Rank) -> Iterator[None]:
    """Divide each pass of `transformer` among the ranks; restore it afterwards.

    Every rank passes the same inputs, and gets the whole output. A step cache is to be entered
    inside, and whatever places the transformer or replaces its attention, outside.

    Args:
        transformer: a CogVideoX transformer, placed.
        rank: this process.
    """
    with ExitStack() as undo:
        if rank.split.sequence > 1:
            undo.enter_context(_tokens_shared(transformer, rank))
        if rank.split.guidance > 1:
            undo.enter_context(calls_replaced(transformer, _half(rank)))
        yield


def _half(rank: Rank) -> Callable[..., tuple[torch.Tensor]]:
    """A call of the transformer that computes one item of the batch and gathers the other.

    Outside a guidance interval the batch has one item, which both halves compute. All take the
    second's prediction: on unlike GPUs the latents would drift apart by rounding.
    """

    def call(run: Any, **inputs: Any) -> tuple[torch.Tensor]:
        import torch

        if len(inputs["hidden_states"]) == 1:
            return (gathered(run(**inputs)[0], rank.guidance)[-1],)
        own = run(**item(inputs, rank.half))[0]
        return (torch.cat(gathered(own, rank.guidance)),)

    return call


@contextmanager
def _tokens_shared(transformer: Any, rank: Rank) -> Iterator[None]:
    """Have the blocks compute with this rank's share of the video's tokens."""
    import torch

    exchange = Exchange(rank.part, rank.split.sequence)

    def cut_positions(_: Any, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        rotary = kwargs.get("image_rotary_emb")
        if rotary is None:
            return args, kwargs
        start, stop = spans(len(rotary[0]), exchange.count)[exchange.part]
        own = tuple(table[start:stop] for table in rotary)
        return args, kwargs | {"image_rotary_emb": own}

    def cut_tokens(_: Any, args: Any, embedded: torch.Tensor) -> torch.Tensor:
        text = args[0].shape[1]
        exchange.tokens = embedded.shape[1] - text
        start, stop = exchange.span
        parts = embedded[:, :text], embedded[:, text + start : text + stop]
        return torch.cat(parts, dim=1)

    def gather_tokens(_: Any, __: Any, own: torch.Tensor) -> torch.Tensor:
        return _gathered(own, exchange, rank)

    with ExitStack() as undo:
        undo.enter_context(exchanging(transformer, exchange))
        groups["sequence"] = rank.sequence
        undo.callback(groups.clear)
        for handle in (
            transformer.register_forward_pre_hook(cut_positions, with_kwargs=True),
            transformer.patch_embed.register_forward_hook(cut_tokens),
            transformer.proj_out.register_forward_hook(gather_tokens),
        ):
            undo.callback(handle.remove)
        try:
            yield
        finally:
            with interrupts_ignored():
                undo.close()


def _gathered(own: torch.Tensor, exchange: Exchange, rank: Rank) -> torch.Tensor:
    """All ranks' tokens [batch, tokens, width], gathered in shares of the largest one's size."""
    import torch
    from torch.nn.functional import pad

    sizes = [stop - start for start, stop in spans(exchange.tokens, exchange.count)]
    shares = gathered(pad(own, (0, 0, 0, sizes[0] - own.shape[1])), rank.sequence)
    return torch.cat([share[:, :n] for share, n in zip(shares, sizes, strict=True)], dim=1)
