"""How one video's work is divided among ranks. Pure: no torch."""

from __future__ import annotations

from dataclasses import dataclass

from cogmagic._errors import RequestError

__all__ = ["WHOLE", "Split", "counts", "split_of"]


@dataclass(frozen=True)
class Split:
    """How one video's work is divided: *guidance* × *sequence* ranks."""

    guidance: int = 1
    """2 where one half of the ranks computes with the prompt and the other without it, else 1."""
    sequence: int = 1
    """Ranks that share the video's tokens, each with as many of the attention heads."""

    @property
    def count(self) -> int:
        """The number of ranks."""
        return self.guidance * self.sequence

    def __str__(self) -> str:
        return f"guidance {self.guidance} x tokens {self.sequence}"


WHOLE = Split()
"""The split of a run on one GPU."""


def split_of(count: int, *, guided: bool, heads: int) -> Split:
    """The split of a video among `count` ranks: guidance halves first, then its tokens.

    Args:
        count: the number of ranks, from 1.
        guided: whether the request has guidance.
        heads: the transformer's attention heads.

    Raises:
        RequestError: for a count that the heads do not divide by, with the nearest ones.
    """
    if (split := _split(count, guided=guided, heads=heads)) is not None:
        return split
    legal = counts(max(count, 2 * heads), guided=guided, heads=heads)
    below, above = (n for n in legal if n < count), (n for n in legal if n > count)
    near = " or ".join(f"--parallel {n}" for n in (max(below), min(above, default=0)) if n)
    halves = ", or twice a divisor of them with guidance" if guided else " without guidance"
    raise RequestError(
        f"--parallel {count} does not divide the work of a video: the number of GPUs must be a"
        f" divisor of the model's {heads} attention heads{halves}. Nearest: {near}."
    )


def counts(most: int, *, guided: bool, heads: int) -> tuple[int, ...]:
    """The numbers of ranks up to `most` among which a video can be split, ascending."""
    most = min(most, 2 * heads if guided else heads)
    legal = (n for n in range(1, most + 1) if _split(n, guided=guided, heads=heads))
    return tuple(legal)


def _split(count: int, *, guided: bool, heads: int) -> Split | None:
    if guided and count % 2 == 0 and heads % (count // 2) == 0:
        return Split(2, count // 2)
    return Split(1, count) if heads % count == 0 else None
