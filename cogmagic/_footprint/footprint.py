"""The footprint of a request: bytes and operations of each phase, predicted before anything runs.

For the catalogue's models this reads stored traces (``curves``); for any other checkpoint it traces
the modules that its configurations describe, on the meta device (``foreign``). Here the passes are
put together as the pipeline runs them. Bytes are what torch's allocator hands out; the workspaces
of cuBLAS and cuDNN, which depend on the card, come on top.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

from cogmagic._footprint.adapters import Pass, with_products, with_weights
from cogmagic._footprint.blocks import Blocks, attention_operations, blocks_of
from cogmagic._footprint.configs import (
    configs_of,
    latent_clip,
    pass_clip,
    same,
    stored_name,
    table,
    tokens_of,
)
from cogmagic._footprint.curves import Part, Peak, Profile, stored_profile
from cogmagic._footprint.exchange import (
    NOTHING_EXCHANGED,
    Exchange,
    before_cut,
    exchange_of,
    not_shared,
)
from cogmagic._footprint.foreign import foreign_profile, foreign_text_encoder_bytes
from cogmagic._footprint.text_layers import NO_LAYERS, TextLayers, text_layers
from cogmagic._footprint.vae import Decoding, clip_bytes, encode_image, encode_video
from cogmagic._footprint.work import ITEM, Work, cache_bytes, encoding, higher, work_of
from cogmagic._models.chunks import chunk_of
from cogmagic._models.family import Configs
from cogmagic._models.model import Dtype
from cogmagic._models.request import Request
from cogmagic._models.seen import encoded_clips, window_lengths
from cogmagic._pipeline.parallel.split import WHOLE, Split
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
    lookup: Work
    """What precedes the first matrix product, so that cuBLAS has no workspace yet: with one prompt,
    its lookup in the text encoder's table. With two, the second one's is part of `encode`."""
    encode_image: Work | None
    """The first frame of image-to-video through the VAE's encoder."""
    encode_video: Work | None
    """The clip of video-to-video through the VAE's encoder, tile by tile."""
    denoise: Work
    """One step: both prompts in one batch with guidance, the prompt alone without."""
    decode: Work
    """The whole clip through the VAE's decoder, tile by tile, and put together."""
    tokens: int
    """Text and video tokens per batch item."""
    blocks: Blocks
    """The transformer's blocks in a step, in which speedups change memory and time."""
    decode_share: Work | None = None
    """The tiles that another rank than 0 decodes, where several make the video together."""
    exchange: Exchange = NOTHING_EXCHANGED
    """What a rank exchanges with the others in a step, where several make the video together."""
    text_layers: TextLayers = NO_LAYERS
    """The text encoder's linear layers, which `Savings` may narrow."""


def footprint(
    request: Request,
    dtype: Dtype,
    folder: Path | None = None,
    *,
    halves: bool = False,
    lean: bool = False,
    fast: bool = False,
    cached: bool = False,
    split: Split = WHOLE,
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
        split: how the video is divided among ranks; the footprint is then that of rank 0, which has
            the largest share.

    Raises:
        ValueError: for an architecture outside the catalogue without a folder.
        CheckpointError: when no model can be built from the folder's configurations.
    """
    request, configs = chunk_of(request), configs_of(folder) if folder else {}
    if name := same(configs) if folder else stored_name(request.model):
        profile, configs = stored_profile(name, dtype), table()["models"][name]["configs"]
    elif configs:
        profile = foreign_profile(request, dtype, configs)
    else:
        raise ValueError(f"{request.model.name} is not in the catalogue: name its folder")
    return footprint_from(
        profile,
        configs,
        request,
        dtype,
        halves=halves,
        lean=lean,
        fast=fast,
        cached=cached,
        split=split,
    )


def text_encoder_bytes(request: Request, dtype: Dtype, folder: Path | None = None) -> int:
    """Bytes of the text encoder in `dtype`; like `footprint`, but without tracing any pass."""
    configs = configs_of(folder) if folder else {}
    if not configs or same(configs) is not None:
        return footprint(request, dtype, folder).text_encoder.weights
    return foreign_text_encoder_bytes(request, dtype, configs)


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
    split: Split = WHOLE,
) -> Footprint:
    """The footprint of `request` by the curves of `profile`; see `footprint`."""
    config, image = configs["transformer"], profile.encode_image
    video = profile.encode_video if encoded_clips(request) else None
    run = _pass(request, dtype, profile, configs, split, halves=halves, cached=cached)
    operations = _operations(profile, config, run)
    peak = profile.denoise[run.batch].share(run.tokens, run.whole)
    peak = replace(higher(peak, Peak(run.cut, run.cut)), mapped=peak.mapped)
    denoise = work_of(peak, operations, profile, run.around)
    denoise = with_products(denoise, request, dtype, profile, run)
    decoding = Decoding(request, dtype, profile, configs, lean=lean, fast=fast)
    predicted = prod(latent_clip(request, configs)) * configs["vae"]["latent_channels"]
    prompts, embedded = prompts_of(request), config["text_embed_dim"] * ITEM[dtype]
    lookup, encode = encoding(profile, len(prompts), config["max_text_seq_length"] * embedded)
    return Footprint(
        text_encoder=profile.text_encoder,
        transformer=with_weights(profile.transformer, request, dtype),
        vae=profile.vae,
        encode=encode,
        lookup=lookup,
        encode_image=encode_image(request, dtype, image, profile, configs) if image else None,
        encode_video=encode_video(request, dtype, video, profile, configs) if video else None,
        denoise=denoise,
        decode=decoding.work(split.count),
        tokens=run.tokens,
        blocks=blocks_of(denoise.peak, request, dtype, profile, config, run),
        decode_share=decoding.share(split.count) if split.count > 1 else None,
        exchange=exchange_of(split, config, run, predicted, ITEM[dtype]),
        text_layers=text_layers(configs["text_encoder"], dtype),
    )


def _operations(profile: Profile, config: dict[str, Any], run: Pass) -> float:
    """Operations of a step: attention is shared like the heads, all else like the tokens."""
    a, b, c = profile.denoise_operations[run.batch * run.count]
    whole = sum(a + b * n + c * n**2 for n in run.windows or (run.whole,))
    if run.sequence == 1:
        return whole
    attention = run.sequence * attention_operations(config, run)
    return (whole - attention) * run.tokens / run.whole + attention / run.sequence


def _in_windows(run: Pass, request: Request, configs: Configs, batch: int, item: int) -> Pass:
    """The pass of one of VOID's windows, beside the rest of the video's latents.

    Whole are the latents, the last step's prediction and the windows' sum of it (both in float32),
    what the transformer takes, and the conditioning.
    """
    lengths = window_lengths(request)
    if len(lengths) == 1:
        return run
    config, (frames, height, width) = configs["transformer"], latent_clip(request, configs)
    latent, given = config["out_channels"], config["in_channels"]
    each = (given + batch * given) * item + 4 * batch * latent
    summed = 4 * batch * latent * frames + batch * latent * lengths[0] * item
    around = height * width * ((frames - lengths[0]) * each + summed)
    text = config["max_text_seq_length"]
    windows = tuple(text + tokens_of(config, (n, height, width)) for n in lengths)
    return replace(run, around=run.around + around, windows=windows)


def _pass(
    request: Request,
    dtype: Dtype,
    profile: Profile,
    configs: Configs,
    split: Split,
    *,
    halves: bool,
    cached: bool,
) -> Pass:
    """One pass of the transformer, on the rank with the largest share."""
    clip, config = pass_clip(request, configs), configs["transformer"]
    video, text = tokens_of(config, clip), config["max_text_seq_length"]
    share = -(-video // split.sequence)
    batch = len(prompts_of(request))
    at_once = 1 if halves or split.guidance > 1 else batch
    count = batch // (at_once * split.guidance)
    # One prompt after the other, or each on its ranks: the inputs and outputs of both are there.
    beside = 2 * 4 * prod(clip) * configs["vae"]["latent_channels"] if at_once < batch else 0
    if cached:
        width = config["num_attention_heads"] * config["attention_head_dim"]
        windows = len(window_lengths(request)) if request.model.inpaints else 1
        beside += windows * count * cache_bytes(at_once, share, width, ITEM[dtype])
    if request.video and not request.model.inpaints:  # the pipeline keeps it until the end
        beside += clip_bytes(request, configs, ITEM[dtype])
    run = Pass(at_once, count, text + share, beside, text + video, split.sequence)
    if request.model.task == "void":
        run = _in_windows(run, request, configs, batch, ITEM[dtype])
    if split.guidance > 1:
        copies = 4 if config["in_channels"] > config["out_channels"] else 3  # with a first frame
        inputs = copies * prod(clip) * config["in_channels"] + 3 * text * config["text_embed_dim"]
        run = replace(run, around=run.around + inputs * ITEM[dtype])
    if split.sequence > 1:  # the positions and latents are those of the whole video
        around = not_shared(profile, config, run, ITEM[dtype])
        latents = at_once * prod(clip) * config["in_channels"] * ITEM[dtype]
        cut = before_cut(profile, config, run, latents, ITEM[dtype]) - around
        run = replace(run, around=run.around + around, cut=cut)
    return run
