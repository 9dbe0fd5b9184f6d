"""Decoding with fewer tensors alive at once; the picture is the same, bit for bit.

The VAE's decoder runs the same kernels on the same numbers as diffusers' own: neither tiles nor
batches of frames change, for statistics run over both. What differs is what is there meanwhile.
Elementwise steps work in place, what is not needed any more goes before the next thing comes,
caches go as they are used, and each decoded batch goes to host memory, blended, at once.

A function that gets a list takes its only tensor out of it, so that nobody else holds that.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

__all__ = ["lean_decoding"]


@contextmanager
def lean_decoding(vae: Any) -> Iterator[None]:
    """Have `vae.decode` need less memory, and return host memory; afterwards it is as it was.

    The decoder and the modules in it that own weights are called as ever, so hooks on them work.
    A VAE that is not as the published ones are, or with hooks in between, decodes as it did.

    Args:
        vae: an ``AutoencoderKLCogVideoX``.
    """
    if not _known(vae):
        yield
        return
    vae.__dict__["_decode"] = partial(_decode, vae)
    vae.decoder.__dict__["forward"] = partial(_forward, vae.decoder)
    try:
        yield
    finally:
        del vae.__dict__["_decode"], vae.decoder.__dict__["forward"]


def _known(vae: Any) -> bool:
    """Whether `vae` is put together as the functions here suppose."""
    from diffusers import AutoencoderKLCogVideoX
    from diffusers.models.autoencoders import autoencoder_kl_cogvideox as parts
    from torch import nn

    kinds = {nn.ModuleList, parts.CogVideoXDecoder3D, parts.CogVideoXMidBlock3D}
    kinds |= {parts.CogVideoXUpBlock3D, parts.CogVideoXUpsample3D, parts.CogVideoXResnetBlock3D}
    kinds |= {parts.CogVideoXSpatialNorm3D, parts.CogVideoXCausalConv3d}
    if type(vae) is not AutoencoderKLCogVideoX or vae.post_quant_conv is not None:
        return False
    if {"_decode", "tiled_decode"} & vars(vae).keys():
        return False
    for module in vae.decoder.modules():
        if not module._modules:
            continue  # it is called, whatever it is
        hooked = module._forward_pre_hooks or module._forward_hooks
        if (
            type(module) not in kinds
            or "forward" in vars(module)
            or (hooked and module is not vae.decoder)
            or getattr(module, "pad_mode", "first") == "replicate"
            or getattr(module, "use_conv_shortcut", False)
            or type(getattr(module, "nonlinearity", vae.decoder.conv_act)) is not nn.SiLU
        ):
            return False
    return True


@dataclass(frozen=True)
class _Cut:
    """How one side of the picture is cut into tiles, and put together."""

    tile: int
    """Latents of a tile."""
    starts: range
    """Where tiles start, in latents."""
    blend: int
    """Pixels over which a tile goes over into the next one."""
    sides: list[int]
    """Pixels of the picture that come from each tile."""

    @classmethod
    def of(cls, vae: Any, side: str, length: int, scale: int, *, tiled: bool) -> _Cut:
        """The cut of `length` latents, as ``tiled_decode`` makes it; none unless `tiled`."""
        if not tiled:
            return cls(length, range(1), 0, [length * scale])
        tile, pixels, overlap = (
            getattr(vae, f"tile_{what}_{side}")
            for what in ("latent_min", "sample_min", "overlap_factor")
        )
        blend = int(pixels * overlap)
        starts = range(0, length, int(tile * (1 - overlap)))
        sides = [min(pixels - blend, min(tile, length - start) * scale) for start in starts]
        return cls(tile, starts, blend, sides)


def _decode(vae: Any, z: torch.Tensor, return_dict: bool = True) -> Any:
    """``AutoencoderKLCogVideoX._decode``, with or without tiles, into host memory."""
    import torch
    from diffusers.models.autoencoders.vae import DecoderOutput

    *_, count, height, width = z.shape
    upsamplers = [up for block in vae.decoder.up_blocks for up in block.upsamplers or ()]
    high, wide = vae.tile_latent_min_height, vae.tile_latent_min_width
    tiled = vae.use_tiling and (height > high or width > wide)
    cut = partial(_Cut.of, vae, scale=2 ** len(upsamplers), tiled=tiled)
    rows, columns = cut("height", height), cut("width", width)
    few = vae.num_latent_frames_batch_size
    batches = max(count // few, 1)
    ends = [0, *range(count - few * (batches - 1), count + 1, few)]  # the odd one goes first
    frames = [0, *accumulate(_frames(b - a, upsamplers) for a, b in pairwise(ends))]
    host = z.device if z.is_meta else torch.device("cpu")
    picture: torch.Tensor | None = None
    above: dict[tuple[int, int], torch.Tensor] = {}  # the last lines of the row before
    beside: dict[int, torch.Tensor] = {}  # the last columns of the tile before
    for i, top in enumerate(rows.starts):
        for j, left in enumerate(columns.starts):
            high, wide = rows.sides[i], columns.sides[j]
            y, x = sum(rows.sides[:i]), sum(columns.sides[:j])
            cache = None
            for k in range(batches):
                tile = z[:, :, ends[k] : ends[k + 1]]
                tile = tile[..., top : top + rows.tile, left : left + columns.tile]
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
                    size = (*out.shape[:2], frames[-1], sum(rows.sides), sum(columns.sides))
                    picture = torch.empty(size, dtype=out.dtype, device=host)
                place = picture[:, :, frames[k] : frames[k + 1], y : y + high, x : x + wide]
                place.copy_(out[..., :high, :wide])
                del out
    return DecoderOutput(sample=picture) if return_dict else (picture,)


def _frames(count: int, upsamplers: list[Any]) -> int:
    """How many frames the decoder makes of `count` latent ones."""
    for up in upsamplers:
        count = 2 * count - count % 2 if up.compress_time else count
    return count


def _forward(
    decoder: Any,
    sample: torch.Tensor,
    *,
    conv_cache: dict[Any, torch.Tensor] | None = None,
) -> tuple[torch.Tensor, dict[Any, torch.Tensor]]:
    """``CogVideoXDecoder3D.forward``."""
    import torch

    kept = {} if conv_cache is None else conv_cache
    with torch.no_grad():
        held = [sample]
        held = [_convolved(decoder.conv_in, held, kept)]
        for block in (decoder.mid_block, *decoder.up_blocks):
            for resnet in block.resnets:
                held = [_resnet(resnet, held, sample, kept)]
            for up in getattr(block, "upsamplers", None) or ():
                held = [up(held.pop()).contiguous()]
        held = [_activated(decoder.norm_out, held, sample)]
        return _convolved(decoder.conv_out, held, kept), kept


def _resnet(
    resnet: Any, held: list[torch.Tensor], sample: torch.Tensor, kept: dict[Any, torch.Tensor]
) -> torch.Tensor:
    """``CogVideoXResnetBlock3D.forward``, the shortcut first: then its input can go."""
    changes = resnet.in_channels != resnet.out_channels
    rest = [resnet.conv_shortcut(held[0])] if changes else [held[0]]
    held = [_activated(resnet.norm1, held, sample)]
    held = [_convolved(resnet.conv1, held, kept)]
    held = [_activated(resnet.norm2, held, sample)]
    held = [resnet.dropout(held.pop())]
    held = [_convolved(resnet.conv2, held, kept)]
    return held.pop().add_(rest.pop())


def _activated(norm: Any, held: list[torch.Tensor], sample: torch.Tensor) -> torch.Tensor:
    """``CogVideoXSpatialNorm3D.forward`` and SiLU, which always follows.

    The norm's convolutions are pointwise: they need no frames of the pass before.
    """
    import torch
    from torch.nn.functional import interpolate, silu

    out: torch.Tensor = norm.norm_layer(held.pop())
    count, *size = out.shape[2:]
    if count > 1 and count % 2 == 1:
        first = interpolate(sample[:, :, :1], size=(1, *size))
        rest = interpolate(sample[:, :, 1:], size=(count - 1, *size))
        latents = torch.cat([first, rest], dim=2)
        del first, rest
    else:
        latents = interpolate(sample, size=(count, *size))
    out.mul_(norm.conv_y.conv(latents))
    return silu(out.add_(norm.conv_b.conv(latents)), inplace=True)


def _convolved(
    convolution: Any, held: list[torch.Tensor], kept: dict[Any, torch.Tensor]
) -> torch.Tensor:
    """``CogVideoXCausalConv3d.forward``; `kept` has the last frames of the pass before."""
    past = convolution.time_kernel_size - 1
    batch, channels, count, *size = held[0].shape
    padded = held[0].new_empty(batch, channels, past + count, *size)
    padded[:, :, past:] = held.pop()
    before = kept.pop(convolution, None)
    padded[:, :, :past] = padded[:, :, past : past + 1] if before is None else before
    del before
    kept[convolution] = padded[:, :, -past:].clone()
    out: torch.Tensor = convolution.conv(padded)
    return out
