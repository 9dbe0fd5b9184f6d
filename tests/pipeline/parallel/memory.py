"""What the ranks run in tests of their memory."""

from __future__ import annotations

from functools import partial
from typing import Any
from unittest.mock import patch

import torch

from cogmagic._footprint import passes
from cogmagic._footprint.configs import table
from cogmagic._footprint.trace import traced
from cogmagic._pipeline.parallel.decode import decoding_in_parallel
from cogmagic._pipeline.parallel.group import Rank
from cogmagic._pipeline.parallel.transformer import in_parallel


def traced_step(rank: Rank, clip: tuple[int, int, int]) -> tuple[int, int, int]:
    """The peak of a step on this rank, what is alive when a block begins, and the peak outside.

    Args:
        rank: this process, which exchanges real tensors with the others.
        clip: frames, height and width of the latents.
    """
    from diffusers import CogVideoXTransformer3DModel

    configs: Any = table()["models"]["tiny"]["configs"]
    module = CogVideoXTransformer3DModel(**configs["transformer"] | {"num_layers": 2}).eval()
    real = partial(torch.zeros, dtype=torch.float32)
    with patch.object(passes, "_empty", real), in_parallel(module, rank):
        made = passes.step(module, configs, torch.float32, 2, clip)
    return made.peak.peak, made.around_blocks.leaf_peak, made.around_blocks.peak


def traced_decode(rank: Rank, clip: tuple[int, int, int]) -> int:
    """The peak of decoding on this rank, beside the weights."""
    from diffusers import AutoencoderKLCogVideoX

    configs: Any = table()["models"]["tiny"]["configs"]
    vae = AutoencoderKLCogVideoX(**configs["vae"]).eval()
    vae.enable_tiling()
    frames, height, width = clip
    latents = torch.zeros(1, frames, configs["vae"]["latent_channels"], height, width)
    with traced(vae) as trace, decoding_in_parallel(vae, rank, latents):
        vae.decode(latents.permute(0, 2, 1, 3, 4) / 2)
    return trace.peak().peak
