"""What is alive, and counted, at marked places of a traced pass: around blocks and after layers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from torch import nn

from cogmagic._footprint.curves import Peak, layer_kind
from cogmagic._footprint.trace import Trace
from cogmagic._footprint.work import higher

__all__ = ["Around", "after_linears", "around_blocks", "block_marks"]


@dataclass
class Around:
    """Bytes around the blocks."""

    outside: list[int]
    """The most bytes alive before each block, and after the one before it."""
    entering: list[int]
    """Bytes alive when each block begins."""


@contextmanager
def around_blocks(trace: Trace, blocks: Sequence[nn.Module]) -> Iterator[Around]:
    """What is alive outside the blocks and when they begin."""
    around = Around([], [])

    def enter(*_: object) -> None:
        around.outside.append(trace.highest())
        around.entering.append(trace.live)

    def leave(*_: object) -> None:
        trace.highest()

    hooks = [block.register_forward_pre_hook(enter, prepend=True) for block in blocks]
    hooks += [block.register_forward_hook(leave) for block in blocks]
    yield around
    for hook in hooks:
        hook.remove()


@contextmanager
def after_linears(trace: Trace, transformer: nn.Module) -> Iterator[dict[str, Peak]]:
    """The most bytes alive when a linear layer of each kind has made its output."""
    after: dict[str, Peak] = {}

    def note(kind: str, *_: object) -> None:
        after[kind] = higher(trace.now(), after.get(kind, Peak(0, 0)))

    hooks = [
        part.register_forward_hook(partial(note, layer_kind(name)), prepend=True)
        for name, part in transformer.named_modules()
        if isinstance(part, nn.Linear | nn.Conv2d)
    ]
    yield after
    for hook in hooks:
        hook.remove()


@contextmanager
def block_marks(trace: Trace, block: nn.Module) -> Iterator[list[tuple[int, int]]]:
    """Marks of the operations and the mapped bytes counted so far, before and after `block`."""
    marks: list[tuple[int, int]] = []

    def mark(*_: object) -> None:
        marks.append((trace.operations, trace.mapped))

    hooks = [
        block.register_forward_pre_hook(mark),
        block.register_forward_hook(mark),
    ]
    yield marks
    for hook in hooks:
        hook.remove()
