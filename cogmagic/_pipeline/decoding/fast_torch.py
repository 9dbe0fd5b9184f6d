"""The normalisation of fast decoding in plain torch: for the CPU, and the meta device's traces.

The same functions as ``fast_kernels``, where their arguments are described.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import interpolate, silu

__all__ = ["moments", "normalise", "scales"]


def moments(
    x: torch.Tensor, rest: torch.Tensor | None = None, bias: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Variances and means of `x` by frame: [batch, channels, frames]."""
    if bias is not None:
        x.add_(bias.view(-1, 1, 1, 1))
    if rest is not None:
        x.add_(rest)
    values = x if x.is_meta else x.float()
    return torch.var_mean(values, dim=(3, 4), correction=0)


def scales(
    moments: tuple[torch.Tensor, torch.Tensor],
    x: torch.Tensor,
    norm: Any,
    bias: torch.Tensor | None = None,
) -> torch.Tensor:
    """GroupNorm of ``x + bias`` as factor and summand of `x`: [2, batch, channels], float32."""
    batch, groups, group = x.shape[0], norm.num_groups, x.shape[1] // norm.num_groups
    offset = torch.zeros_like(norm.bias, dtype=torch.float32) if bias is None else bias.float()
    variances, means = moments
    means = (means + offset[:, None]).reshape(batch, groups, -1)
    centre = means.mean(2, keepdim=True)
    variances = variances.reshape(batch, groups, -1) + (means - centre) ** 2
    spread = (variances.mean(2) + norm.eps).rsqrt().repeat_interleave(group, dim=1)
    factor = norm.weight.float() * spread
    away = offset - centre[:, :, 0].repeat_interleave(group, dim=1)
    return torch.stack((factor, norm.bias.float() + away * factor))


def normalise(
    x: torch.Tensor, scales: torch.Tensor, y: torch.Tensor, b: torch.Tensor, to: torch.Tensor
) -> None:
    """Write ``silu((x * factor + summand) * y + b)`` into the last frames of `to`."""
    if x.is_meta:  # where the Triton kernel allocates nothing either
        return
    factor, summand = scales[..., None, None, None]
    value = (x * factor).add_(summand).mul_(_nearest(y, x)).add_(_nearest(b, x))
    to[:, :, -x.shape[2] :] = silu(value, inplace=True)


def _nearest(z: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """`z`, channels last, at the size of `x`; an odd first frame has a latent frame of its own."""
    z = z.permute(0, 4, 1, 2, 3)
    count, *size = x.shape[2:]
    odd = count % 2 if count > 1 else 0
    first, rest = z[:, :, :odd], interpolate(z[:, :, odd:], size=(count - odd, *size))
    return torch.cat([interpolate(first, size=(1, *size)), rest], dim=2) if odd else rest
