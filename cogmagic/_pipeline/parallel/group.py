"""The ranks of one video: processes that run the same pipeline and exchange tensors.

The control group connects all ranks through host memory (gloo), for decisions and small tensors.
The other groups exchange a run's tensors on the ranks' devices: NCCL between GPUs, gloo between CPU
processes. All connections use the loopback interface.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from cogmagic._errors import first_line
from cogmagic._interrupts import interrupts_ignored
from cogmagic._pipeline.parallel.split import Split

if TYPE_CHECKING:
    import torch

__all__ = ["FirstRankError", "Rank", "gathered", "joined"]

T = TypeVar("T")

_LOOPBACK = "lo0" if sys.platform == "darwin" else "lo"
_ENVIRONMENT = {
    "GLOO_SOCKET_IFNAME": _LOOPBACK,
    "NCCL_SOCKET_IFNAME": _LOOPBACK,
    # NVLink multicast serves large reductions, of which a run has none, and takes VRAM.
    "NCCL_NVLS_ENABLE": "0",
}
_TIMEOUT = timedelta(days=1)
"""How long a rank waits for another: the process that started them ends the ranks if one dies."""


class FirstRankError(Exception):
    """The failure of rank 0 as the other ranks raise it; not the cause."""


@dataclass(frozen=True)
class Rank:
    """One of the processes that make a video together."""

    index: int
    """From 0. Rank 0 encodes the text and assembles the frames."""
    split: Split
    device: torch.device
    control: Any
    """The process group of all ranks for tensors in host memory (gloo)."""
    tiles: Any
    """The process group of all ranks for tensors on their devices."""
    guidance: Any
    """The process group of the ranks with the same tokens, one for each prompt of guidance; None
    for one rank."""
    sequence: Any
    """The process group of the ranks that share one prompt's tokens; None for one rank."""

    @property
    def first(self) -> bool:
        """Whether this is rank 0."""
        return self.index == 0

    @property
    def half(self) -> int:
        """The item of the batch that this rank computes, where guidance is split."""
        return self.index // self.split.sequence

    @property
    def part(self) -> int:
        """The share of the tokens, and of the heads, that this rank computes."""
        return self.index % self.split.sequence

    def agree(self, flag: bool) -> bool:
        """Whether any rank has raised its flag. Every rank must call it, as often as the others."""
        import torch
        import torch.distributed as dist

        flags = torch.tensor([flag], dtype=torch.int32)
        dist.all_reduce(flags, dist.ReduceOp.MAX, group=self.control)
        return bool(flags)

    def shared(self, make: Callable[[], T]) -> T:
        """The result of `make`, which rank 0 alone calls, on every rank.

        Args:
            make: returns anything that can be pickled, with tensors in host memory.

        Raises:
            KeyboardInterrupt: on every rank, if rank 0 was interrupted.
            FirstRankError: on the other ranks, if `make` failed on rank 0.
        """
        import torch.distributed as dist

        box: list[Any] = [None, None]
        try:
            if self.first:
                box = [make(), None]
        except BaseException as error:
            box = [None, "" if isinstance(error, KeyboardInterrupt) else first_line(error)]
            raise
        finally:
            # Where an error is under way, the others may be gone: theirs would hide it.
            with suppress(RuntimeError) if box[1] is not None else nullcontext():
                dist.broadcast_object_list(box, src=0, group=self.control)
        result, failure = box
        if failure == "":
            raise KeyboardInterrupt
        if failure is not None:
            raise FirstRankError(failure)
        return result  # type: ignore[no-any-return]

    def summed(self, values: torch.Tensor, *, halves: bool = False) -> torch.Tensor:
        """The sum of the ranks' values in float64, in host memory, the same bits on each rank.

        Args:
            values: of any shape, on any device.
            halves: whether to sum over the ranks of one prompt rather than over all.
        """
        import torch

        parts = gathered(values, self.sequence if halves else self.tiles)
        return torch.stack(parts).cpu().double().sum(0)


def gathered(own: torch.Tensor, group: Any) -> list[torch.Tensor]:
    """The tensors of all ranks of a group, which have one shape; of this rank alone without one."""
    import torch
    import torch.distributed as dist

    if group is None:
        return [own]
    own = own.contiguous()
    parts = [torch.empty_like(own) for _ in range(dist.get_world_size(group))]
    dist.all_gather(parts, own, group=group)
    return parts


@contextmanager
def joined(index: int, split: Split, store: Any, device: torch.device) -> Iterator[Rank]:
    """Join the other ranks of a video; leave them afterwards.

    Every rank must enter it, with the same split.

    Args:
        index: this rank.
        split: how the video is divided.
        store: a ``torch.distributed.Store`` of all ranks, without keys of an earlier group (a
            ``PrefixStore`` with a new prefix each time will do).
        device: this rank's own GPU, or the CPU.

    Raises:
        RuntimeError: when they cannot connect.
    """
    import torch
    import torch.distributed as dist

    if device.type == "cuda":
        torch.cuda.set_device(device)
    with _environment(_ENVIRONMENT):
        dist.init_process_group(
            "gloo", store=store, rank=index, world_size=split.count, timeout=_TIMEOUT
        )
        try:
            yield _rank(index, split, device)
        finally:
            with interrupts_ignored():
                dist.destroy_process_group()


def _rank(index: int, split: Split, device: torch.device) -> Rank:
    """The rank with its process groups; groups of the same ranks are one, since each takes VRAM."""
    import torch.distributed as dist

    control, everyone = dist.group.WORLD, list(range(split.count))
    nccl = device.type == "cuda"
    tiles = dist.new_group(everyone, _TIMEOUT, "nccl") if nccl else control

    def own(members: list[list[int]]) -> Any:
        group = None
        for ranks in members:  # every rank takes part in making each group
            made = tiles if ranks == everyone else None
            if made is None and len(ranks) > 1:
                made = dist.new_group(ranks, _TIMEOUT, "nccl" if nccl else "gloo")
            group = made if index in ranks else group
        return group

    halves = [everyone[i : i + split.sequence] for i in range(0, split.count, split.sequence)]
    guidance = own([list(ranks) for ranks in zip(*halves, strict=True)])
    rank = Rank(index, split, device, control, tiles, guidance, own(halves))
    if nccl:
        _start_nccl(rank)
    return rank


def _start_nccl(rank: Rank) -> None:
    """Exchange a number in each group: NCCL connects at its first exchange, or fails."""
    import torch
    import torch.distributed as dist

    number = torch.ones(1, device=rank.device)
    for group in (rank.tiles, rank.guidance, rank.sequence):
        if group is not None:
            dist.all_reduce(number, group=group)
    torch.cuda.synchronize(rank.device)


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables, unless the user has; restore them afterwards."""
    added = {name: value for name, value in variables.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)
