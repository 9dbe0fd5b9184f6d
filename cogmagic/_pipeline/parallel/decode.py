"""Decoding with the VAE's tiles dealt out to the ranks.

Rank 0 decodes as on one GPU, by diffusers' own loop or by ours, but its decoder receives the tiles
that another rank has decoded. The other ranks decode theirs one after another and send each batch
of frames as soon as it is done, so none holds more than those that rank 0 has not come to yet.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import accumulate, pairwise, product
from typing import TYPE_CHECKING, Any

from cogmagic._interrupts import interrupts_ignored
from cogmagic._models.tiling import TileGrid, frame_batches
from cogmagic._pipeline.parallel.group import Rank
from cogmagic._pipeline.parallel.tiles import owners

if TYPE_CHECKING:
    import torch

__all__ = ["decoding_in_parallel"]


@contextmanager
def decoding_in_parallel(vae: Any, rank: Rank, latents: torch.Tensor) -> Iterator[None]:
    """Have `vae.decode` deal the tiles of `latents` out to the ranks; restore it afterwards.

    Every rank must decode them once. Rank 0 gets the clip, bit for bit that of one rank; the others
    get no frames. Hooks of the decoder run on rank 0 for each of its calls, in their order, with
    what it receives as with what it computes.

    Args:
        vae: an ``AutoencoderKLCogVideoX``, placed, lean or fast decoding entered or not.
        rank: this process.
        latents: [1, frames, channels, height, width].
    """
    height, width = latents.shape[3:]
    grid = TileGrid.of_vae(height, width, vae)
    ranks = owners(grid.tiles, rank.split.count)
    batches = frame_batches(latents.shape[1], vae.num_latent_frames_batch_size)
    replaced, name, call = vae, "_decode", partial(_decode_own, vae, rank, grid, ranks, batches)
    if rank.first:
        calls = iter([owner for owner in ranks for _ in batches])
        replaced, name = vae.decoder, "forward"
        call = partial(_decode_or_receive, vae.decoder.forward, rank, calls)
    before = replaced.__dict__.get(name)
    replaced.__dict__[name] = call
    try:
        yield
    finally:
        with interrupts_ignored():
            del replaced.__dict__[name]
            if before is not None:
                replaced.__dict__[name] = before


def _decode_or_receive(
    forward: Any, rank: Rank, calls: Iterator[int], sample: torch.Tensor, **options: Any
) -> tuple[torch.Tensor, Any]:
    """A tile's next frames, and the cache for those after them, as rank 0's decoder gives them."""
    owner = next(calls)
    if owner != rank.index:
        return _received(owner, sample, rank), None
    return forward(sample, **options)  # type: ignore[no-any-return]


def _decode_own(
    vae: Any,
    rank: Rank,
    grid: TileGrid,
    ranks: list[int],
    batches: list[int],
    z: torch.Tensor,
    return_dict: bool = True,
) -> Any:
    """Decode this rank's tiles of `z` [1, channels, frames, height, width], and send them."""
    from diffusers.models.autoencoders.vae import DecoderOutput

    sent = _Sent(rank)
    rows, columns = grid.rows, grid.columns
    for owner, (top, left) in zip(ranks, product(rows.starts, columns.starts), strict=True):
        if owner != rank.index:
            continue
        cache = None
        for begin, end in pairwise([0, *accumulate(batches)]):
            tile = z[:, :, begin:end, top : top + rows.tile, left : left + columns.tile]
            if vae.post_quant_conv is not None:
                tile = vae.post_quant_conv(tile)
            out, cache = vae.decoder(tile, conv_cache=cache)
            sent(out)
    sent.wait()
    nothing = z.new_empty(1, 3, 0, 0, 0)
    return DecoderOutput(sample=nothing) if return_dict else (nothing,)


class _Sent:
    """The frames that rank 0 has not received yet, which stay in memory until it has."""

    def __init__(self, rank: Rank) -> None:
        self._rank = rank
        self._left: deque[tuple[Any, torch.Tensor]] = deque()

    def __call__(self, out: torch.Tensor) -> None:
        """Send frames to rank 0, after their shape; do not wait."""
        import torch
        import torch.distributed as dist

        shape = torch.tensor(out.shape)
        out = out.contiguous()
        works = dist.isend(shape, 0, self._rank.control), _exchange(dist.isend, out, 0, self._rank)
        self._left += zip(works, (shape, out), strict=True)
        while self._left and self._left[0][0].is_completed():
            self._left.popleft()

    def wait(self) -> None:
        """Wait until rank 0 has received all."""
        while self._left:
            self._left.popleft()[0].wait()


def _received(owner: int, sample: torch.Tensor, rank: Rank) -> torch.Tensor:
    """The frames that a rank has decoded from `sample`."""
    import torch
    import torch.distributed as dist

    shape = torch.empty(sample.dim(), dtype=torch.int64)
    dist.recv(shape, owner, rank.control)
    out = sample.new_empty(shape.tolist())
    _exchange(dist.irecv, out, owner, rank).wait()
    return out


def _exchange(operation: Any, tensor: torch.Tensor, peer: int, rank: Rank) -> Any:
    """Send or receive a tensor through the communicator of all ranks.

    A single ``isend`` would open a connection for each pair of GPUs, which takes time and VRAM.
    """
    import torch.distributed as dist

    return dist.batch_isend_irecv([dist.P2POp(operation, tensor, peer, rank.tiles)])[0]
