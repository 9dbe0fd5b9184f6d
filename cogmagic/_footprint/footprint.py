"""The footprint of a request: bytes and operations of each phase, predicted before anything runs.

For the catalogue's models this reads stored traces (``curves``); for any other checkpoint it traces
the modules that its configurations describe, on the meta device (``foreign``). Here the passes are
put together as the pipeline runs them. Bytes are what torch's allocator hands out; the workspaces
of cuBLAS and cuDNN, which depend on the card, come on top.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path

from cogmagic._footprint.adapters import Pass, with_products, with_weights
from cogmagic._footprint.blocks import Blocks, blocks_of
from cogmagic._footprint.configs import configs_of, latent_clip, same, table, tokens_of
from cogmagic._footprint.curves import Part, Profile, stored_profile
from cogmagic._footprint.foreign import foreign_profile, foreign_text_encoder_bytes
from cogmagic._footprint.vae import decode, encode_image
from cogmagic._footprint.work import ITEM, Work, cache_bytes, work_of
from cogmagic._models.catalog import MODELS, Dtype, Model
from cogmagic._models.family import Configs
from cogmagic._models.request import Request
from cogmagic._pipeline.prompt_cache import prompts_of

__all__ = ["Footprint", "footprint", "footprint_from", "text_encoder_bytes"]


@dataclass(frozen=True)
class Footprint:
    """Bytes and operations of a request in one dtype, phase by phase."""

    text_encoder: Part
    transformer: Part
    vae: Part
    encode: Work
    """One prompt through the text encoder; with guidance two run, one after the other."""
    encode_image: Work | None
    """The first frame of image-to-video through the VAE's encoder."""
    denoise: Work
    """One step: both prompts in one batch with guidance, the prompt alone without."""
    decode: Work
    """The whole clip through the VAE's decoder, tile by tile, and put together."""
    tokens: int
    """Text and video tokens per batch item."""
    blocks: Blocks
    """The transformer's blocks in a step, in which speedups change memory and time."""


def footprint(
    request: Request,
    dtype: Dtype,
    folder: Path | None = None,
    *,
    halves: bool = False,
    lean: bool = False,
    fast: bool = False,
    cached: bool = False,
) -> Footprint:
    """The footprint of `request` with its model loaded in `dtype`.

    A model of the catalogue takes milliseconds and needs no torch. A `folder` whose configurations
    match none of the catalogue's takes seconds.

    Args:
        request: what to generate.
        dtype: the precision in which the components are loaded.
        folder: the checkpoint, required for an architecture outside the catalogue.
        halves: whether guidance runs one prompt after the other.
        lean: whether decoding keeps fewer tensors alive.
        fast: whether decoding is fast, as `Speedups.decode`.
        cached: whether a step cache stores what blocks add to the hidden states.

    Raises:
        ValueError: for an architecture outside the catalogue without a folder.
        CheckpointError: when no model can be built from the folder's configurations.
    """
    configs = configs_of(folder) if folder else {}
    name = same(configs) if folder else _stored_name(request.model)
    if name is not None:
        profile, configs = stored_profile(name, dtype), table()["models"][name]["configs"]
    elif configs:
        profile = foreign_profile(request, dtype, configs)
    else:
        raise ValueError(f"{request.model.name} is not in the catalogue: name its folder")
    return footprint_from(
        profile, configs, request, dtype, halves=halves, lean=lean, fast=fast, cached=cached
    )


def text_encoder_bytes(request: Request, dtype: Dtype, folder: Path | None = None) -> int:
    """Bytes of the text encoder in `dtype`; like `footprint`, but without tracing any pass."""
    configs = configs_of(folder) if folder else {}
    if not configs or same(configs) is not None:
        return footprint(request, dtype, folder).text_encoder.weights
    return foreign_text_encoder_bytes(request, dtype, configs)


def _stored_name(model: Model) -> str | None:
    """The catalogue's model of that architecture, by the rule that identifies folders."""
    key = model.architecture, model.max_tokens
    return next((m.name for m in MODELS if (m.architecture, m.max_tokens) == key), None)


def footprint_from(
    profile: Profile,
    configs: Configs,
    request: Request,
    dtype: Dtype,
    *,
    halves: bool,
    lean: bool,
    fast: bool = False,
    cached: bool = False,
) -> Footprint:
    """The footprint of `request` by the curves of `profile`; see `footprint`."""
    clip, config = latent_clip(request, configs), configs["transformer"]
    video = tokens_of(config, clip)
    tokens = config["max_text_seq_length"] + video
    batch = len(prompts_of(request))
    a, b, c = profile.denoise_operations[batch]
    image = profile.encode_image
    # With halves, both prompts' inputs and outputs stay on the device.
    beside = 2 * 4 * prod(clip) * configs["vae"]["latent_channels"] if halves and batch > 1 else 0
    at_once = 1 if halves else batch
    if cached:
        width = config["num_attention_heads"] * config["attention_head_dim"]
        beside += batch // at_once * cache_bytes(at_once, video, width, ITEM[dtype])
    run = Pass(at_once, batch // at_once, tokens, beside)
    peak = profile.denoise[at_once](tokens)
    denoise = work_of(peak, a + b * tokens + c * tokens**2, profile, beside)
    denoise = with_products(denoise, request, dtype, profile, run)
    return Footprint(
        text_encoder=profile.text_encoder,
        transformer=with_weights(profile.transformer, request, dtype),
        vae=profile.vae,
        encode=work_of(profile.encode, profile.encode_operations, profile),
        encode_image=encode_image(request, dtype, image, profile, configs) if image else None,
        denoise=denoise,
        decode=decode(request, dtype, profile, configs, lean=lean, fast=fast),
        tokens=tokens,
        blocks=blocks_of(denoise.peak, request, dtype, profile, configs["transformer"], run),
    )
