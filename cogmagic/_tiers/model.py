"""Tier ``model``, model offload: one whole component on the GPU at a time."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

from cogmagic._footprint.footprint import Footprint
from cogmagic._tiers.base import Phases, Placement, Tier, Variant, encoding_video

if TYPE_CHECKING:
    from cogmagic._tiers.host_copy import HostCopy

__all__ = ["ModelOffload"]


class ModelOffload(Tier):
    """diffusers' ``enable_model_cpu_offload``."""

    name = "model"
    title = "model offload"
    meaning = "one whole component on the GPU at a time"

    def phases(self, f: Footprint, overhead: int, variant: Variant) -> tuple[Phases, ...]:
        """A component leaves when the next is called, so a phase begins with both on the GPU.

        The VAE is called for the first frame or the clip before the transformer evicts the text
        encoder, and nothing evicts the VAE until the end.
        """
        text, transformer, vae = f.text_encoder.weights, f.transformer.weights, f.vae.weights
        image = text + vae + f.encode_image.peak if f.encode_image else 0
        beside = vae if f.encode_image or f.encode_video else 0
        denoise = max(transformer + f.denoise.peak + beside, image, text)
        before_decode = transformer + beside
        return (
            {
                "load": 0,
                "encode": text + f.encode.peak + overhead,
                "denoise": denoise + overhead,
                "decode": max(before_decode, vae + f.decode.peak) + overhead,
            }
            | encoding_video(f, text + vae + overhead),
        )

    def place(self, pipe: Any, placement: Placement, host: HostCopy, undo: ExitStack) -> None:
        """Have diffusers hook the pipeline, with an eviction that copies nothing back."""
        from cogmagic._tiers.host_copy import HostCopy

        pipe._offload_gpu_id = (
            placement.device.index or 0
        )  # diffusers takes index 0 for "as before"
        pipe.enable_model_cpu_offload(device=placement.device)
        for user_hook in pipe._all_hooks:
            # Evicting a component drops its copy on the device; diffusers would copy it back, which
            # takes 10 s for the 5B transformer and a second block of host memory.
            user_hook.hook.init_hook = HostCopy([user_hook.model]).restore
        # The last line of the pipeline's call would copy everything back and hook it again.
        pipe.maybe_free_model_hooks = partial(int)
