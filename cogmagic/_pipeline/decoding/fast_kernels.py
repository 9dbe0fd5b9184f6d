"""The normalisation of fast decoding in three Triton kernels, for CUDA.

The same functions as ``fast_torch``. GroupNorm of torch starts one block for each of 32
groups, which leaves a hundred multiprocessors of an H100 idle; here each block takes a few thousand
elements. They compute in float32. The caller selects the tensors' GPU.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl

__all__ = ["moments", "normalise", "scales"]


_ELEMENTS = 8192
"""Elements of a block's tile."""
_TILES = 8
"""Tiles that a block of `_moments` reads, one after another."""
_BLOCKS = 264
"""Blocks for which `_moments` gives up tiles: two for each multiprocessor of an H100."""
_WARPS = 8


def moments(
    x: torch.Tensor, rest: torch.Tensor | None = None, bias: torch.Tensor | None = None
) -> tuple[torch.Tensor, int]:
    """Means and sums of squares of `x` by channel in chunks, and the positions of a chunk.

    Args:
        x: channels-last, [batch, channels, frames, height, width]; `rest` and `bias` are added in
            place first.
        rest: of the same shape and strides.
        bias: by channel.
    """
    batch, channels, *size = x.shape
    count, width = _product(size), triton.next_power_of_2(channels)
    rows, tiles = max(_ELEMENTS // width, 1), _TILES
    while tiles > 1 and count < rows * tiles * _BLOCKS:
        tiles //= 2
    chunks = triton.cdiv(count, rows * tiles)
    partial = torch.empty(batch, chunks, 2, channels, dtype=torch.float32, device=x.device)
    _moments[chunks, batch](
        x, rest, bias, partial, count, tiles, channels=channels, block=width, rows=rows,
        num_warps=_WARPS,
    )  # fmt: skip
    return partial, rows * tiles


def scales(
    moments: tuple[torch.Tensor, int], x: torch.Tensor, norm: Any, bias: torch.Tensor | None = None
) -> torch.Tensor:
    """GroupNorm of ``x + bias`` as factor and summand of `x`: [2, batch, channels], float32.

    Args:
        moments: those of `x`.
        x: channels-last.
        norm: an ``nn.GroupNorm``.
        bias: by channel.
    """
    partial, chunk = moments
    batch, channels, *size = x.shape
    group = channels // norm.num_groups
    width = triton.next_power_of_2(group)
    made = torch.empty(2, batch, channels, dtype=torch.float32, device=x.device)
    _scales[norm.num_groups, batch](
        partial, norm.weight, norm.bias, bias, made, partial.shape[1], _product(size), chunk,
        norm.eps, channels=channels, group=group, block=width, step=max(1024 // width, 1),
    )  # fmt: skip
    return made


def normalise(
    x: torch.Tensor, scales: torch.Tensor, y: torch.Tensor, b: torch.Tensor, to: torch.Tensor
) -> None:
    """Write ``silu((x * factor + summand) * y + b)`` into the last frames of `to`.

    Args:
        x: channels-last.
        scales: factor and summand, from `scales`.
        y: [batch, frames, height, width, channels], at the latents' size; each element of `x` has
            the nearest one.
        b: like `y`.
        to: like `x`, with more frames.
    """
    batch, channels, frames, height, width = x.shape
    block, past = triton.next_power_of_2(channels), to.shape[2] - frames
    rows, count = max(_ELEMENTS // block, 1), frames * height * width
    _normalise[triton.cdiv(count, rows), batch](
        x, scales, y, b, to, batch, frames, height, width, *y.shape[1:4], past,
        channels=channels, block=block, rows=rows, num_warps=_WARPS,
    )  # fmt: skip


def _product(size: list[int]) -> int:
    frames, height, width = size
    return frames * height * width


@triton.jit(do_not_specialize=["count", "tiles"])
def _moments(
    x, rest, bias, partial, count, tiles,
    channels: tl.constexpr, block: tl.constexpr, rows: tl.constexpr,
):  # fmt: skip
    """One chunk of positions: sums about its first position, so that nothing cancels."""
    chunk, batch = tl.program_id(0), tl.program_id(1).to(tl.int64)
    channel = tl.arange(0, block)
    valid = channel < channels
    first = chunk * (rows * tiles)
    begin = batch * count + first
    offset = tl.zeros([block], tl.float32)
    if bias is not None:
        offset += tl.load(bias + channel, mask=valid, other=0.0)
    pivot = offset + tl.load(x + begin * channels + channel, mask=valid, other=0.0)
    total = tl.zeros([rows, block], tl.float32)
    square = tl.zeros([rows, block], tl.float32)
    for i in range(tiles):
        row = i * rows + tl.arange(0, rows)
        inside = (first + row < count)[:, None] & valid[None, :]
        at = (begin + row)[:, None] * channels + channel[None, :]
        value = offset[None, :] + tl.load(x + at, mask=inside, other=0.0)
        if rest is not None:
            value += tl.load(rest + at, mask=inside, other=0.0)
        if rest is not None or bias is not None:
            rounded = value.to(x.dtype.element_ty)
            tl.store(x + at, rounded, mask=inside)
            value = rounded.to(tl.float32)
        value = tl.where(inside, value - pivot[None, :], 0.0)
        total += value
        square += value * value
    size = tl.minimum(count - first, rows * tiles).to(tl.float32)
    sums = tl.sum(total, axis=0)
    to = partial + (batch * tl.num_programs(0) + chunk) * 2 * channels + channel
    tl.store(to, pivot + sums / size, mask=valid)
    tl.store(to + channels, tl.sum(square, axis=0) - sums * sums / size, mask=valid)


@triton.jit(do_not_specialize=["chunks", "count", "chunk"])
def _scales(
    partial, weight, norm_bias, bias, made, chunks, count, chunk, eps,
    channels: tl.constexpr, group: tl.constexpr, block: tl.constexpr, step: tl.constexpr,
):  # fmt: skip
    """One group: its chunks combined (Chan, Golub and LeVeque 1983)."""
    index, batch = tl.program_id(0), tl.program_id(1)
    channel = index * group + tl.arange(0, block)
    valid = tl.arange(0, block) < group
    offset = tl.zeros([block], tl.float32)
    if bias is not None:
        offset += tl.load(bias + channel, mask=valid, other=0.0)
    begin = partial + batch * chunks * 2 * channels + channel[None, :]
    number = count.to(tl.float32) * group
    total = tl.zeros([step, block], tl.float32)
    for first in range(0, chunks, step):
        place = first + tl.arange(0, step)[:, None]
        inside = (place < chunks) & valid[None, :]
        size = tl.minimum(count - place * chunk, chunk).to(tl.float32)
        mean = offset[None, :] + tl.load(begin + place * 2 * channels, mask=inside, other=0.0)
        total += tl.where(inside, size * mean, 0.0)
    centre = tl.sum(total) / number
    total = tl.zeros([step, block], tl.float32)
    for first in range(0, chunks, step):
        place = first + tl.arange(0, step)[:, None]
        inside = (place < chunks) & valid[None, :]
        size = tl.minimum(count - place * chunk, chunk).to(tl.float32)
        at = begin + place * 2 * channels
        away = offset[None, :] + tl.load(at, mask=inside, other=0.0) - centre
        squares = tl.load(at + channels, mask=inside, other=0.0)
        total += tl.where(inside, squares + size * away * away, 0.0)
    spread = tl.sqrt(tl.sum(total) / number + eps)
    factor = tl.load(weight + channel, mask=valid, other=0.0) / spread
    summand = tl.load(norm_bias + channel, mask=valid, other=0.0) + (offset - centre) * factor
    tl.store(made + batch * channels + channel, factor, mask=valid)
    tl.store(made + (tl.num_programs(1) + batch) * channels + channel, summand, mask=valid)


@triton.jit(
    do_not_specialize=[
        "batches", "frames", "height", "width", "z_frames", "z_height", "z_width", "past",
    ]
)  # fmt: skip
def _normalise(
    x, scales, y, b, to, batches, frames, height, width, z_frames, z_height, z_width, past,
    channels: tl.constexpr, block: tl.constexpr, rows: tl.constexpr,
):  # fmt: skip
    """A few positions. An odd first frame has a latent frame of its own."""
    batch = tl.program_id(1).to(tl.int64)
    channel = tl.arange(0, block)
    valid = channel < channels
    area = height * width
    row = tl.program_id(0) * rows + tl.arange(0, rows)
    inside = (row < frames * area)[:, None] & valid[None, :]
    frame, place = row // area, row % area
    odd = tl.where(frames > 1, frames % 2, 0)
    z_frame = odd + (frame - odd) * (z_frames - odd) // (frames - odd)
    z_frame = tl.where(frame < odd, 0, z_frame)
    z_row = z_frame * z_height + place // width * z_height // height
    z_row = z_row * z_width + place % width * z_width // width
    at = (batch * z_frames * z_height * z_width + z_row)[:, None] * channels + channel[None, :]
    factor = tl.load(scales + batch * channels + channel, mask=valid, other=0.0)
    summand = tl.load(scales + (batches + batch) * channels + channel, mask=valid, other=0.0)
    position = (batch * frames * area + row)[:, None] * channels + channel[None, :]
    value = tl.load(x + position, mask=inside, other=0.0) * factor[None, :] + summand[None, :]
    value = value * tl.load(y + at, mask=inside, other=0.0)
    value = value + tl.load(b + at, mask=inside, other=0.0)
    value = value / (1.0 + tl.exp(-value))
    position += (batch + 1) * past * area * channels
    tl.store(to + position, value.to(to.dtype.element_ty), mask=inside)
