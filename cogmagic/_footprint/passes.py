"""The passes of a CogVideoX pipeline through its real modules, traced on the meta device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import nn

from cogmagic._footprint.configs import Configs, tokens_of
from cogmagic._footprint.curves import Curve, Part, Passes, Peak, Profile, parabola
from cogmagic._footprint.trace import Trace, nbytes_of, traced
from cogmagic._models.catalog import Dtype
from cogmagic._pipeline.lean_decode import lean_decoding
from cogmagic._pipeline.libraries import quiet_libraries
from cogmagic._pipeline.storage.base import narrowable_linears

__all__ = ["build", "profile", "step"]


_FEW = 3  # blocks to trace: the third is as all that follow


_DECODED = (3, 2, 2)  # latent frames of a tile's passes: the odd one goes first


_empty = partial(torch.empty, device="meta", dtype=torch.float32)


def build(part: str, config: dict[str, Any], dtype: torch.dtype, few: int | None = None) -> Any:
    """A component on the meta device, in the dtypes in which its loader loads it.

    Args:
        part: its name in the pipeline.
        config: its configuration.
        dtype: what the pipeline is loaded in.
        few: the most blocks to build, where blocks repeat.
    """
    if few is not None and "num_layers" in config:
        config = config | {"num_layers": min(few, config["num_layers"])}
    with torch.device("meta"), quiet_libraries():
        if part == "text_encoder":
            from transformers import T5Config, T5EncoderModel

            module = T5EncoderModel(T5Config.from_dict(config))
        else:
            from diffusers import AutoencoderKLCogVideoX, CogVideoXTransformer3DModel

            kind = AutoencoderKLCogVideoX if part == "vae" else CogVideoXTransformer3DModel
            module = kind.from_config(config)
    wide = set(module._keep_in_fp32_modules or ()) if dtype == torch.float16 else set()
    for name, parameter in module.named_parameters():
        stays = not wide.isdisjoint(name.split("."))
        parameter.data = parameter.data.to(torch.float32 if stays else dtype)
    for sub in module.modules():
        for name, buffer in sub._buffers.items():
            if name not in sub._non_persistent_buffers_set:  # those stay as they were built
                sub._buffers[name] = buffer.to(dtype)
    return module.eval()


def profile(
    configs: Configs,
    dtype: Dtype,
    clips: Sequence[tuple[int, int, int]],
    tiles: Sequence[tuple[int, int]],
    images: Sequence[tuple[int, int]] = (),
    batches: Sequence[int] = (1, 2),
) -> Profile:
    """Trace every pass of a model.

    Args:
        configs: the components' configurations.
        dtype: what they are loaded in.
        clips: frames, height, width of the latents to denoise; tokens ascending.
        tiles: height, width of the tiles to decode, in latents; areas ascending.
        images: height, width of the tiles to encode, in pixels; areas ascending.
        batches: 2 for denoising with guidance, 1 without.
    """
    kind = getattr(torch, dtype)
    text, denoiser, vae = (
        build(part, configs[part], kind, _FEW) for part in ("text_encoder", "transformer", "vae")
    )
    texts, blocks = (configs[part]["num_layers"] for part in ("text_encoder", "transformer"))
    encode, encode_operations = _encode(text, texts, configs, kind)
    steps = {b: [step(denoiser, configs, kind, b, clip) for clip in clips] for b in batches}
    latents, colours = configs["vae"]["latent_channels"], configs["vae"]["in_channels"]
    with lean_decoding(vae):
        lean = _passes(vae, vae.decoder, (latents, _DECODED), tiles, kind)
    return Profile(
        text_encoder=_part(text, text.encoder.block, texts),
        transformer=_part(denoiser, denoiser.transformer_blocks, blocks, narrow=True),
        vae=_part(vae, spare=vae.encoder),
        buffers=nbytes_of(*text.buffers(), *denoiser.buffers(), *vae.buffers()),
        encode=encode,
        encode_operations=float(encode_operations),
        denoise={
            b: Curve.through([(n, peak) for n, peak, _ in found]) for b, found in steps.items()
        },
        denoise_operations={
            b: parabola([(n, work) for n, _, work in found]) for b, found in steps.items()
        },
        decode=_passes(vae, vae.decoder, (latents, _DECODED), tiles, kind),
        decode_lean=lean,
        encode_image=_passes(vae, vae.encoder, (colours, (1,)), images, kind) if images else None,
    )


def _encode(module: Any, count: int, configs: Configs, kind: torch.dtype) -> tuple[Peak, int]:
    """One prompt through the text encoder, the other prompt's embeddings there already."""
    tokens, width = (configs["transformer"][k] for k in ("max_text_seq_length", "text_embed_dim"))
    with traced(module) as trace, _block(trace, module.encoder.block[-1]) as marks:
        other = _empty(1, tokens, width, dtype=kind)
        found = module(_empty(1, tokens, dtype=torch.int64))[0].to(module.dtype).repeat(1, 1, 1)
        del other, found
    missing = count - len(module.encoder.block)
    return _whole(trace, marks, missing)


def step(
    module: Any, configs: Configs, kind: torch.dtype, batch: int, clip: tuple[int, int, int]
) -> tuple[int, Peak, int]:
    """Tokens, peaks and operations of one step, amid what the pipeline holds during a later one.

    The guidance and the scheduler's arithmetic come after the peak: the latents are small.
    """
    config, (frames, height, width) = configs["transformer"], clip
    text, video = config["max_text_seq_length"], tokens_of(config, clip)
    image = config["in_channels"] == 2 * config["out_channels"]
    with traced(module) as trace, _block(trace, module.transformer_blocks[-1]) as marks:
        prompts = [_empty(1, text, config["text_embed_dim"], dtype=kind) for _ in range(batch)]
        embeds = torch.cat(prompts) if batch > 1 else prompts[0]
        shape = (1, frames, config["out_channels"], height, width)
        latents = _empty(*shape, dtype=kind)
        held = [_empty(*shape), _empty(batch, *shape[1:])]  # sample and noise of the step before
        held += [_empty(*shape)] if batch > 1 else []  # that noise guided
        rotary = config["use_rotary_positional_embeddings"]
        tables = [_empty(video, config["attention_head_dim"]) for _ in range(2)] if rotary else None
        given = torch.cat([latents] * batch) if batch > 1 else latents
        if image:
            scale = 2 ** (len(configs["vae"]["block_out_channels"]) - 1)
            held.append(_empty(1, 3, height * scale, width * scale, dtype=kind))
            first = _empty(*shape, dtype=kind)
            firsts = torch.cat([first] * batch) if batch > 1 else first
            held += [torch.empty_like(firsts)] if batch > 1 else []
            given = torch.cat([given, firsts], dim=2)
        # The pipeline asks for locals() after each step: what that gave holds the step's input
        # throughout the next one (before Python 3.13).
        held.append(torch.empty_like(given))
        noise = module(
            hidden_states=given,
            encoder_hidden_states=embeds,
            timestep=_empty(batch, dtype=torch.int64),
            ofs=_empty(1, dtype=kind) if config["ofs_embed_dim"] else None,
            image_rotary_emb=tables,
            return_dict=False,
        )[0].float()
        del noise, held
    missing = config["num_layers"] - len(module.transformer_blocks)
    return text + video, *_whole(trace, marks, missing)


def _whole(trace: Trace, marks: list[tuple[int, int]], missing: int) -> tuple[Peak, int]:
    """Peaks and operations with the blocks that are missing, each as the marked one."""
    operations, mapped = (after - before for before, after in zip(*marks, strict=True))
    peak = trace.peak()
    peak = replace(peak, mapped=peak.mapped + missing * mapped)
    return peak, trace.operations + missing * operations


def _passes(
    vae: Any,
    coder: nn.Module,
    given: tuple[int, tuple[int, ...]],
    shapes: Sequence[tuple[int, int]],
    kind: torch.dtype,
) -> Passes:
    """The passes of `coder` over tiles of several shapes, given so many (channels, frames)."""
    channels, counts = given
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


def _part(
    module: Any,
    blocks: Sequence[nn.Module] = (),
    count: int = 0,
    *,
    narrow: bool = False,
    spare: nn.Module | None = None,
) -> Part:
    """The component of which `module` has the first few of `count` blocks.

    `narrow` if a storage can narrow their linear layers; a pass does without `spare`.
    """

    def size(*tensors: torch.Tensor) -> int:
        return sum(t.numel() * t.element_size() for t in tensors)

    block = size(*blocks[-1].parameters()) if count else 0
    linears = list(narrowable_linears(blocks[-1:])) if narrow else []
    unused = [*spare.parameters()] if spare is not None else []
    tensors = len([*module.parameters()]) - len(unused)
    tensors += (count - len(blocks)) * len([*blocks[-1].parameters()]) if count else 0
    return Part(
        weights=size(*module.parameters(), *module.buffers()) + (count - len(blocks)) * block,
        largest_leaf=max(size(*leaf.parameters(recurse=False)) for leaf in module.modules()),
        block=block,
        blocks=count,
        linear_numel=sum(linear.weight.numel() for linear in linears),
        linear_rows=sum(linear.out_features for linear in linears),
        itemsize=linears[0].weight.element_size() if linears else 0,
        tensors=tensors,
        spare=size(*unused),
    )


@contextmanager
def _block(trace: Trace, block: nn.Module) -> Iterator[list[tuple[int, int]]]:
    """The operations and the bytes mapped that are counted before and after `block`."""
    marks: list[tuple[int, int]] = []

    def mark(*_: object) -> None:
        marks.append((trace.operations, trace.mapped))

    hooks = [
        block.register_forward_pre_hook(mark),
        block.register_forward_hook(mark),
    ]
    yield marks
    for hook in hooks:
        hook.remove()
