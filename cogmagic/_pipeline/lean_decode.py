"""Lean decoding: fewer tensors alive at once, and the same picture, bit for bit.

The VAE's decoder runs the same kernels on the same numbers as diffusers' own. Neither tiles nor
batches of frames change, because its statistics run over both. Only the lifetimes differ:
elementwise steps work in place, tensors and caches are freed as soon as they are used, and each
decoded batch is blended and copied to host memory at once.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from itertools import accumulate, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cogmagic._models.json_files import read_json
from cogmagic._models.tiling import TileGrid, frame_batches
from cogmagic._pipeline.empty import empty_component
from cogmagic._pipeline.lean_layers import decoder_forward

if TYPE_CHECKING:
    import torch

__all__ = ["lean_decoding", "unknown_vae", "unknown_vae_of"]


@contextmanager
def lean_decoding(vae: Any, *, warn: bool = True) -> Iterator[None]:
    """Have `vae.decode` need less memory, and return host memory; restore it afterwards.

    The decoder and its modules that own weights are called as before, so hooks on them work. A VAE
    that differs from the published ones, or has hooks in between, decodes as before, with a
    `UserWarning`.

    Args:
        vae: an ``AutoencoderKLCogVideoX``.
        warn: whether to warn where lean decoding does not apply.
    """
    if difference := unknown_vae(vae):
        if warn:
            warnings.warn(
                f"--lean-decode was left out: {difference}, so decoding needs as much memory as"
                " without it. Load the checkpoint's own VAE, or leave out --lean-decode.",
                stacklevel=3,
            )
        yield
        return
    vae.__dict__["_decode"] = partial(_decode_lean, vae)
    vae.decoder.__dict__["forward"] = partial(decoder_forward, vae.decoder)
    try:
        yield
    finally:
        del vae.__dict__["_decode"], vae.decoder.__dict__["forward"]


def unknown_vae_of(folder: Path) -> str:
    """`unknown_vae` of a checkpoint's VAE, which is built without weights (0.3 s, once)."""
    return _unknown_vae_of(json.dumps(read_json(folder / "vae" / "config.json"), sort_keys=True))


@lru_cache(maxsize=8)
def _unknown_vae_of(config: str) -> str:
    try:
        return unknown_vae(empty_component("vae", json.loads(config), "float32"))
    except Exception:  # a VAE that cannot be built, which the loader reports
        return ""


def unknown_vae(vae: Any) -> str:
    """Why lean decoding does not apply to `vae`; empty if it does.

    The reason is a difference from what the functions here and in ``lean_layers`` assume.
    """
    from diffusers import AutoencoderKLCogVideoX
    from diffusers.models.autoencoders import autoencoder_kl_cogvideox as parts
    from torch import nn

    known = {nn.ModuleList, parts.CogVideoXDecoder3D, parts.CogVideoXMidBlock3D}
    known |= {parts.CogVideoXUpBlock3D, parts.CogVideoXUpsample3D, parts.CogVideoXResnetBlock3D}
    known |= {parts.CogVideoXSpatialNorm3D, parts.CogVideoXCausalConv3d}
    if type(vae) is not AutoencoderKLCogVideoX:
        return f"the VAE is a {type(vae).__name__}, not an AutoencoderKLCogVideoX"
    if vae.post_quant_conv is not None:
        return "the VAE has a post_quant_conv"
    if replaced := sorted({"_decode", "tiled_decode"} & vars(vae).keys()):
        return f"the VAE's {replaced[0]} is replaced"
    for name, module in vae.decoder.named_modules():
        if not module._modules:
            continue  # without parts it is called, whatever it is
        where = f"the VAE's decoder{name and '.'}{name}"
        if type(module) not in known:
            return f"{where} is a {type(module).__name__}"
        if "forward" in vars(module):
            return f"the forward of {where} is replaced"
        if module is not vae.decoder and (module._forward_pre_hooks or module._forward_hooks):
            return f"{where} has hooks"
        if getattr(module, "pad_mode", "first") == "replicate":
            return f"{where} pads with pad_mode='replicate'"
        if getattr(module, "use_conv_shortcut", False):
            return f"{where} has a convolution as its shortcut"
        if type(getattr(module, "nonlinearity", vae.decoder.conv_act)) is not nn.SiLU:
            return f"{where} has another activation than SiLU"
    return ""


def _decode_lean(vae: Any, z: torch.Tensor, return_dict: bool = True) -> Any:
    """``AutoencoderKLCogVideoX._decode``, with or without tiles, into host memory."""
    import torch
    from diffusers.models.autoencoders.vae import DecoderOutput

    *_, count, height, width = z.shape
    grid = TileGrid.of_vae(height, width, vae)
    rows, columns = grid.rows, grid.columns
    upsamplers = [up for block in vae.decoder.up_blocks for up in block.upsamplers or ()]
    batches = frame_batches(count, vae.num_latent_frames_batch_size)
    spans = list(pairwise([0, *accumulate(batches)]))
    frames = [0, *accumulate(_decoded_frames(n, upsamplers) for n in batches)]
    host = z.device if z.is_meta else torch.device("cpu")
    picture: torch.Tensor | None = None
    above: dict[tuple[int, int], torch.Tensor] = {}  # the last lines of the row before
    beside: dict[int, torch.Tensor] = {}  # the last columns of the tile before
    for i, top in enumerate(rows.starts):
        for j, left in enumerate(columns.starts):
            high, wide = rows.pixels[i], columns.pixels[j]
            y, x = sum(rows.pixels[:i]), sum(columns.pixels[:j])
            cache = None
            for k, (begin, end) in enumerate(spans):
                tile = z[:, :, begin:end, top : top + rows.tile, left : left + columns.tile]
                out, cache = vae.decoder(tile, conv_cache=cache)
                if i > 0:
                    vae.blend_v(above[j, k].to(out.device), out, rows.blend)
                if j > 0:
                    vae.blend_h(beside[k].to(out.device), out, columns.blend)
                if i + 1 < len(rows.starts):
                    above[j, k] = out[..., -rows.blend :, :].to(host, copy=True)
                if j + 1 < len(columns.starts):
                    beside[k] = out[..., -columns.blend :].to(host, copy=True)
                if picture is None:
                    size = (*out.shape[:2], frames[-1], sum(rows.pixels), sum(columns.pixels))
                    picture = torch.empty(size, dtype=out.dtype, device=host)
                place = picture[:, :, frames[k] : frames[k + 1], y : y + high, x : x + wide]
                place.copy_(out[..., :high, :wide])
                del out
    return DecoderOutput(sample=picture) if return_dict else (picture,)


def _decoded_frames(count: int, upsamplers: list[Any]) -> int:
    """Frames that the decoder makes of `count` latent ones."""
    for up in upsamplers:
        count = 2 * count - count % 2 if up.compress_time else count
    return count
