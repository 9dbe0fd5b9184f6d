"""Host memory that a tier takes. Pure arithmetic."""

from __future__ import annotations

from cogmagic._footprint.footprint import Footprint
from cogmagic._models.catalog import Dtype
from cogmagic._models.family import latent_frames, video_tokens
from cogmagic._models.request import Request
from cogmagic._tiers.pace import mapped, stored
from cogmagic._units import GIB

__all__ = ["PROCESS", "RESERVE", "host_memory"]


PROCESS = round(1.35 * GIB)
"""Python with torch, diffusers and a CUDA context, measured on Linux (docs/benchmarks)."""


_PASSING = round(0.15 * GIB)
"""What the loaders hold while components go from file to GPU (docs/benchmarks)."""


RESERVE = 2 * GIB
"""Host memory that must stay free for weights to be copied, and to be kept between runs."""


def host_memory(
    tier: str,
    request: Request,
    f: Footprint,
    dtype: Dtype,
    *,
    kept_float32: int,
    fp8: bool,
    ram: int | None,
    copies: bool,
) -> tuple[int, bool]:
    """Bytes of the process's own, and whether the weights among them are copies.

    Copies are what a GPU reads fastest and what no vanishing disk can take away. Where there is no
    room for them, weights whose file has the wanted dtype stay mapped files, which do not count.

    Args:
        tier: the placement.
        request: what to generate.
        f: the weights as they are kept.
        dtype: what they are loaded in.
        kept_float32: bytes of the text encoder that the loader keeps in float32 beside `dtype`.
        fp8: whether the transformer's linear layers are in fp8.
        ram: what there is, if known.
        copies: whether weights are to be copies, where there is room.
    """
    frames = request.num_frames * request.height * request.width * 3
    process = PROCESS + 2 * frames
    if tier == "balanced":  # goes from the files to the GPUs
        return process + _PASSING, False
    if tier == "staged":  # the same, several tensors at once
        passing = _PASSING
        if fp8 and not mapped(request, dtype):  # converted whole before it is narrowed
            passing += 2 * f.transformer.weights
        return max(process + passing, PROCESS + _positions(request)), False
    weights = f.text_encoder.weights + f.transformer.weights + f.vae.weights
    room = copies and (ram is None or ram >= process + weights + RESERVE)
    if tier == "stream" or room:
        return process + weights, True
    return process + _converted(request, f, dtype, kept_float32, fp8=fp8), False


def _positions(request: Request) -> int:
    """What the positions that are added to tokens take while the transformer is built.

    Two tables of float64 at the native size, whatever is loaded afterwards
    (diffusers' ``CogVideoXPatchEmbed``).
    """
    model = request.model
    if model.architecture.rotary and not model.architecture.learned_positions:
        return 0
    latents = latent_frames(model.frames.default), model.height // 8, model.width // 8
    tokens = model.max_tokens + video_tokens(latents)
    return 2 * 8 * tokens * model.architecture.num_attention_heads * 64


def _converted(
    request: Request, f: Footprint, dtype: Dtype, kept_float32: int, *, fp8: bool
) -> int:
    """The weights that do not stay mapped files."""
    total = 0
    if stored("vae", request) != dtype:
        total += f.vae.weights
    if stored("text_encoder", request) != dtype:
        total += f.text_encoder.weights
    else:
        total += kept_float32
    if fp8 or not mapped(request, dtype):
        total += f.transformer.weights
    return total
