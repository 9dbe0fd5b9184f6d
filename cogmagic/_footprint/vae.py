"""The VAE's work as the pipeline runs it: tile by tile, put together at the end."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

from cogmagic._footprint.configs import grid_of, latent_clip
from cogmagic._footprint.curves import Passes, Peak, Profile
from cogmagic._footprint.work import ITEM, Work, higher, rounded, work_of
from cogmagic._models.family import Configs, encoded_frames, latent_frames
from cogmagic._models.model import Dtype
from cogmagic._models.request import Request
from cogmagic._models.seen import encoded_clips, seen_latents
from cogmagic._models.tiling import SAMPLE_BATCH, TileGrid, frame_batches
from cogmagic._pipeline.parallel.tiles import owners
from cogmagic._pipeline.prompt_cache import prompts_of

__all__ = ["Decoding", "clip_bytes", "encode_image", "encode_video"]


@dataclass(frozen=True)
class Decoding:
    """``tiled_decode``: the passes of every tile, then the rows, then the picture.

    Frames are decoded in batches (`frame_batches`); what is decoded stays on the device until all
    is put together. With `lean` decoding it goes to host memory, with `fast` decoding into the
    picture, at once.
    """

    request: Request
    dtype: Dtype
    profile: Profile
    configs: Configs
    lean: bool
    fast: bool

    def work(self, count: int) -> Work:
        """The work of rank 0 of `count`, which puts together the tiles of all.

        Its operations and calls are those of the rank that has most to do.
        """
        grid, frames, pixel = self._grid, self._frames, self._pixel
        peak, decoded, mapped = Peak(0, 0), 0, 0
        whole = rounded(sum(frames) * prod(grid.size) * grid.scale**2 * pixel)
        at_once = self.lean or self.fast
        if self.fast:
            decoded = 0 if self.lean else whole + sum(frames) * _borders(grid) * pixel
        ranks, operations = owners(grid.tiles, count), [0.0] * count
        for tile, rank in zip(grid.tiles, ranks, strict=True):
            area = prod(tile) * grid.scale**2
            outs = [0 if at_once else rounded(n * area * pixel) for n in frames]
            tile_peak, tile_operations = _tile(self._passes, prod(tile), outs)
            if rank == 0:
                peak = higher(peak, tile_peak, decoded)
                mapped += tile_peak.mapped
            operations[rank] += tile_operations
            decoded += 0 if at_once else rounded(sum(frames) * area * pixel)
        if grid.tiled and not at_once:  # the tiles, their rows and the picture, all at once
            peak = higher(peak, Peak(2 * whole, 2 * whole), decoded)
        work = work_of(peak, max(operations), self.profile, self._beside)
        calls = len(frames) * max(map(ranks.count, range(count)))
        return replace(work, calls=calls, mapped=mapped)

    def share(self, count: int) -> Work:
        """The work of another rank that needs most memory: the passes of its tiles.

        Their frames stay until rank 0 has received them, at most all of them.
        """
        grid, frames = self._grid, self._frames
        ranks, works = owners(grid.tiles, count), []
        for rank in range(1, count):
            peak, operations, decoded, mapped = Peak(0, 0), 0.0, 0, 0
            for tile in (t for t, owner in zip(grid.tiles, ranks, strict=True) if owner == rank):
                outs = [rounded(n * prod(tile) * grid.scale**2 * self._pixel) for n in frames]
                tile_peak, tile_operations = _tile(self._passes, prod(tile), outs)
                peak = higher(peak, tile_peak, decoded)
                operations += tile_operations
                decoded, mapped = decoded + sum(outs), mapped + tile_peak.mapped
            work = work_of(peak, operations, self.profile, self._beside)
            works.append(replace(work, calls=len(frames) * ranks.count(rank), mapped=mapped))
        return max(works, key=lambda work: work.peak)

    @property
    def _grid(self) -> TileGrid:
        return grid_of(self.request, self.configs)

    @property
    def _frames(self) -> list[int]:
        """Frames of each pass over a tile."""
        latents = self.request.latent_frames
        odd = latents + (latents + 1) % 2  # of an even number, the last one is repeated
        return [4 * n - 3 * (n % 2) for n in frame_batches(odd)]

    @property
    def _pixel(self) -> int:
        """Bytes of a pixel."""
        return int(self.configs["vae"]["out_channels"]) * ITEM[self.dtype]

    @property
    def _passes(self) -> Passes:
        if self.fast:
            return self.profile.decode_fast
        return self.profile.decode_lean if self.lean else self.profile.decode

    @property
    def _beside(self) -> int:
        """Bytes of the latents, plain and scaled, and of the prompt embeddings."""
        item, configs = ITEM[self.dtype], self.configs
        padded, height, width = latent_clip(self.request, configs)
        latent = configs["vae"]["latent_channels"] * height * width * item
        around = rounded(padded * latent) + rounded(self.request.latent_frames * latent)
        return around + _prompts(self.request, configs, item)


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


def encode_video(
    request: Request, dtype: Dtype, passes: Passes, profile: Profile, configs: Configs
) -> Work:
    """``tiled_encode`` of a clip, then its latents, the noise, and both together."""
    item, grid = ITEM[dtype], grid_of(request, configs)
    latent = configs["vae"]["latent_channels"] * item
    batches = frame_batches(_frames_of(request, configs), SAMPLE_BATCH)
    counts = [latent_frames(batches[0]), *(n // 4 for n in batches[1:])]
    peak, operations, encoded, mapped = Peak(0, 0), 0.0, 0, 0
    for tile in grid.tiles:
        outs = [rounded(2 * latent * n * prod(tile)) for n in counts]  # mean and variance
        tile_peak, tile_operations = _tile(passes, prod(tile) * grid.scale**2, outs)
        peak = higher(peak, tile_peak, encoded)
        operations += tile_operations
        encoded += rounded(sum(outs))
        mapped += tile_peak.mapped
    # The mean and the variance, its exponentials, the sample, its copies, the noise and the sum.
    one, clips = rounded(latent * prod(latent_clip(request, configs))), encoded_clips(request)
    peak = higher(peak, Peak(10 * one, 10 * one))
    around = clip_bytes(request, configs, item) + 2 * _prompts(request, configs, item)
    around += clips * one if request.model.inpaints else 0  # the noise, and those encoded before
    work = work_of(peak, clips * operations, profile, around)
    return replace(work, calls=clips * len(grid.tiles) * len(batches), mapped=clips * mapped)


def clip_bytes(request: Request, configs: Configs, item: int) -> int:
    """Bytes of the clip that is encoded, in pixels."""
    pixels = request.height * request.width * _frames_of(request, configs)
    return rounded(int(configs["vae"]["in_channels"]) * pixels * item)


def _frames_of(request: Request, configs: Configs) -> int:
    if request.model.inpaints:
        return 4 * seen_latents(request) - 3
    return encoded_frames(request.num_frames, configs["transformer"]["patch_size_t"])


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
