"""The layers of the VAE's decoder with fewer tensors alive: same kernels, same numbers.

Re-implements the `forward` of five classes of diffusers
(``diffusers/models/autoencoders/autoencoder_kl_cogvideox.py``) with in-place elementwise steps.
A function with an argument `box` takes the only tensor out of that list, so that no caller keeps
it alive.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

__all__ = ["decoder_forward"]


def decoder_forward(
    decoder: Any,
    sample: torch.Tensor,
    *,
    conv_cache: dict[Any, torch.Tensor] | None = None,
) -> tuple[torch.Tensor, dict[Any, torch.Tensor]]:
    """``CogVideoXDecoder3D.forward``: the pixels, and the frames that the next pass needs."""
    import torch

    caches = {} if conv_cache is None else conv_cache
    with torch.no_grad():
        box = [sample]
        box = [_convolved(decoder.conv_in, box, caches)]
        for block in (decoder.mid_block, *decoder.up_blocks):
            for resnet in block.resnets:
                box = [_resnet(resnet, box, sample, caches)]
            for up in getattr(block, "upsamplers", None) or ():
                box = [up(box.pop()).contiguous()]
        box = [_activated(decoder.norm_out, box, sample)]
        return _convolved(decoder.conv_out, box, caches), caches


def _resnet(
    resnet: Any, box: list[torch.Tensor], sample: torch.Tensor, caches: dict[Any, torch.Tensor]
) -> torch.Tensor:
    """``CogVideoXResnetBlock3D.forward``, with the shortcut first, which frees its input."""
    changes_channels = resnet.in_channels != resnet.out_channels
    rest = [resnet.conv_shortcut(box[0])] if changes_channels else [box[0]]
    box = [_activated(resnet.norm1, box, sample)]
    box = [_convolved(resnet.conv1, box, caches)]
    box = [_activated(resnet.norm2, box, sample)]
    box = [resnet.dropout(box.pop())]
    box = [_convolved(resnet.conv2, box, caches)]
    return box.pop().add_(rest.pop())


def _activated(norm: Any, box: list[torch.Tensor], sample: torch.Tensor) -> torch.Tensor:
    """``CogVideoXSpatialNorm3D.forward`` and the SiLU that always follows.

    The norm's convolutions are pointwise, so they need no frames of the previous pass.
    """
    import torch
    from torch.nn.functional import interpolate, silu

    out: torch.Tensor = norm.norm_layer(box.pop())
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
    convolution: Any, box: list[torch.Tensor], caches: dict[Any, torch.Tensor]
) -> torch.Tensor:
    """``CogVideoXCausalConv3d.forward``; `caches` has the last frames of the previous pass."""
    past = convolution.time_kernel_size - 1
    batch, channels, count, *size = box[0].shape
    padded = box[0].new_empty(batch, channels, past + count, *size)
    padded[:, :, past:] = box.pop()
    before = caches.pop(convolution, None)
    padded[:, :, :past] = padded[:, :, past : past + 1] if before is None else before
    del before
    caches[convolution] = padded[:, :, -past:].clone()
    out: torch.Tensor = convolution.conv(padded)
    return out
