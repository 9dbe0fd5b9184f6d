"""The quantised layers of a component, as predictions need them."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Packed"]


@dataclass(frozen=True)
class Packed:
    """The quantised layers of one component, for predictions."""

    component: str
    form: str
    numel: int
    """Numbers in all their weights but `wide`."""
    wide: int
    """Numbers in the weights that T5 has in float32 beside float16 (``wo``)."""
    nbytes: int
    """Bytes of all in memory."""
    block: tuple[int, int, int]
    """The same three of one block."""
    scaled: bool
    """Whether the numbers need scales; else they are plain fp8, which may be widened instead."""
    file: int = field(compare=False)
    """Bytes of the component's files."""

    def saved(self, itemsize: int, wide_itemsize: int) -> tuple[int, int]:
        """Bytes that the component and each of its blocks need less than in plain numbers."""
        amounts = (self.numel, self.wide, self.nbytes), self.block
        total, block = (n * itemsize + wide * wide_itemsize - b for n, wide, b in amounts)
        return total, block
