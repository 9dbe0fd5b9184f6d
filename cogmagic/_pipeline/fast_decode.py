"""Fast decoding: the VAE's decoder with few passes over memory; the same picture within rounding.

Tiles and batches of frames are those of diffusers. `fast_decode_layers` says what differs.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from typing import Any

from cogmagic._pipeline.fast_decode_layers import decoder_forward
from cogmagic._pipeline.lean_decode import decode_batches, lean_decoding, unknown_vae

__all__ = ["fast_decoding"]


@contextmanager
def fast_decoding(vae: Any, *, lean: bool = False, warn: bool = True) -> Iterator[None]:
    """Have `vae.decode` take less time; restore it afterwards.

    It needs no more memory than before. A VAE that differs from the published ones, or has hooks in
    its decoder, decodes as before, with a `UserWarning`.

    Args:
        vae: an ``AutoencoderKLCogVideoX``.
        lean: whether to return host memory, as lean decoding does. Where only fast decoding does
            not apply, decoding is lean.
        warn: whether to warn where fast decoding does not apply.
    """
    import torch

    if difference := _why_not(vae):
        if warn:
            warnings.warn(
                f"Fast decoding was left out: {difference}, so decoding takes as long as without"
                " it. Load the checkpoint's own VAE, or leave out --speed.",
                stacklevel=3,
            )
        if not lean:
            yield
            return
        with lean_decoding(vae, warn=warn):
            yield
        return
    device = torch.device("cpu") if lean else vae.device
    vae.__dict__["_decode"] = partial(decode_batches, vae, device)
    vae.decoder.__dict__["forward"] = partial(decoder_forward, vae.decoder)
    try:
        yield
    finally:
        del vae.__dict__["_decode"], vae.decoder.__dict__["forward"]


def _why_not(vae: Any) -> str:
    """Why fast decoding does not apply to `vae`; empty if it does.

    Unlike lean decoding, it reads the weights of layers instead of calling them.
    """
    if difference := unknown_vae(vae):
        return difference
    for name, module in vae.decoder.named_modules():
        if module._modules:
            continue
        if module._forward_pre_hooks or module._forward_hooks or "forward" in vars(module):
            return f"the VAE's decoder.{name} has hooks"
        if getattr(module, "p", 0) and module.training:
            return f"the VAE's decoder.{name} drops values"
    if vae.device.type == "cuda" and find_spec("triton") is None:
        return "it needs Triton, which this torch does not include (pip install triton)"
    return ""
