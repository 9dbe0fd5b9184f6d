"""Exchange of heads for tokens around attention (Ulysses), as two operators of torch.

Before attention each rank has a share of the video's tokens, with all heads; while attending it has
all tokens, with a share of the heads. The text's tokens are on every rank. Shares differ by a token
where the ranks do not divide the tokens: nothing is padded.

As operators the exchanges are opaque to torch.compile, so that a compiled block is one graph. One
operator sends query, key and value: of three, the compiler might choose another order on each rank.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cache
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from cogmagic._pipeline.attention.base import Attend

__all__ = ["Exchange", "groups", "spans"]


groups: dict[str, Any] = {}
"""The process groups of the exchanges in use by name: an operator cannot take a group itself."""


def spans(tokens: int, count: int) -> list[tuple[int, int]]:
    """The first token, and the one after the last, of each of `count` shares of `tokens`."""
    sizes = (tokens // count + (part < tokens % count) for part in range(count))
    return list(pairwise([0, *accumulate(sizes)]))


@cache
def _operators() -> tuple[Any, Any]:
    """``torch.ops.cogmagic.to_heads`` and ``to_tokens``, defined on first use.

    ``to_heads``: query, key and value [batch, heads, own tokens, head dimension] → [3, batch, own
    heads, tokens, head dimension]. ``to_tokens``: [batch, own heads, tokens, head dimension] →
    [batch, own tokens, heads, head dimension].
    """
    import torch

    about = "int text, int tokens, int part, int count"

    @torch.library.custom_op(
        "cogmagic::to_heads",
        mutates_args=(),
        schema=f"(Tensor query, Tensor key, Tensor value, {about}) -> Tensor",
    )
    def to_heads(
        query: torch.Tensor, key: torch.Tensor, value: torch.Tensor,
        text: int, tokens: int, part: int, count: int,
    ) -> torch.Tensor:  # fmt: skip
        batch, heads, _, dim = query.shape
        out = query.new_empty(3, batch, heads // count, text + tokens, dim)
        for all_tokens, own in zip(out, (query, key, value), strict=True):
            _gather_tokens(all_tokens, own, text, spans(tokens, count), part)
        return out

    @to_heads.register_fake
    def heads_shape(
        query: torch.Tensor, key: torch.Tensor, value: torch.Tensor,  # noqa: ARG001
        text: int, tokens: int, part: int, count: int,  # noqa: ARG001
    ) -> torch.Tensor:  # fmt: skip
        batch, heads, _, dim = query.shape
        return query.new_empty(3, batch, heads // count, text + tokens, dim)

    @torch.library.custom_op(
        "cogmagic::to_tokens", mutates_args=(), schema=f"(Tensor out, {about}) -> Tensor"
    )
    def to_tokens(out: torch.Tensor, text: int, tokens: int, part: int, count: int) -> torch.Tensor:
        return _gather_heads(out.transpose(1, 2), text, spans(tokens, count), part)

    @to_tokens.register_fake
    def tokens_shape(
        out: torch.Tensor, text: int, tokens: int, part: int, count: int
    ) -> torch.Tensor:
        batch, heads, _, dim = out.shape
        start, stop = spans(tokens, count)[part]
        return out.new_empty(batch, text + stop - start, heads * count, dim)

    return torch.ops.cogmagic.to_heads.default, torch.ops.cogmagic.to_tokens.default


@dataclass
class Exchange:
    """The exchange of one rank, for video tokens of a number that each pass of a model sets."""

    part: int
    """The rank's share."""
    count: int
    """The number of shares."""
    tokens: int = 0
    """Video tokens of all ranks."""
    operators: tuple[Any, Any] = field(default_factory=_operators)
    """As made before the compiler traces a block, which cannot make them."""

    @property
    def span(self) -> tuple[int, int]:
        """The rank's first token, and the one after its last."""
        return spans(self.tokens, self.count)[self.part]

    def __call__(
        self,
        attend: Attend,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        text: int,
    ) -> torch.Tensor:
        """The attention of the rank's tokens to all: [batch, heads, own tokens, head dimension].

        Args:
            attend: computes attention of any number of heads.
            query: [batch, heads, own tokens, head dimension], the text's tokens first.
            key: of the same shape.
            value: of the same shape.
            text: the number of the text's tokens.
        """
        to_heads, to_tokens = self.operators
        about = text, self.tokens, self.part, self.count
        out = attend(*to_heads(query, key, value, *about).unbind(0))
        tokens: torch.Tensor = to_tokens(out, *about)
        return tokens.transpose(1, 2)


def _gather_tokens(
    out: torch.Tensor, own: torch.Tensor, text: int, shares: list[tuple[int, int]], part: int
) -> None:
    """Fill `out` [batch, own heads, tokens, head dimension] from the ranks' tokens of these heads.

    Args:
        out: to fill.
        own: this rank's tokens [batch, heads, own tokens, head dimension].
        text: the number of the text's tokens, which every rank has.
        shares: the ranks' tokens.
        part: this rank's share.
    """
    import torch

    count, (batch, heads, _, dim) = len(shares), out.shape
    by_rank = own.view(batch, count, heads, own.shape[2], dim).transpose(0, 1)
    out[:, :, :text] = by_rank[part, :, :, :text]
    numbers = [batch * heads * (stop - start) * dim for start, stop in shares]
    sent = by_rank[:, :, :, text:].flatten()
    received = _exchanged(sent, [numbers[part]] * count, numbers)
    for (start, stop), chunk in zip(shares, torch.split(received, numbers), strict=True):
        out[:, :, text + start : text + stop] = chunk.view(batch, heads, stop - start, dim)


def _gather_heads(
    out: torch.Tensor, text: int, shares: list[tuple[int, int]], part: int
) -> torch.Tensor:
    """This rank's tokens [batch, own tokens, heads, head dimension] with the heads of all ranks.

    Args:
        out: all tokens [batch, tokens, own heads, head dimension].
        text: the number of the text's tokens, which every rank receives.
        shares: the ranks' tokens.
        part: this rank's share.
    """
    import torch

    count, (batch, _, heads, dim) = len(shares), out.shape
    sizes = [text + stop - start for start, stop in shares]
    numbers = [batch * size * heads * dim for size in sizes]
    sent = out.new_empty(sum(numbers))
    for (start, stop), size, chunk in zip(shares, sizes, torch.split(sent, numbers), strict=True):
        tokens = chunk.view(batch, size, heads, dim)
        tokens[:, :text] = out[:, :text]
        tokens[:, text:] = out[:, text + start : text + stop]
    received = _exchanged(sent, numbers, [numbers[part]] * count)
    del sent
    by_rank = received.view(count, batch, sizes[part], heads, dim)
    own = by_rank.permute(1, 2, 0, 3, 4).contiguous()
    return own.view(batch, sizes[part], count * heads, dim)


def _exchanged(sent: torch.Tensor, numbers: list[int], received: list[int]) -> torch.Tensor:
    """What the ranks have sent this one, one after the other.

    Args:
        sent: for each rank, one after the other.
        numbers: how many numbers each rank gets.
        received: how many numbers each rank sends.
    """
    import torch
    import torch.distributed as dist

    out = sent.new_empty(sum(received))
    with torch.cuda.device(sent.device) if sent.is_cuda else nullcontext():
        dist.all_to_all_single(out, sent, received, numbers, group=groups["sequence"])
    return out
