"""Fast decoding by its Triton kernels on a GPU, against diffusers' own and against plain torch."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from cogmagic._pipeline.decoding.fast import fast_decoding
from tests.helpers.decoders import decoded, embedded_vae, latents, narrow_vae

GPU = torch.device("cuda")


@pytest.fixture(autouse=True)
def no_tf32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


@pytest.mark.parametrize("make", [embedded_vae, narrow_vae])  # 48 channels are no power of two
@pytest.mark.parametrize("frames", [1, 4, 5])
@pytest.mark.parametrize("lean", [False, True])
def test_picture_is_the_same_within_rounding(make: Any, frames: int, lean: bool) -> None:
    vae = make().to(GPU)
    z = latents(frames, (9, 8), torch.float32).to(GPU)
    plain, calls = decoded(vae, z)
    fast, again = decoded(vae, z, fast_decoding(vae, lean=lean))
    assert fast.device.type == ("cpu" if lean else "cuda")
    assert (fast.to(GPU) - plain).abs().max() <= 2e-5 * plain.abs().max()
    assert again == calls


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_as_close_to_float32_as_diffusers_is(dtype: torch.dtype) -> None:
    z = latents(5, (9, 8), torch.float32).to(GPU)
    exact = decoded(embedded_vae().to(GPU), z)[0]
    vae = embedded_vae().to(GPU, dtype)
    plain = decoded(vae, z.to(dtype))[0]
    fast = decoded(vae, z.to(dtype), fast_decoding(vae))[0]
    assert (fast - exact).pow(2).mean() <= 1.1 * (plain - exact).pow(2).mean()


@pytest.mark.parametrize("channels", [64, 48, 512])
def test_kernels_compute_what_plain_torch_does(channels: int) -> None:
    from cogmagic._pipeline.decoding import fast_kernels, fast_torch

    torch.manual_seed(0)
    norm = torch.nn.GroupNorm(4, channels, eps=1e-6, device=GPU)
    size = (2, channels, 5, 40, 36)
    last = torch.channels_last_3d
    x, rest = (torch.randn(size, device=GPU).add(9).to(memory_format=last) for _ in range(2))
    bias, past = torch.randn(channels, device=GPU), torch.zeros(2, channels, 2, 40, 36, device=GPU)
    maps = torch.randn(2, 2, 3, 10, 9, channels, device=GPU)
    results = []
    for module in fast_kernels, fast_torch:
        own = x.clone()
        moments = module.moments(own, rest, bias)
        to = torch.cat([past, own], dim=2).to(memory_format=last)
        module.normalise(own, module.scales(moments, own, norm, bias), *maps, to)
        results.append((own, to))
    for kernel, plain in zip(*results, strict=True):
        assert (kernel - plain).abs().max() <= 2e-5 * plain.abs().max()
