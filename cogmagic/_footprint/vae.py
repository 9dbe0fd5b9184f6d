"""The VAE's work as the pipeline runs it: tile by tile, put together at the end."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from cogmagic._footprint.configs import grid_of, latent_clip
from cogmagic._footprint.curves import Passes, Peak, Profile
from cogmagic._footprint.work import ITEM, Work, higher, rounded, work_of
from cogmagic._models.catalog import Dtype
from cogmagic._models.family import Configs
from cogmagic._models.request import Request
from cogmagic._models.tiling import TileGrid, frame_batches
from cogmagic._pipeline.prompt_cache import prompts_of

__all__ = ["decode", "encode_image"]


def decode(
    request: Request, dtype: Dtype, profile: Profile, configs: Configs, *, lean: bool, fast: bool
) -> Work:
    """``tiled_decode``: the passes of every tile, then the rows, then the picture.

    Frames are decoded in batches (`frame_batches`); what is decoded stays on the device until all
    is put together. With `lean` decoding it goes to host memory, with `fast` decoding into the
    picture, at once.
    """
    item, grid = ITEM[dtype], grid_of(request, configs)
    batches = frame_batches(request.latent_frames)
    frames = [4 * n - 3 * (n % 2) for n in batches]
    pixel = configs["vae"]["out_channels"] * item
    passes = profile.decode_lean if lean else profile.decode
    peak, operations, decoded, mapped = Peak(0, 0), 0.0, 0, 0
    whole = rounded(sum(frames) * prod(grid.size) * grid.scale**2 * pixel)
    at_once = lean or fast
    if fast:
        passes = profile.decode_fast
        decoded = 0 if lean else whole + sum(frames) * _borders(grid) * pixel
    for tile in grid.tiles:
        area = prod(tile) * grid.scale**2
        outs = [0 if at_once else rounded(n * area * pixel) for n in frames]
        tile_peak, tile_operations = _tile(passes, prod(tile), outs)
        peak = higher(peak, tile_peak, decoded)
        operations += tile_operations
        mapped += tile_peak.mapped
        decoded += 0 if at_once else rounded(sum(frames) * area * pixel)
    if grid.tiled and not at_once:  # the tiles, their rows and the picture, all at once
        peak = higher(peak, Peak(2 * whole, 2 * whole), decoded)
    padded, height, width = latent_clip(request, configs)
    latent = configs["vae"]["latent_channels"] * height * width * item
    around = rounded(padded * latent) + rounded(request.latent_frames * latent)  # plain, scaled
    work = work_of(peak, operations, profile, around + _prompts(request, configs, item))
    return replace(work, calls=len(frames) * len(grid.tiles), mapped=mapped)


def _borders(grid: TileGrid) -> int:
    """Pixels of a frame with which later tiles blend: below a row, and beside a tile."""
    rows, columns = grid.rows, grid.columns
    below = rows.blend * sum(columns.lengths) * grid.scale if len(rows.starts) > 1 else 0
    beside = columns.blend * max(rows.lengths) * grid.scale if len(columns.starts) > 1 else 0
    return below + beside


def encode_image(
    request: Request, dtype: Dtype, passes: Passes, profile: Profile, configs: Configs
) -> Work:
    """``tiled_encode`` of one frame, then the latents that it and the noise become."""
    item, grid = ITEM[dtype], grid_of(request, configs)
    channels = configs["vae"]["latent_channels"]
    peak, operations, encoded = Peak(0, 0), 0.0, 0
    for tile in grid.tiles:
        outs = [rounded(2 * channels * prod(tile) * item)]  # mean and variance
        tile_peak, tile_operations = _tile(passes, prod(tile) * grid.scale**2, outs)
        peak = higher(peak, tile_peak, encoded)
        operations += tile_operations
        encoded += outs[0]
    # The frame padded to a clip, the padding, the noise, and the noise scaled.
    latents = 4 * rounded(channels * prod(latent_clip(request, configs)) * item)
    peak = higher(peak, Peak(latents, latents))
    around = rounded(3 * request.height * request.width * item)
    return work_of(peak, operations, profile, around + 2 * _prompts(request, configs, item))


def _tile(passes: Passes, area: int, outs: list[int]) -> tuple[Peak, float]:
    """Peak and operations of one tile, whose passes return `outs` bytes each, joined at the end."""
    peak, operations, returned, mapped = Peak(0, 0), 0.0, 0, 0
    for k, out in enumerate(outs):
        traced = min(k, len(passes.curves) - 1)
        pass_peak = passes.curves[traced](area)
        peak = higher(peak, pass_peak, returned)
        mapped += pass_peak.mapped
        operations += passes.operations[traced] * area
        returned += out
    return replace(higher(peak, passes.cache(area), 2 * returned), mapped=mapped), operations


def _prompts(request: Request, configs: Configs, item: int) -> int:
    """Bytes of the prompt embeddings, which stay on the device from encoding to the end."""
    transformer = configs["transformer"]
    one = rounded(transformer["max_text_seq_length"] * transformer["text_embed_dim"] * item)
    return len(prompts_of(request)) * one
