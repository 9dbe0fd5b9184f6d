"""The VAE's work as the pipeline has it done: tile by tile, put together at the end."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from cogmagic._footprint.configs import Configs
from cogmagic._footprint.curves import Passes, Peak, Profile
from cogmagic._footprint.tiling import Tiling, clip_of
from cogmagic._footprint.work import ITEM, Work, higher, rounded, work_of
from cogmagic._models.catalog import Dtype
from cogmagic._models.request import Request

__all__ = ["decode", "encode_image"]


def decode(
    request: Request, dtype: Dtype, profile: Profile, configs: Configs, *, lean: bool
) -> Work:
    """``tiled_decode``: every tile's passes in turn, then the rows, then the picture.

    A tile's frames come in passes of two latent frames, the odd one with the first; what is
    decoded stays until all is put together, in host memory if it is done `lean`.
    """
    item, tiling = ITEM[dtype], Tiling.of(request, configs)
    later = max(request.latent_frames // 2, 1) - 1
    first = 4 * (request.latent_frames - 2 * later) - 3 * (request.latent_frames % 2)
    frames = [first, *[8] * later]
    pixel = configs["vae"]["out_channels"] * item
    passes = profile.decode_lean if lean else profile.decode
    peak, operations, kept_tiles, mapped = Peak(0, 0), 0.0, 0, 0
    for tile in tiling.tiles():
        area = prod(tile) * tiling.scale**2
        outs = [0 if lean else rounded(n * area * pixel) for n in frames]
        passed, work = _tile(passes, prod(tile), outs)
        peak = higher(peak, passed, kept_tiles)
        operations += work
        mapped += passed.mapped
        kept_tiles += 0 if lean else rounded(sum(frames) * area * pixel)
    if tiling.tiled and not lean:  # the tiles, their rows and the picture, all at once
        whole = rounded(sum(frames) * prod(tiling.size) * tiling.scale**2 * pixel)
        peak = higher(peak, Peak(2 * whole, 2 * whole), kept_tiles)
    padded, height, width = clip_of(request, configs)
    latent = configs["vae"]["latent_channels"] * height * width * item
    around = rounded(padded * latent) + rounded(request.latent_frames * latent)  # plain, scaled
    found = work_of(peak, operations, profile, around + _prompts(request, configs, item))
    return replace(found, calls=len(frames) * len(tiling.tiles()), mapped=mapped)


def encode_image(
    request: Request, dtype: Dtype, passes: Passes, profile: Profile, configs: Configs
) -> Work:
    """``tiled_encode`` of one frame, then the latents that it and the noise become."""
    item, tiling = ITEM[dtype], Tiling.of(request, configs)
    channels = configs["vae"]["latent_channels"]
    peak, operations, kept_tiles = Peak(0, 0), 0.0, 0
    for tile in tiling.tiles():
        outs = [rounded(2 * channels * prod(tile) * item)]  # mean and variance
        passed, work = _tile(passes, prod(tile) * tiling.scale**2, outs)
        peak = higher(peak, passed, kept_tiles)
        operations += work
        kept_tiles += outs[0]
    # The frame padded to a clip, the padding, the noise, and the noise scaled.
    latents = 4 * rounded(channels * prod(clip_of(request, configs)) * item)
    peak = higher(peak, Peak(latents, latents))
    around = rounded(3 * request.height * request.width * item)
    return work_of(peak, operations, profile, around + 2 * _prompts(request, configs, item))


def _tile(passes: Passes, area: int, outs: list[int]) -> tuple[Peak, float]:
    """One tile, whose passes give out so many bytes each, which are joined in the end."""
    peak, operations, given, mapped = Peak(0, 0), 0.0, 0, 0
    for k, out in enumerate(outs):
        known = min(k, len(passes.curves) - 1)
        passed = passes.curves[known](area)
        peak = higher(peak, passed, given)
        mapped += passed.mapped
        operations += passes.operations[known] * area
        given += out
    return replace(higher(peak, passes.cache(area), 2 * given), mapped=mapped), operations


def _prompts(request: Request, configs: Configs, item: int) -> int:
    """Bytes of the prompts' embeddings, which live from encoding to the end."""
    transformer = configs["transformer"]
    one = rounded(transformer["max_text_seq_length"] * transformer["text_embed_dim"] * item)
    return 2 * one if request.guidance_scale > 1.0 else one
