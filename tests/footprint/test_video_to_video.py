"""The footprint of video-to-video, against traces of the pipeline's own calls."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from cogmagic import Request
from cogmagic._footprint.curves import stored_profile
from cogmagic._footprint.footprint import footprint, footprint_from
from cogmagic._footprint.foreign import foreign_profile
from tests.helpers.footprints import configs_for, near, request_for


def with_video(name: str, width: int, height: int, frames: int) -> Request:
    clip = np.zeros((frames, 8, 8, 3), np.uint8)
    return request_for(name, width, height, frames, video=clip)


def traced_latents(configs: dict[str, Any], request: Request, frames: int) -> Any:
    """A trace of the pipeline's ``prepare_latents``, beside the clip and the embeddings."""
    import torch
    from diffusers import CogVideoXDDIMScheduler, CogVideoXVideoToVideoPipeline

    from cogmagic._footprint.trace import traced
    from cogmagic._pipeline.empty import empty_component

    dtype = request.model.dtype
    kind = getattr(torch, dtype)
    vae = empty_component("vae", configs["vae"], dtype)
    vae.enable_tiling()
    pipe = CogVideoXVideoToVideoPipeline(None, None, vae, None, CogVideoXDDIMScheduler())
    width, tokens = configs["transformer"]["text_embed_dim"], request.model.max_tokens
    with traced(vae) as trace:
        embeds = [torch.empty(1, tokens, width, dtype=kind, device="meta") for _ in range(2)]
        embeds.append(torch.cat(embeds))
        clip = torch.empty(1, 3, frames, request.height, request.width, dtype=kind, device="meta")
        latents = pipe.prepare_latents(
            clip, 1, 16, request.height, request.width, kind, torch.device("meta"),
            timestep=torch.zeros(1, dtype=torch.int64, device="meta"),
        )  # fmt: skip
        assert latents.shape[1] % (configs["transformer"]["patch_size_t"] or 1) == 0
    del clip
    return trace


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shape", "encoded"),
    [
        (("tiny", 96, 96, 17), 17),
        (("tiny", 208, 176, 33), 33),
        (("2b", 400, 272, 9), 9),
        (("1.5-5b", 272, 256, 17), 21),
    ],
)
def test_encoding_equals_a_traced_call_of_the_pipeline(
    script: ModuleType, shape: tuple[Any, ...], encoded: int
) -> None:
    request = with_video(*shape)
    trace = traced_latents(configs_for(script, request.model), request, encoded)
    work = footprint(request, request.model.dtype).encode_video
    assert work is not None
    peak, buffers = trace.peak(), stored_profile(shape[0], request.model.dtype).buffers
    near(work, replace(peak, leaf_peak=peak.leaf_peak + buffers), below=1e-4, above=1e-3)
    assert work.operations == pytest.approx(trace.operations, rel=1e-9)


def test_a_step_has_the_clip_beside_it() -> None:
    request = with_video("1.5-5b", 1360, 768, 81)
    plain = request_for("1.5-5b", 1360, 768, 81)
    more = footprint(request, "bfloat16").denoise.peak - footprint(plain, "bfloat16").denoise.peak
    assert more == 85 * 768 * 1360 * 3 * 2
    assert footprint(plain, "bfloat16").encode_video is None


@pytest.mark.slow
def test_stored_passes_equal_those_of_a_foreign_trace(script: ModuleType) -> None:
    request = with_video("tiny", 208, 176, 33)
    configs = configs_for(script, request.model)
    traced = foreign_profile(request, "float32", configs)
    work = footprint_from(traced, configs, request, "float32", halves=False, lean=False)
    stored = footprint(request, "float32").encode_video
    assert work.encode_video is not None
    assert stored is not None
    assert stored.peak == pytest.approx(work.encode_video.peak, rel=1e-3)
    assert stored.operations == pytest.approx(work.encode_video.operations, rel=1e-9)
