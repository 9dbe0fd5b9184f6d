"""Calls of the VAE's encoder and decoder: how many, what comes after each, and what they take."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from cogmagic._models.family import spatial_scale
from cogmagic._models.tiling import TileGrid, frame_batches
from cogmagic._pipeline.finite import FiniteCheck
from cogmagic._progress import Clock

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["after_calls", "counted_calls", "decoder_calls", "encoder_calls", "odd_count"]


@contextmanager
def after_calls(coder: nn.Module, call: Callable[[torch.Tensor], None]) -> Iterator[None]:
    """Call `call` with each output of a VAE's encoder or decoder."""
    handle = coder.register_forward_hook(lambda _, __, outputs: call(outputs[0]))
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def counted_calls(
    vae: Any, coder: str, total: int, clock: Clock, finite: FiniteCheck
) -> Iterator[None]:
    """Step the clock, and check the output, after each of `total` calls of a VAE's coder.

    Args:
        vae: the VAE.
        coder: ``encoder`` or ``decoder``.
        total: see `encoder_calls` and `decoder_calls`.
        clock: receives the steps.
        finite: checks the outputs.
    """
    done = 0

    def after_call(output: torch.Tensor) -> None:
        nonlocal done
        done += 1
        finite(output, f"In call {done} of {total} of its {coder}, the VAE computed")
        clock.step(done, total)

    with after_calls(getattr(vae, coder), after_call):
        yield


def decoder_calls(vae: Any, latents: torch.Tensor) -> int:
    """How often decoding these latents runs the decoder: tiles × batches of latent frames."""
    _, count, _, height, width = latents.shape
    tiles = len(TileGrid.of_vae(height, width, vae).tiles)
    return tiles * len(frame_batches(count, vae.num_latent_frames_batch_size))


def encoder_calls(vae: Any, frames: int, height: int, width: int) -> int:
    """How often encoding a clip of that size, in pixels, runs the encoder."""
    scale = spatial_scale(vae.config)
    tiles = len(TileGrid.of_vae(height // scale, width // scale, vae).tiles)
    return tiles * len(frame_batches(frames, vae.num_sample_frames_batch_size))


def odd_count(latents: torch.Tensor) -> torch.Tensor:
    """Latents [batch, frames, …] with the last one repeated where their number is even.

    The VAE decodes an odd number n to 4n - 3 frames, the first of them from the first latent alone;
    of an even number it makes 4n, the first four from the first one. The frames of the repeated
    latent are to be left out.
    """
    import torch

    return latents if latents.shape[1] % 2 else torch.cat([latents, latents[:, -1:]], dim=1)
