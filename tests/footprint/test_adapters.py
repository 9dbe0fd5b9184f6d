"""The footprint of LoRA adapters, against traces of transformers that have them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from cogmagic import Request, RequestError
from cogmagic._footprint.adapters import check_adapters
from cogmagic._footprint.configs import configs_of, latent_clip
from cogmagic._footprint.footprint import footprint
from cogmagic._footprint.passes import step
from cogmagic._models.adapters.adapter import Adapter, LoraLayer
from cogmagic._models.adapters.modules import module_shapes
from cogmagic._models.find import embedded_folder
from cogmagic._pipeline.adapters import attach, detach
from cogmagic._pipeline.empty import empty_component, module_bytes
from tests.helpers.lora_files import ATTENTION, LINEARS, write_lora


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    ("kinds", "ranks"), [(ATTENTION, (4,)), (LINEARS, (16,)), (LINEARS, (2, 64)), ((), (1,))]
)
def test_footprint_with_adapters_is_that_of_a_trace(
    tmp_path: Path, dtype: Any, kinds: tuple[str, ...], ranks: tuple[int, ...]
) -> None:
    configs = configs_of(embedded_folder())
    transformer = empty_component("transformer", configs["transformer"], dtype)
    plain = module_bytes(transformer)
    kinds = kinds or ("patch_embed.proj", "proj_out", "time_embedding.linear_1")
    loras = [
        Adapter.of(write_lora(tmp_path / f"{rank}.safetensors", real(), rank=rank, kinds=kinds))
        for rank in ranks
    ]
    request = replace(Request.of("a circle", "tiny", num_frames=17), loras=tuple(loras))
    predicted = footprint(request, dtype)
    attach(transformer, loras, getattr(torch, dtype))
    traced = step(transformer, configs, getattr(torch, dtype), 2, latent_clip(request, configs))
    assert predicted.denoise.peak == pytest.approx(traced.peak.peak, rel=1e-3)
    base = footprint(replace(request, loras=()), dtype)
    assert predicted.denoise.operations >= traced.operations > base.denoise.operations
    assert predicted.denoise.operations == pytest.approx(traced.operations, rel=0.01)
    assert predicted.blocks.adapted > base.blocks.adapted == 0
    assert predicted.transformer.weights - base.transformer.weights == pytest.approx(
        module_bytes(transformer) - plain, rel=0.2, abs=600 * 2 * 64
    )
    # With the buffers of all components, which are on the device throughout.
    assert predicted.denoise.leaf_peak >= traced.peak.leaf_peak * (1 - 1e-3)
    detach(transformer)
    assert module_bytes(transformer) == plain


def real() -> Any:
    return empty_component("transformer", configs_of(embedded_folder())["transformer"], "float32")


def adapter(model: str, *, rank: int = 4) -> Adapter:
    """An adapter of the first block's queries of a published model; it has no file."""
    from cogmagic._footprint.configs import table

    shapes = module_shapes(table()["models"][model]["configs"]["transformer"])
    name = "transformer_blocks.0.attn1.to_q"
    out, width = shapes[name]
    layer = LoraLayer(name, "down", "up", rank, width, out, 1.0)
    return Adapter("red.safetensors", 1.0, (layer,), "red.safetensors", "diffusers", None)


def test_adapter_of_another_model_is_refused_with_the_models_that_it_fits() -> None:
    request = replace(Request.of("a circle", "2b"), loras=(adapter("5b"),))
    with pytest.raises(RequestError) as caught:
        check_adapters(request)
    assert str(caught.value) == (
        "red.safetensors does not fit 2b: its transformer_blocks.0.attn1.to_q is for 3072×3072"
        " weights, the model has 1920×1920. It fits 5b, 5b-i2v, 1.5-5b and 1.5-5b-i2v:"
        " use --model 5b."
    )


def test_adapter_that_fits_several_models_is_remarked_on() -> None:
    assert check_adapters(replace(Request.of("a circle", "2b"), loras=(adapter("2b"),))) == ""
    remark = check_adapters(replace(Request.of("a circle", "5b"), loras=(adapter("5b"),)))
    assert remark.startswith("red.safetensors could be for 5b, 5b-i2v, 1.5-5b or 1.5-5b-i2v: a")
