"""Bytes alive while the VAE decodes leanly."""

from __future__ import annotations

import gc
from contextlib import nullcontext
from typing import Any

import pytest
import torch

from cogmagic._footprint.configs import configs_of, table
from cogmagic._footprint.trace import traced
from cogmagic._models.find import embedded_folder
from cogmagic._pipeline.decoding.lean import lean_decoding
from cogmagic._pipeline.empty import empty_component
from cogmagic._units import GIB

pytestmark = pytest.mark.slow


def peak(vae: Any, within: Any) -> float:
    """GiB beside the weights in a tile's passes over the first three latent frames and two more."""
    with within, traced(vae) as trace:
        cache = None
        for count in (3, 2):
            tile = torch.empty(1, 16, count, 30, 45, dtype=torch.bfloat16, device="meta")
            out, cache = vae.decoder(tile, conv_cache=cache)
            del out
        return trace.peak().peak / GIB


def test_peak_is_lower() -> None:
    """For the published VAE and its tiles; the weights would be 0.4 GiB more."""
    vae = empty_component("vae", table()["models"]["5b"]["configs"]["vae"], "bfloat16")
    plain = peak(vae, nullcontext())
    assert plain > 3.5
    assert peak(vae, lean_decoding(vae)) < 0.57 * plain


def test_memory_of_a_tile_is_freed_before_the_next() -> None:
    """Counted on the meta device, where a whole clip can be traced, too."""
    vae = empty_component("vae", configs_of(embedded_folder())["vae"], "bfloat16")
    vae.enable_tiling(48, 40)
    peaks = []
    gc.collect()
    for size in (6, 6), (11, 6):
        with lean_decoding(vae), traced(vae) as trace:
            z = torch.empty(1, 16, 5, *size, dtype=torch.bfloat16, device="meta")
            picture = vae.decode(z).sample
            peaks.append(trace.peak().peak - 2 * picture.nbytes)
            assert picture.shape == (1, 3, 17, 8 * size[0], 8 * size[1])
    assert peaks[1] <= peaks[0]
