"""Requests by model and size, and their footprints from fresh traces."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from cogmagic import Request
from cogmagic._footprint.configs import grid_of, pass_clip
from cogmagic._footprint.curves import Peak
from cogmagic._footprint.footprint import Footprint, footprint_from
from cogmagic._footprint.foreign import sampled_tiles
from cogmagic._footprint.work import Work
from cogmagic._models.catalog import catalogued
from cogmagic._models.inputs import placeholders
from cogmagic._models.model import Dtype, Model
from cogmagic._models.seen import encoded_clips


def model_named(name: str) -> Model:
    found = catalogued(name)
    assert found is not None
    return found


def request_for(name: str, width: int, height: int, frames: int, **more: Any) -> Request:
    from PIL import Image

    model = model_named(name)
    if model.task == "i2v":
        more["image"] = Image.new("RGB", (8, 8))
    more = placeholders(model.task, more) | more
    return Request.of("a", model, width=width, height=height, num_frames=frames, **more)


def configs_for(script: ModuleType, model: Model) -> dict[str, Any]:
    return {p: known | script.published(model)[p] for p, known in script.defaults().items()}


def fresh_footprint(
    script: ModuleType, request: Request, dtype: Dtype, *, lean: bool = False
) -> Footprint:
    """The footprint from traces at just this request's sizes."""
    from cogmagic._footprint.passes import profile

    configs = configs_for(script, request.model)
    tiles = sampled_tiles(grid_of(request, configs).tiles)
    pixels = [(8 * h, 8 * w) for h, w in tiles]
    images = pixels if request.model.task == "i2v" else []
    videos = pixels if encoded_clips(request) else []
    batches = (1 if request.guidance_scale == 1 else 2,)
    clips = [pass_clip(request, configs)]
    if request.model.task == "void":  # whose last window is shorter
        clips = [(frames, *clips[0][1:]) for frames in (2, 12, clips[0][0])]
    traced = profile(configs, dtype, clips, tiles, images, videos, batches=batches)
    return footprint_from(traced, configs, request, dtype, halves=False, lean=lean)


def near(ours: Work, peak: Peak, below: float = 0.005, above: float = 0.015) -> None:
    for found, true in (ours.peak, peak.peak), (ours.leaf_peak, peak.leaf_peak):
        assert 1 - below <= found / true <= 1 + above
