"""Profiles of architectures outside the catalogue, traced on the meta device in seconds."""

from __future__ import annotations

import json
from dataclasses import replace
from math import prod

from cogmagic._footprint.configs import grid_of, pass_clip
from cogmagic._footprint.curves import Profile
from cogmagic._models.family import Configs
from cogmagic._models.model import Dtype
from cogmagic._models.request import Request
from cogmagic._models.seen import encoded_clips
from cogmagic._pipeline.empty import buildable

__all__ = ["foreign_profile", "foreign_text_encoder_bytes", "sampled_tiles"]


_PROFILES: dict[str, Profile] = {}
"""The most recent ones: a plan asks for several numbers of frames and two dtypes."""


_MAX_PROFILES = 4


def foreign_profile(request: Request, dtype: Dtype, configs: Configs) -> Profile:
    """The curves of an architecture at the request's size, over numbers of frames.

    Raises:
        CheckpointError: when no model can be built from the configurations.
    """
    with buildable(request.model.source):
        return _traced(request, dtype, configs)


def _traced(request: Request, dtype: Dtype, configs: Configs) -> Profile:
    from cogmagic._footprint.passes import profile

    grid = grid_of(request, configs)
    tiles = sampled_tiles(grid.tiles)
    pixels = [(h * grid.scale, w * grid.scale) for h, w in tiles]
    images = pixels if request.model.task == "i2v" else []
    videos = pixels if encoded_clips(request) else []
    batches = (2, 1) if request.guided else (1,)  # 1 is for guidance in halves, or in some steps
    like = configs, dtype, tiles, grid.size, images, videos
    key, guided = (json.dumps([*like, sizes], default=str) for sizes in (batches, (2, 1)))
    key = guided if guided in _PROFILES else key
    if key not in _PROFILES:
        counts = request.model.frames.at_once()
        picked = sorted({*counts[:: max(len(counts) // 3, 1)], counts[-1]})
        clips = [pass_clip(replace(request, num_frames=n), configs) for n in picked]
        traced = profile(configs, dtype, clips, tiles, images, videos, batches)
        while len(_PROFILES) >= _MAX_PROFILES:
            del _PROFILES[next(iter(_PROFILES))]
        _PROFILES[key] = traced
    return _PROFILES[key]


def foreign_text_encoder_bytes(request: Request, dtype: Dtype, configs: Configs) -> int:
    """Bytes of the text encoder of that configuration; traces no pass.

    Raises:
        CheckpointError: when it cannot be built.
    """
    from cogmagic._pipeline.empty import empty_component, module_bytes

    with buildable(request.model.source):
        return module_bytes(empty_component("text_encoder", configs["text_encoder"], dtype))


def sampled_tiles(tiles: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The tiles of the smallest, the middle and the largest area, each once."""
    by_area = sorted({prod(tile): tile for tile in tiles}.items())
    picked = {0, len(by_area) // 2, len(by_area) - 1}
    return [by_area[i][1] for i in sorted(picked)]
