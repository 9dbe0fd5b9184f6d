"""The pipeline's passes through its real modules, traced on the meta device into a `Profile`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import nn

from cogmagic._footprint.configs import tokens_of
from cogmagic._footprint.curves import Curve, Passes, Peak, Profile
from cogmagic._footprint.marks import after_linears, around_blocks, block_marks
from cogmagic._footprint.parts import part_of
from cogmagic._footprint.steps import Step, denoising_curves
from cogmagic._footprint.trace import Trace, nbytes_of, traced
from cogmagic._models.family import (
    INPAINTING,
    WEIGHTED_COMPONENTS,
    Configs,
    spatial_scale,
    task_of,
)
from cogmagic._models.model import Dtype
from cogmagic._models.tiling import FRAME_BATCH, SAMPLE_BATCH, frame_batches
from cogmagic._pipeline.decoding.fast import fast_decoding
from cogmagic._pipeline.decoding.lean import lean_decoding
from cogmagic._pipeline.empty import empty_component

__all__ = ["Step", "profile", "step"]


_TRACED_BLOCKS = 3
"""Blocks to trace: all later ones are like the third."""


_DECODED = (FRAME_BATCH + 1, FRAME_BATCH, FRAME_BATCH)
"""Latent frames of a tile's traced passes: the odd one goes with the first."""


_empty = partial(torch.empty, device="meta", dtype=torch.float32)


def profile(
    configs: Configs,
    dtype: Dtype,
    clips: Sequence[tuple[int, int, int]],
    tiles: Sequence[tuple[int, int]],
    images: Sequence[tuple[int, int]] = (),
    videos: Sequence[tuple[int, int]] = (),
    batches: Sequence[int] = (1, 2),
    alike: Profile | None = None,
) -> Profile:
    """Trace every pass of a model.

    Args:
        configs: the components' configurations.
        dtype: the precision in which they are loaded.
        clips: frames, height, width of the latents to denoise; ascending by tokens.
        tiles: height, width of the tiles to decode, in latents; ascending by area.
        images: height, width of a first frame's tiles to encode, in pixels; ascending by area.
        videos: the same of a clip's.
        batches: 2 for denoising with guidance, 1 without.
        alike: a profile with the same text encoder and VAE, and as many frames in the first of a
            clip's passes, which is taken for all that is not the transformer's.
    """
    kind = getattr(torch, dtype)
    text, denoiser, vae = (_shortened(name, configs[name], dtype) for name in WEIGHTED_COMPONENTS)
    layers, blocks = (configs[name]["num_layers"] for name in ("text_encoder", "transformer"))
    steps = {b: [step(denoiser, configs, kind, b, clip) for clip in clips] for b in batches}
    latents, colours = configs["vae"]["latent_channels"], configs["vae"]["in_channels"]
    buffers = nbytes_of(*text.buffers(), *denoiser.buffers(), *vae.buffers())
    part = part_of(denoiser, denoiser.transformer_blocks, blocks, narrowable=True)
    denoising = denoising_curves(steps)
    if alike is not None:
        return replace(alike, transformer=part, buffers=buffers, **denoising)
    lookup, encode, encode_operations = _encode(text, layers, configs)
    with lean_decoding(vae, warn=False):
        lean = _passes(vae, vae.decoder, (latents, _DECODED), tiles, kind)
    with fast_decoding(vae, warn=False):
        fast = _passes(vae, vae.decoder, (latents, _DECODED), tiles, kind)
    decode = _passes(vae, vae.decoder, (latents, _DECODED), tiles, kind)
    return Profile(
        text_encoder=part_of(text, text.encoder.block, layers),
        transformer=part,
        vae=part_of(vae, unused=vae.encoder),
        buffers=buffers,
        lookup=lookup,
        encode=encode,
        encode_operations=float(encode_operations),
        **denoising,
        decode=decode,
        decode_lean=lean,
        decode_fast=replace(fast, operations=decode.operations),
        encode_image=_passes(vae, vae.encoder, (colours, (1,)), images, kind) if images else None,
        encode_video=_passes(vae, vae.encoder, (colours, _encoded(clips)), videos, kind)
        if videos
        else None,
    )


def _encoded(clips: Sequence[tuple[int, int, int]]) -> tuple[int, ...]:
    """Frames of a tile's traced passes, the first of which has what is left over.

    That is the same for all legal numbers of frames of a model.
    """
    first = frame_batches(4 * clips[-1][0] - 3, SAMPLE_BATCH)[0]
    return first, SAMPLE_BATCH, SAMPLE_BATCH


def _shortened(name: str, config: dict[str, Any], dtype: Dtype) -> Any:
    """The component without weights, with a few blocks where blocks repeat."""
    if "num_layers" in config:
        config = config | {"num_layers": min(_TRACED_BLOCKS, config["num_layers"])}
    return empty_component(name, config, dtype)


def _encode(module: Any, count: int, configs: Configs) -> tuple[Peak, Peak, int]:
    """Peaks of encoding one prompt, before the first block and from there on, and operations."""
    tokens, lookups = configs["transformer"]["max_text_seq_length"], []
    with traced(module) as trace, block_marks(trace, module.encoder.block[-1]) as marks:
        first = module.encoder.block[0]
        hook = first.register_forward_pre_hook(lambda *_: lookups.append(trace.cut()))
        embeds = module(_empty(1, tokens, dtype=torch.int64))[0].to(module.dtype).repeat(1, 1, 1)
        hook.remove()
        del embeds
    missing = count - len(module.encoder.block)
    peak, operations = _whole(trace, marks, missing)
    return lookups[0], replace(peak, ahead_peak=trace.ahead_peak), operations


def step(
    module: Any, configs: Configs, kind: torch.dtype, batch: int, clip: tuple[int, int, int]
) -> Step:
    """The trace of a step, beside what the pipeline keeps from the one before.

    Guidance and the scheduler's arithmetic run after the peak: the latents are small.
    """
    config, (frames, height, width) = configs["transformer"], clip
    text, video = config["max_text_seq_length"], tokens_of(config, clip)
    task = task_of(config["in_channels"], config["out_channels"])
    with (
        traced(module) as trace,
        block_marks(trace, module.transformer_blocks[-1]) as marks,
        after_linears(trace, module) as after,
        around_blocks(trace, module.transformer_blocks) as around,
    ):
        prompts = [_empty(1, text, config["text_embed_dim"], dtype=kind) for _ in range(batch)]
        embeds = torch.cat(prompts) if batch > 1 else prompts[0]
        shape = (1, frames, config["out_channels"], height, width)
        latents = _empty(*shape, dtype=kind)
        alive = [_empty(batch, *shape[1:])]  # the prediction of the step before
        alive += [_empty(*shape)] if batch > 1 else []  # and with guidance
        rotary = config["use_rotary_positional_embeddings"]
        tables = [_empty(video, config["attention_head_dim"]) for _ in range(2)] if rotary else None
        inputs = torch.cat([latents] * batch) if batch > 1 else latents
        if task in INPAINTING:
            beside = config["in_channels"] - config["out_channels"]
            seen = _empty(1, frames, beside, height, width, dtype=kind)
            inputs = torch.cat([inputs, seen.expand(batch, -1, -1, -1, -1)], dim=2)
        elif task == "i2v":
            scale = spatial_scale(configs["vae"])
            alive.append(_empty(1, 3, height * scale, width * scale, dtype=kind))
            first = _empty(*shape, dtype=kind)
            firsts = torch.cat([first] * batch) if batch > 1 else first
            alive += [torch.empty_like(firsts)] if batch > 1 else []
            inputs = torch.cat([inputs, firsts], dim=2)
        if task not in INPAINTING:
            # diffusers' pipelines call locals() after each step; its result keeps the sample and
            # the step's input alive throughout the next step (before Python 3.13).
            alive += [_empty(*shape), torch.empty_like(inputs)]
        noise = module(
            hidden_states=inputs,
            encoder_hidden_states=embeds,
            timestep=_empty(batch, dtype=torch.int64),
            ofs=_empty(1, dtype=kind) if config["ofs_embed_dim"] else None,
            image_rotary_emb=tables,
            return_dict=False,
        )[0].float()
        del noise, alive
    missing = config["num_layers"] - len(module.transformer_blocks)
    outside = max(*around.outside, trace.highest())
    beside = Peak(outside, max(around.entering))
    return Step(text + video, *_whole(trace, marks, missing), after, beside)


def _whole(trace: Trace, marks: list[tuple[int, int]], missing: int) -> tuple[Peak, int]:
    """Peaks and operations of the whole component, each missing block like the marked one."""
    operations, mapped = (after - before for before, after in zip(*marks, strict=True))
    peak = trace.peak()
    peak = replace(peak, mapped=peak.mapped + missing * mapped)
    return peak, trace.operations + missing * operations


def _passes(
    vae: Any,
    coder: nn.Module,
    frames: tuple[int, tuple[int, ...]],
    shapes: Sequence[tuple[int, int]],
    kind: torch.dtype,
) -> Passes:
    """The passes of `coder` over tiles of these shapes, with (channels, frames of each pass)."""
    channels, counts = frames
    points: list[list[tuple[int, Peak]]] = [[] for _ in range(len(counts) + 1)]
    for height, width in shapes:
        area, cache = height * width, None
        operations: list[float] = []
        outs: list[torch.Tensor] = []
        with traced(vae) as trace:
            for k, count in enumerate(counts):
                tile = _empty(1, channels, count, height, width, dtype=kind)
                without = nbytes_of(tile, *outs)
                trace.restart()
                out, cache = coder(tile, conv_cache=cache)
                points[k].append((area, trace.peak(without)))
                operations.append(trace.operations / area)
                outs.append(out)
            trace.restart()
            points[-1].append((area, trace.peak(nbytes_of(tile, *outs))))
            del out, cache
    *curves, last = (Curve.through(p) for p in points)
    return Passes(tuple(curves), last, tuple(operations))
