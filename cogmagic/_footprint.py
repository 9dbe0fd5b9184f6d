"""How many bytes and operations each phase of a request needs, predicted before anything runs.

For the catalogue's models this reads kept traces (`_curves`); for any other checkpoint it traces
the modules that its configurations describe, on the meta device (`_passes`). Here the passes are
put together as the pipeline runs them. Bytes are what torch's allocator hands out; the workspaces
of cuBLAS and cuDNN, which depend on the card, come on top.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path

from cogmagic._catalog import MODELS, Dtype, Model
from cogmagic._curves import (
    Configs,
    Part,
    Passes,
    Peak,
    Profile,
    configs_of,
    kept,
    same,
    table,
    tokens_of,
)
from cogmagic._errors import CheckpointError
from cogmagic._request import Request
from cogmagic._tiling import Tiling, clip_of, ends

__all__ = [
    "ITEM",
    "Footprint",
    "Part",
    "Work",
    "footprint",
    "text_encoder_bytes",
]

ITEM: dict[Dtype, int] = {"float16": 2, "bfloat16": 2, "float32": 4}
"""Bytes of a number."""


@dataclass(frozen=True)
class Work:
    """One phase's pass through its module on the device."""

    peak: int
    """Most bytes alive at once beyond the module's own weights and buffers: inputs, activations,
    outputs, in the allocator's blocks of 512 bytes."""
    leaf_peak: int
    """The same with the weights of the one leaf module that is running at each moment and the
    buffers of all components: all that is on the device with sequential offload."""
    operations: float
    """Floating-point operations, 2 for a multiplication with its addition."""
    calls: int = 1
    """How often the module is called: for each of a tile's passes in decoding, else once."""
    mapped: int = 0
    """Bytes of memory that are found anew with sequential offload, which gives back what is free
    before each leaf module."""


@dataclass(frozen=True)
class Footprint:
    """What a request needs in one dtype, phase by phase."""

    text_encoder: Part
    transformer: Part
    vae: Part
    encode: Work
    """One prompt through the text encoder; with guidance there are two, one after the other."""
    encode_image: Work | None
    """The first frame of image-to-video through the VAE's encoder."""
    denoise: Work
    """One step: both prompts in one batch with guidance, the prompt alone without."""
    decode: Work
    """The whole clip through the VAE's decoder, tile by tile, and put together."""
    tokens: int
    """Text and video tokens per batch item."""


def footprint(
    request: Request,
    dtype: Dtype,
    folder: Path | None = None,
    *,
    halves: bool = False,
    lean: bool = False,
) -> Footprint:
    """What `request` needs when its model is loaded in `dtype`.

    A model of the catalogue takes milliseconds and needs no torch. A `folder` whose configurations
    are none of the catalogue's takes seconds.

    Args:
        request: what to generate.
        dtype: what the components are loaded in.
        folder: the checkpoint, needed where the catalogue does not know the architecture.
        halves: whether guidance goes one prompt after the other.
        lean: whether decoding keeps fewer tensors alive.

    Raises:
        ValueError: for an architecture outside the catalogue without a folder.
        CheckpointError: when the folder's configurations describe nothing that can be built.
    """
    configs = configs_of(folder) if folder else {}
    name = same(configs) if folder else _kept_name(request.model)
    if name is not None:
        profile, configs = kept(name, dtype), table()["models"][name]["configs"]
        return _footprint(request, dtype, profile, configs, halves=halves, lean=lean)
    if not configs:
        raise ValueError(f"{request.model.name} is not in the catalogue: name its folder")
    with _buildable(request.model.source):
        profile = _traced(request, dtype, configs)
        return _footprint(request, dtype, profile, configs, halves=halves, lean=lean)


@contextmanager
def _buildable(source: str) -> Iterator[None]:
    """Whatever torch and diffusers say of configurations that do not go together, in one line."""
    try:
        yield
    except Exception as error:
        said = f"{type(error).__name__}: {error}".splitlines()[0][:160]
        raise CheckpointError(
            f"{source}: its configurations describe no CogVideoX that can be built ({said})."
            " Download or copy it again."
        ) from None


_TRACED: dict[str, Profile] = {}
"""The last foreign architectures: a plan asks for several numbers of frames and two dtypes."""
_TRACES = 4


def _traced(request: Request, dtype: Dtype, configs: Configs) -> Profile:
    """The curves of a foreign architecture at the request's size, over numbers of frames."""
    from cogmagic._passes import profile

    tiling = Tiling.of(request, configs)
    tiles = ends(tiling.tiles())
    image = request.model.task == "i2v"
    images = [(h * tiling.scale, w * tiling.scale) for h, w in tiles] if image else []
    batches = (2, 1) if request.guidance_scale > 1.0 else (1,)  # whether in halves or not
    key = json.dumps([configs, dtype, tiles, tiling.size, images, batches], default=str)
    if key not in _TRACED:
        counts = request.model.frames.legal()
        picked = sorted({*counts[:: max(len(counts) // 3, 1)], counts[-1]})
        clips = [clip_of(replace(request, num_frames=n), configs) for n in picked]
        traced = profile(configs, dtype, clips, tiles, images, batches)
        while len(_TRACED) >= _TRACES:
            del _TRACED[next(iter(_TRACED))]
        _TRACED[key] = traced
    return _TRACED[key]


def text_encoder_bytes(request: Request, dtype: Dtype, folder: Path | None = None) -> int:
    """What the text encoder weighs in `dtype`; like `footprint`, but without tracing any pass."""
    configs = configs_of(folder) if folder else {}
    if not configs or same(configs) is not None:
        return footprint(request, dtype, folder).text_encoder.weights
    import torch

    from cogmagic._passes import build

    with _buildable(request.model.source):
        module = build("text_encoder", configs["text_encoder"], getattr(torch, dtype))
        tensors = (*module.parameters(), *module.buffers())
        return sum(t.numel() * t.element_size() for t in tensors)


def _kept_name(model: Model) -> str | None:
    """The catalogue's model of that architecture, by the rule that identifies folders."""
    wanted = model.architecture, model.max_tokens
    return next((m.name for m in MODELS if (m.architecture, m.max_tokens) == wanted), None)


def _footprint(
    request: Request, dtype: Dtype, profile: Profile, configs: Configs, *, halves: bool, lean: bool
) -> Footprint:
    tokens = configs["transformer"]["max_text_seq_length"]
    tokens += tokens_of(configs["transformer"], clip_of(request, configs))
    batch = 2 if request.guidance_scale > 1.0 else 1
    a, b, c = profile.denoise_operations[batch]
    image = profile.encode_image
    # In halves, what goes in and comes out is there for both.
    beside = 2 * 4 * prod(clip_of(request, configs)) * configs["vae"]["latent_channels"]
    alive = profile.denoise[1 if halves else batch](tokens)
    return Footprint(
        text_encoder=profile.text_encoder,
        transformer=profile.transformer,
        vae=profile.vae,
        encode=_work(profile.encode, profile.encode_operations, profile),
        encode_image=_encode_image(request, dtype, image, profile, configs) if image else None,
        denoise=_work(
            alive, a + b * tokens + c * tokens**2, profile, beside if halves and batch > 1 else 0
        ),
        decode=_decode(request, dtype, profile, configs, lean=lean),
        tokens=tokens,
    )


def _work(peak: Peak, operations: float, profile: Profile, around: int = 0) -> Work:
    """The work of a pass while `around` bytes are alive outside it."""
    above = peak.leaf_peak + around + profile.buffers
    return Work(peak.peak + around, above, operations, mapped=peak.mapped)


def _decode(
    request: Request, dtype: Dtype, profile: Profile, configs: Configs, *, lean: bool
) -> Work:
    """``tiled_decode``: every tile's passes in turn, then the rows, then the picture.

    A tile's frames come in passes of two latent frames, the odd one with the first; what is
    decoded stays until all is put together, in host memory if it is done `lean`.
    """
    item, tiling = ITEM[dtype], Tiling.of(request, configs)
    later = max(request.latent_frames // 2, 1) - 1
    first = 4 * (request.latent_frames - 2 * later) - 3 * (request.latent_frames % 2)
    frames = [first, *[8] * later]
    pixel = configs["vae"]["out_channels"] * item
    passes = profile.decode_lean if lean else profile.decode
    peak, operations, kept_tiles, mapped = Peak(0, 0), 0.0, 0, 0
    for tile in tiling.tiles():
        area = prod(tile) * tiling.scale**2
        outs = [0 if lean else _rounded(n * area * pixel) for n in frames]
        passed, work = _tile(passes, prod(tile), outs)
        peak = _higher(peak, passed, kept_tiles)
        operations += work
        mapped += passed.mapped
        kept_tiles += 0 if lean else _rounded(sum(frames) * area * pixel)
    if tiling.tiled and not lean:  # the tiles, their rows and the picture, all at once
        whole = _rounded(sum(frames) * prod(tiling.size) * tiling.scale**2 * pixel)
        peak = _higher(peak, Peak(2 * whole, 2 * whole), kept_tiles)
    padded, height, width = clip_of(request, configs)
    latent = configs["vae"]["latent_channels"] * height * width * item
    around = _rounded(padded * latent) + _rounded(request.latent_frames * latent)  # plain, scaled
    found = _work(peak, operations, profile, around + _prompts(request, configs, item))
    return replace(found, calls=len(frames) * len(tiling.tiles()), mapped=mapped)


def _encode_image(
    request: Request, dtype: Dtype, passes: Passes, profile: Profile, configs: Configs
) -> Work:
    """``tiled_encode`` of one frame, then the latents that it and the noise become."""
    item, tiling = ITEM[dtype], Tiling.of(request, configs)
    channels = configs["vae"]["latent_channels"]
    peak, operations, kept_tiles = Peak(0, 0), 0.0, 0
    for tile in tiling.tiles():
        outs = [_rounded(2 * channels * prod(tile) * item)]  # mean and variance
        passed, work = _tile(passes, prod(tile) * tiling.scale**2, outs)
        peak = _higher(peak, passed, kept_tiles)
        operations += work
        kept_tiles += outs[0]
    # The frame padded to a clip, the padding, the noise, and the noise scaled.
    latents = 4 * _rounded(channels * prod(clip_of(request, configs)) * item)
    peak = _higher(peak, Peak(latents, latents))
    around = _rounded(3 * request.height * request.width * item)
    return _work(peak, operations, profile, around + 2 * _prompts(request, configs, item))


def _tile(passes: Passes, area: int, outs: list[int]) -> tuple[Peak, float]:
    """One tile, whose passes give out so many bytes each, which are joined in the end."""
    peak, operations, given, mapped = Peak(0, 0), 0.0, 0, 0
    for k, out in enumerate(outs):
        known = min(k, len(passes.curves) - 1)
        passed = passes.curves[known](area)
        peak = _higher(peak, passed, given)
        mapped += passed.mapped
        operations += passes.operations[known] * area
        given += out
    return replace(_higher(peak, passes.cache(area), 2 * given), mapped=mapped), operations


def _prompts(request: Request, configs: Configs, item: int) -> int:
    """Bytes of the prompts' embeddings, which live from encoding to the end."""
    transformer = configs["transformer"]
    one = _rounded(transformer["max_text_seq_length"] * transformer["text_embed_dim"] * item)
    return 2 * one if request.guidance_scale > 1.0 else one


def _higher(peak: Peak, other: Peak, around: int = 0) -> Peak:
    """The higher of `peak` and of `other` with `around` bytes alive around it."""
    return Peak(max(peak.peak, other.peak + around), max(peak.leaf_peak, other.leaf_peak + around))


def _rounded(nbytes: int) -> int:
    """What torch's CUDA allocator hands out: whole blocks of 512 bytes."""
    return -(-nbytes // 512) * 512
