"""Small VAEs of the real class, latents for them, and what decoding leaves behind."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch

from cogmagic._footprint.configs import table
from cogmagic._models.find import embedded_folder


def embedded_vae() -> Any:
    """The embedded model's VAE, with tiles of 6×5 latents."""
    from diffusers import AutoencoderKLCogVideoX

    vae = AutoencoderKLCogVideoX.from_pretrained(embedded_folder(), subfolder="vae").eval()
    vae.enable_slicing()
    vae.enable_tiling(48, 40)
    return vae


def narrow_vae() -> Any:
    """The VAE of the 5b with an eighth of its channels and random weights, tiles of 4×6."""
    from diffusers import AutoencoderKLCogVideoX

    torch.manual_seed(0)
    config = table()["models"]["5b"]["configs"]["vae"]
    vae = AutoencoderKLCogVideoX.from_config(
        config | {"block_out_channels": (16, 32, 32, 64), "norm_num_groups": 16}
    ).eval()
    vae.enable_slicing()
    vae.enable_tiling(32, 48)  # of which the overlaps are no whole latents
    return vae


def latents(frames: int, size: tuple[int, int], dtype: torch.dtype, batch: int = 1) -> torch.Tensor:
    """As ``decode_latents`` gives them: strided."""
    generator = torch.Generator().manual_seed(frames)
    made = torch.randn(batch, frames, 16, *size, generator=generator).to(dtype)
    return made.permute(0, 2, 1, 3, 4) * 1.2


def decoded(vae: Any, z: torch.Tensor, within: Any = None) -> tuple[torch.Tensor, int]:
    """The picture, and how often the decoder was called for it."""
    calls = 0

    def called(*_: Any) -> None:
        nonlocal calls
        calls += 1

    hooks = [vae.decoder.register_forward_hook(called)]
    hooks += [vae.decoder.register_forward_pre_hook(called)]
    try:
        with torch.no_grad(), within or nullcontext():
            return vae.decode(z).sample, calls
    finally:
        for hook in hooks:
            hook.remove()


def state(vae: Any) -> list[dict[str, Any]]:
    """Everything that hangs on the modules, by what it is and not by what it is worth."""
    states = []
    for module in vae.modules():
        known = dict(vars(module))
        for name, value in known.items():
            if isinstance(value, dict):
                known[name] = {key: id(item) for key, item in value.items()}
        states.append(known)
    return states
