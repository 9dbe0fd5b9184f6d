"""Lean decoding: fewer tensors alive at once, and the same picture, bit for bit.

The VAE's decoder runs the same kernels on the same numbers as diffusers' own. Neither tiles nor
batches of frames change, because its statistics run over both. Only the lifetimes differ:
elementwise steps work in place, tensors and caches are freed as soon as they are used, and each
decoded batch is blended and copied to host memory at once.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, lru_cache, partial
from itertools import accumulate, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cogmagic._models.checkpoints.json_files import read_json
from cogmagic._models.tiling import TileGrid, frame_batches
from cogmagic._pipeline.decoding.lean_layers import decoder_forward
from cogmagic._pipeline.empty import empty_component

if TYPE_CHECKING:
    import torch

__all__ = ["decode_batches", "decoding_by", "lean_decoding", "unknown_vae", "unknown_vae_of"]


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
    with decoding_by(vae, "cpu", decoder_forward):
        yield


@contextmanager
def decoding_by(vae: Any, device: str, forward: Callable[..., Any]) -> Iterator[None]:
    """Have `vae.decode` run `decode_batches` with this forward pass; restore it afterwards.

    Args:
        vae: an ``AutoencoderKLCogVideoX`` without differences (`unknown_vae`).
        device: for `decode_batches`.
        forward: of its decoder, which is the first argument.
    """
    vae.__dict__["_decode"] = partial(decode_batches, vae, device)
    vae.decoder.__dict__["forward"] = partial(forward, vae.decoder)
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


def decode_batches(vae: Any, device: str, z: torch.Tensor, return_dict: bool = True) -> Any:
    """``AutoencoderKLCogVideoX._decode``, with or without tiles.

    The picture goes into memory of `device`, or of the latents' device if that is empty.
    """
    import torch
    from diffusers.models.autoencoders.vae import DecoderOutput

    *_, count, height, width = z.shape
    grid = TileGrid.of_vae(height, width, vae)
    rows, columns = grid.rows, grid.columns
    upsamplers = [up for block in vae.decoder.up_blocks for up in block.upsamplers or ()]
    batches = frame_batches(count, vae.num_latent_frames_batch_size)
    spans = list(pairwise([0, *accumulate(batches)]))
    frames = [0, *accumulate(_decoded_frames(n, upsamplers) for n in batches)]
    to = torch.device(device) if device and not z.is_meta else z.device
    shares = cache(partial(_shares, device=z.device))
    picture: torch.Tensor | None = None
    above: dict[tuple[int, int], torch.Tensor] = {}  # the last lines of the row before
    beside: dict[int, torch.Tensor] = {}  # the last columns of the tile before
    for i, top in enumerate(rows.starts):
        for j, left in enumerate(columns.starts):
            high, wide = rows.pixels[i], columns.pixels[j]
            y, x = sum(rows.pixels[:i]), sum(columns.pixels[:j])
            frames_before = None
            for k, (begin, end) in enumerate(spans):
                tile = z[:, :, begin:end, top : top + rows.tile, left : left + columns.tile]
                out, frames_before = vae.decoder(tile, conv_cache=frames_before)
                if i > 0:
                    _blend(above[j, k], out, 3, shares)
                if j > 0:
                    _blend(beside[k], out, 4, shares)
                if i + 1 < len(rows.starts):
                    above[j, k] = out[..., -rows.blend :, :].to(to, copy=True)
                if j + 1 < len(columns.starts):
                    beside[k] = out[..., -columns.blend :].to(to, copy=True)
                if picture is None:
                    size = (*out.shape[:2], frames[-1], sum(rows.pixels), sum(columns.pixels))
                    picture = torch.empty(size, dtype=out.dtype, device=to)
                place = picture[:, :, frames[k] : frames[k + 1], y : y + high, x : x + wide]
                place.copy_(out[..., :high, :wide])
                del out
    return DecoderOutput(sample=picture) if return_dict else (picture,)


def _blend(before: torch.Tensor, out: torch.Tensor, dim: int, shares: Any) -> None:
    """``blend_v`` or ``blend_h`` of the VAE, for all lines at once: the same bits.

    Args:
        before: the last lines of the tile before, as many as blend.
        out: the tile, of which the first lines are changed.
        dim: 3 for rows, 4 for columns.
        shares: `_shares` on the device of `out`.
    """
    extent = min(before.shape[dim], out.shape[dim])
    before = before.to(out.device).narrow(dim, before.shape[dim] - extent, extent)
    lines = out.narrow(dim, 0, extent)
    old, new = (share.view(-1, *[1] * (4 - dim)) for share in shares(extent))
    lines.copy_((before * old).to(out.dtype) + (lines * new).to(out.dtype))


def _shares(extent: int, device: torch.device) -> torch.Tensor:
    """The shares of the two tiles in each of `extent` lines: [2, lines].

    Divided in float64 and then rounded to float32, in which torch multiplies 16-bit numbers by a
    Python float.
    """
    import torch

    new = [line / extent for line in range(extent)]
    shares = torch.tensor([[1 - share for share in new], new], dtype=torch.float64)
    return shares.float().to(device)


def _decoded_frames(count: int, upsamplers: list[Any]) -> int:
    """Frames that the decoder makes of `count` latent ones."""
    for up in upsamplers:
        count = 2 * count - count % 2 if up.compress_time else count
    return count
