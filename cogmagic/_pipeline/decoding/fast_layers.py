"""The layers of the VAE's decoder with few passes over memory, channels-last throughout.

Re-implements the `forward` of five classes of diffusers
(``diffusers/models/autoencoders/autoencoder_kl_cogvideox.py``): the same arithmetic with other
roundings. Against diffusers' own,

- GroupNorm, its spatial scale and shift, and SiLU are one pass, which writes into the padded input
  of the next convolution; no bias of these convolutions has a pass of its own;
- the maps of scale and shift are computed at the latents' size, because nearest interpolation and
  pointwise convolutions commute; and frames are doubled after the upsampling convolution.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cogmagic._units import GIB

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
    with torch.no_grad(), torch.cuda.device_of(sample):  # type: ignore[no-untyped-call]
        run = _Pass(sample, caches)
        run.enter(decoder.conv_in)
        for block in (decoder.mid_block, *decoder.up_blocks):
            for resnet in block.resnets:
                run.resnet(resnet)
            for up in getattr(block, "upsamplers", None) or ():
                run.upsample(up)
        run.activate(decoder.norm_out, decoder.conv_out)
        return decoder.conv_out.conv(run.x), caches


class _Pass:
    """One pass over a few latent frames: its hidden states, and a bias still to be added."""

    def __init__(self, sample: torch.Tensor, caches: dict[Any, torch.Tensor]) -> None:
        self.x = sample
        """The hidden states: only here, so that each is freed when the next one is computed."""
        self.bias: torch.Tensor | None = None
        """By channel, still to be added to `x`."""
        self.moments: Any = None
        """Those of `x` for GroupNorm, without `bias`."""
        self.caches = caches
        """By convolution, the last frames of the previous pass; replaced by those of this one."""
        self.latents = sample.permute(0, 2, 3, 4, 1).contiguous()
        self.norm = _normalisation(sample.device)

    def enter(self, convolution: Any) -> None:
        """The decoder's first convolution."""
        padded = _padded(convolution, self.x)
        padded[:, :, -self.x.shape[2] :] = self.x
        self._look_back(convolution, padded)
        self._convolve(convolution)
        self._add()

    def resnet(self, resnet: Any) -> None:
        """``CogVideoXResnetBlock3D.forward``."""
        changes_channels = resnet.in_channels != resnet.out_channels
        rest = _ordered(resnet.conv_shortcut(self.x)) if changes_channels else self.x
        self.activate(resnet.norm1, resnet.conv1)
        self._convolve(resnet.conv1)
        self.moments = self.norm.moments(self.x)
        self.activate(resnet.norm2, resnet.conv2)
        self._convolve(resnet.conv2)
        self._add(rest)

    def activate(self, norm: Any, convolution: Any) -> None:
        """``CogVideoXSpatialNorm3D.forward`` and SiLU, for `convolution` to follow."""
        from torch.nn.functional import linear

        scales = self.norm.scales(self.moments, self.x, norm.norm_layer, self.bias)
        maps = norm.conv_y.conv, norm.conv_b.conv
        y, b = (linear(self.latents, conv.weight.flatten(1), conv.bias) for conv in maps)
        padded = _padded(convolution, self.x)
        self.norm.normalise(self.x, scales, y, b, padded)
        self.bias = None
        self._look_back(convolution, padded)

    def upsample(self, up: Any) -> None:
        """``CogVideoXUpsample3D.forward``."""
        from torch.nn.functional import conv2d

        batch, channels, count, height, width = self.x.shape
        rows = self.x.permute(0, 2, 3, 4, 1)[:, :, :, None, :, None]
        rows = rows.expand(-1, -1, -1, 2, -1, 2, -1)
        self.x = rows.reshape(-1, 2 * height, 2 * width, channels).permute(0, 3, 1, 2)
        del rows
        conv, self.bias = up.conv, up.conv.bias
        self.x = conv2d(self.x, conv.weight, stride=conv.stride, padding=conv.padding)
        # In the order of memory, because for a single frame `view` makes other strides, by which
        # the next convolution does not take the tensor as channels-last.
        rows = self.x.permute(0, 2, 3, 1).contiguous()
        self.x = rows.view(batch, count, *rows.shape[1:]).permute(0, 4, 1, 2, 3)
        del rows
        if up.compress_time and count > 1:
            odd = count % 2  # a clip's first frame stays one
            doubled = _empty(self.x, 2 * count - odd)
            doubled[:, :, :odd] = self.x[:, :, :odd]
            for twin in (0, 1):
                doubled[:, :, odd + twin :: 2] = self.x[:, :, odd:]
            self.x = doubled
        self._add()

    def _look_back(self, convolution: Any, padded: torch.Tensor) -> None:
        """Make `padded` the hidden states, the frames before its own in front.

        As ``CogVideoXCausalConv3d`` does: those of the previous pass, or the first frame again.
        """
        past = convolution.time_kernel_size - 1
        before = self.caches.pop(convolution, None)
        padded[:, :, :past] = padded[:, :, past : past + 1] if before is None else before
        self.caches[convolution] = padded[:, :, -past:].clone()
        self.x = padded

    def _convolve(self, convolution: Any) -> None:
        """Convolve the padded `x`, without the bias."""
        from torch.nn.functional import conv3d

        conv = convolution.conv
        if self.x.nbytes > 2 * GIB:  # which diffusers cuts into several convolutions
            self.x = _ordered(conv(self.x))
        else:
            self.x = _ordered(conv3d(self.x, conv.weight, padding=conv.padding))
            self.bias = conv.bias

    def _add(self, rest: torch.Tensor | None = None) -> None:
        """Add the bias and `rest`, and measure the moments."""
        self.moments = self.norm.moments(self.x, rest, self.bias)
        self.bias = None


def _normalisation(device: torch.device) -> Any:
    """The module that normalises on `device`."""
    if device.type == "cuda":
        from cogmagic._pipeline.decoding import fast_kernels

        return fast_kernels
    from cogmagic._pipeline.decoding import fast_torch

    return fast_torch


def _ordered(x: torch.Tensor) -> torch.Tensor:
    """`x` channels-last in memory, as the kernels read it; a copy where a convolution differs."""
    import torch

    return x.contiguous(memory_format=torch.channels_last_3d)


def _padded(convolution: Any, x: torch.Tensor) -> torch.Tensor:
    """An empty input of `convolution`, with as many frames more than `x` as it looks back."""
    return _empty(x, convolution.time_kernel_size - 1 + x.shape[2])


def _empty(x: torch.Tensor, count: int) -> torch.Tensor:
    """An empty tensor like `x` with `count` frames, channels-last."""
    import torch

    shape = (*x.shape[:2], count, *x.shape[3:])
    return torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=torch.channels_last_3d)
