"""Traced modules and passes, against real modules and whole passes."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from cogmagic._footprint.configs import table
from cogmagic._footprint.footprint import footprint
from tests.helpers.footprints import configs_for, model_named, near, request_for


@pytest.mark.parametrize("learned", [False, True])
def test_stored_positions_have_the_loaders_dtype(tmp_path: Path, learned: bool) -> None:
    import torch
    from diffusers import CogVideoXTransformer3DModel

    from cogmagic._pipeline.empty import empty_component

    small = {"num_attention_heads": 2, "attention_head_dim": 16, "num_layers": 1}
    small |= {"text_embed_dim": 32, "time_embed_dim": 8, "sample_width": 12, "sample_height": 12}
    module = CogVideoXTransformer3DModel(
        **small,
        use_rotary_positional_embeddings=learned,
        use_learned_positional_embeddings=learned,
    )
    module.save_pretrained(tmp_path)
    loaded = CogVideoXTransformer3DModel.from_pretrained(tmp_path, dtype=torch.float16)
    built = empty_component("transformer", dict(module.config), "float16")
    assert {n: b.dtype for n, b in built.named_buffers()} == {
        n: b.dtype for n, b in loaded.named_buffers()
    }
    assert len(list(built.named_buffers())) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "shape", [("5b", 400, 272, 9), ("tiny", 208, 176, 33), ("tiny", 96, 96, 17)]
)
def test_footprint_of_parts_equals_whole_passes(script: ModuleType, shape: tuple[Any, ...]) -> None:
    request = request_for(*shape)
    ours = footprint(request, request.model.dtype)
    for phase, (peak, operations) in script.naive(request).items():
        near(getattr(ours, phase), peak)
        assert getattr(ours, phase).operations == pytest.approx(operations, rel=1e-9)


def traceable(dtype: Any) -> tuple[Any, Any]:
    """The tiny model's VAE and latents of 208x176, 33 frames, on the meta device."""
    import torch

    from cogmagic._pipeline.empty import empty_component

    configs = table()["models"]["tiny"]["configs"]
    vae = empty_component("vae", configs["vae"], dtype)
    vae.enable_tiling()
    channels = configs["vae"]["latent_channels"]
    shape = (1, channels, 9, 22, 26)
    return vae, torch.empty(shape, dtype=getattr(torch, dtype), device="meta")


@pytest.mark.slow
def test_lean_footprint_matches_a_traced_lean_decode() -> None:
    """On the meta device the picture and the strips count, too, which go to host memory."""
    from cogmagic._footprint.trace import traced
    from cogmagic._pipeline.decoding.lean import lean_decoding

    request = request_for("tiny", 208, 176, 33)
    vae, latents = traceable("bfloat16")
    with lean_decoding(vae), traced(vae) as trace:
        picture = vae.decode(latents).sample
    work = footprint(request, "bfloat16", lean=True).decode
    assert work.peak <= trace.peak().peak <= work.peak + 2 * picture.nbytes
    assert work.operations == pytest.approx(trace.operations, rel=1e-9)
    assert work.peak < 0.7 * footprint(request, "bfloat16").decode.peak


@pytest.mark.slow
def test_fast_footprint_matches_a_traced_fast_decode() -> None:
    from cogmagic._footprint.trace import traced
    from cogmagic._pipeline.decoding.fast import fast_decoding

    request = request_for("tiny", 208, 176, 33)
    vae, latents = traceable("bfloat16")
    with fast_decoding(vae), traced(vae) as trace:
        picture = vae.decode(latents).sample
    fast, plain, both = (
        footprint(request, "bfloat16", lean=lean, fast=fast).decode
        for lean, fast in ((False, True), (False, False), (True, True))
    )
    assert fast.peak == pytest.approx(trace.peak().peak, rel=0.02)
    assert fast.peak < 0.6 * plain.peak
    assert picture.nbytes <= fast.peak - both.peak < 1.5 * picture.nbytes
    assert fast.operations == plain.operations


def test_few_traced_blocks_give_the_figures_of_all(script: ModuleType) -> None:
    import torch

    from cogmagic._footprint.passes import step
    from cogmagic._pipeline.empty import empty_component

    model = model_named("2b")
    configs, clip = configs_for(script, model), (13, 60, 90)
    config = configs["transformer"]
    built = [
        empty_component("transformer", config | {"num_layers": count}, "float16")
        for count in (2, 3, 30)
    ]
    two, three, whole = (step(m, configs, torch.float16, 2, clip) for m in built)
    assert len(built[2].transformer_blocks) == 30
    assert two == three == whole
