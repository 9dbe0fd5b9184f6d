"""Trace every model of the catalogue on the meta device and keep what its footprints are made of.

    python docs/benchmarks/trace_footprints.py          # writes cogmagic/_footprint/footprints.json
    python docs/benchmarks/trace_footprints.py --models tiny-i2v  # traces these alone
    python docs/benchmarks/trace_footprints.py --check  # compares it with whole, naive traces

Needs neither a GPU nor weights; takes minutes of one core.
"""

from __future__ import annotations

import argparse
import inspect
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import torch
from make_checkpoint import MODELS as TRANSFORMERS
from make_checkpoint import T5, TRANSFORMER, VAE

from cogmagic import Request
from cogmagic._footprint.configs import TABLE, decisive, latent_clip, pass_clip, tokens_of
from cogmagic._footprint.curves import Curve, Passes, Peak, Profile, stored_profile
from cogmagic._footprint.footprint import footprint
from cogmagic._footprint.passes import profile, step
from cogmagic._footprint.trace import traced
from cogmagic._models.catalog import MODELS
from cogmagic._models.checkpoints.embedded import embedded_folder
from cogmagic._models.family import Configs, spatial_scale
from cogmagic._models.inputs import placeholders
from cogmagic._models.model import DTYPES, Model
from cogmagic._pipeline.empty import empty_component

PARTS = ("text_encoder", "transformer", "vae")
POINTS = 24
"""Clips and tiles to trace, of evenly growing size; what a line gives as well is not kept."""
NEAR = 1e-4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true")
    names = [m.name for m in MODELS]
    parser.add_argument("--models", nargs="*", choices=names, help="the others stay as they are")
    args = parser.parse_args()
    if args.check:
        check()
        return
    known = defaults()
    models = dict.fromkeys(names)
    if args.models:
        models |= json.loads(TABLE.read_text(encoding="utf-8"))["models"]
    for model in (m for m in MODELS if m.name in (args.models or models)):
        started = time.monotonic()
        configs = {part: known[part] | config for part, config in published(model).items()}
        profiles = {
            dtype: asdict(thinned(trace(model, configs, dtype, alike(model, configs, models))))
            for dtype in DTYPES
        }
        models[model.name] = {"configs": decisive(configs), "profiles": profiles}
        print(f"{model.name}: {time.monotonic() - started:.0f} s", flush=True)
    table = {"torch": torch.__version__, "defaults": known, "models": models}
    TABLE.write_text(json.dumps(table, separators=(",", ":")) + "\n", encoding="utf-8")
    print(f"{TABLE}: {TABLE.stat().st_size / 1000:.0f} kB")


def defaults() -> Configs:
    """What each component's class takes a configuration to say where it says nothing."""
    from diffusers import AutoencoderKLCogVideoX, CogVideoXTransformer3DModel
    from transformers import T5Config

    known = {"text_encoder": T5Config().to_dict()}
    for part, cls in ("transformer", CogVideoXTransformer3DModel), ("vae", AutoencoderKLCogVideoX):
        parameters = inspect.signature(cls.__init__).parameters.values()
        known[part] = {p.name: p.default for p in parameters if p.default is not p.empty}
    return decisive(known)


def published(model: Model) -> Configs:
    """The model's configurations: those of the embedded checkpoint, or of the hub's."""
    if model.embedded:
        folder = embedded_folder(model.name)
        return {p: json.loads((folder / p / "config.json").read_text()) for p in PARTS}
    transformer = TRANSFORMER | TRANSFORMERS[model.name]
    return {"text_encoder": T5, "transformer": transformer, "vae": VAE}


def alike(model: Model, configs: Configs, models: dict[str, Any]) -> str:
    """A traced model that an inpainting one differs from in its transformer alone; '' for none.

    Their clips' first passes have as many frames, since their numbers of frames are alike.
    """
    if not model.inpaints:
        return ""
    paired = configs["transformer"]["patch_size_t"]
    for other in (m for m in MODELS if m.task == "t2v" and models.get(m.name)):
        known, own = models[other.name]["configs"], json.loads(json.dumps(decisive(configs)))
        same = all(known[part] == own[part] for part in ("text_encoder", "vae"))
        if same and known["transformer"]["patch_size_t"] == paired:
            return other.name
    return ""


def trace(model: Model, configs: Configs, dtype: Any, like: str = "") -> Profile:
    clips = {tokens_of(configs["transformer"], c): c for c in legal_clips(model, configs)}
    scale = spatial_scale(configs["vae"])
    high, wide = (configs["vae"][f"sample_{side}"] // 2 // scale for side in ("height", "width"))
    areas = {h * w: (h, w) for w in range(1, wide + 1) for h in range(1, high + 1)}
    tiles = [areas[a] for a in spread(sorted(areas), POINTS // 2)]
    pixels = [(8 * h, 8 * w) for h, w in tiles]
    images, videos = (pixels, []) if model.task == "i2v" else ([], pixels)
    points = [clips[n] for n in spread(sorted(clips), POINTS)]
    known = stored_profile(like, dtype) if like else None
    return profile(configs, dtype, points, tiles, images, videos, alike=known)


def legal_clips(model: Model, configs: Configs) -> Iterator[tuple[int, int, int]]:
    sizes, step = model.sizes, model.sizes.multiple
    counts: dict[int, int] = {}  # of frames, by those of a pass
    for frames in model.frames.at_once():
        counts.setdefault(pass_clip(request(model, frames=frames), configs)[0], frames)
    shorts, longs = (range(a, b + 1, step) for a, b in (sizes.short, sizes.long))
    for short in shorts:
        for long in longs:
            if long >= short:
                for frames in counts.values():
                    yield pass_clip(request(model, long, short, frames), configs)


def request(model: Model, width: int = 0, height: int = 0, frames: int = 0) -> Request:
    from PIL import Image

    return Request.of(
        "a circle",
        model,
        width=width or model.width,
        height=height or model.height,
        num_frames=frames or model.frames.default,
        image=Image.new("RGB", (8, 8)) if model.task == "i2v" else None,
        **(placeholders(model.task, {}) if model.task == "void" else {}),
    )


def spread(sizes: list[int], count: int) -> list[int]:
    """About `count` of the ascending sizes, each larger by the same factor, with both ends."""
    low, high = sizes[0], sizes[-1]
    wanted = [low * (high / low) ** (i / (count - 1)) for i in range(count)]
    return sorted({min(sizes, key=lambda s: abs(s - w)) for w in wanted})


def thinned(found: Profile) -> Profile:
    """The profile without the points that lines between other points give as well."""

    def passes(p: Passes) -> Passes:
        return replace(p, curves=tuple(thin(c) for c in p.curves), cache=thin(p.cache))

    return replace(
        found,
        denoise={b: thin(c) for b, c in found.denoise.items()},
        after_linears={
            b: {kind: thin(c, 10 * NEAR) for kind, c in kinds.items()}
            for b, kinds in found.after_linears.items()
        },
        around_blocks={b: thin(c, 10 * NEAR) for b, c in found.around_blocks.items()},
        decode=passes(found.decode),
        decode_lean=passes(found.decode_lean),
        decode_fast=passes(found.decode_fast),
        encode_image=found.encode_image and passes(found.encode_image),
        encode_video=found.encode_video and passes(found.encode_video),
    )


def thin(curve: Curve, near: float = NEAR) -> Curve:
    """Douglas and Peucker's: both ends, and the worst point as long as it is far off."""
    points = list(zip(curve.at, curve.peak, curve.leaf_peak, curve.mapped, strict=True))
    keep = {0, len(points) - 1}
    while True:
        now = Curve(*zip(*(points[i] for i in sorted(keep)), strict=True))
        off = [
            max(abs(now(at).peak / p - 1), abs(now(at).leaf_peak / q - 1)) for at, p, q, _ in points
        ]
        worst = max(range(len(points)), key=off.__getitem__)
        if off[worst] <= near:
            return now
        keep.add(worst)


CHECKS = (
    ("5b", 720, 480, 49),
    ("5b", 400, 272, 25),
    ("2b", 720, 480, 49),
    ("2b", 608, 336, 33),
    ("1.5-5b", 1360, 768, 17),
    ("1.5-5b-i2v", 1360, 768, 81),
    ("5b-i2v", 720, 480, 49),
    ("tiny", 96, 96, 17),
    ("tiny", 208, 176, 33),
    ("1.5-5b-inp", 672, 384, 85),
    ("void", 672, 384, 85),
)


def check() -> None:
    """Footprints beside whole passes: every block, every tile, every frame."""
    for name, width, height, frames in CHECKS:
        model = next(m for m in MODELS if m.name == name)
        wish = request(model, width, height, frames)
        ours = footprint(wish, model.dtype)
        for phase, (whole, operations) in naive(wish).items():
            work = getattr(ours, phase)
            print(
                f"{name} {width}x{height}x{frames} {phase}: {work.peak / 2**30:.3f} GiB"
                f" ({work.peak / whole.peak - 1:+.3%}), leaf {work.leaf_peak / 2**30:.3f} GiB"
                f" ({work.leaf_peak / whole.leaf_peak - 1:+.3%}), {work.operations / 1e12:.2f}"
                f" TFLOP ({work.operations / operations - 1:+.0e})",
                flush=True,
            )


def naive(wish: Request) -> dict[str, tuple[Peak, int]]:
    """Peaks and operations of whole passes, guided, in the model's own dtype."""
    configs, kind = published(wish.model), getattr(torch, wish.model.dtype)
    configs = {part: known | configs[part] for part, known in defaults().items()}
    text, transformer, vae = (
        empty_component(part, configs[part], wish.model.dtype) for part in PARTS
    )
    buffers = sum(b.nbytes for m in (text, transformer, vae) for b in m.buffers())
    denoise = step(transformer, configs, kind, 2, latent_clip(wish, configs))
    found = {"denoise": (denoise.peak, denoise.operations)}
    vae.enable_tiling()
    empty = partial(torch.empty, device="meta", dtype=kind)
    prompt = (1, wish.model.max_tokens, configs["transformer"]["text_embed_dim"])
    with traced(vae) as trace:
        held = [empty(prompt), empty(prompt)]
        frames, height, width = latent_clip(wish, configs)
        latents = empty(1, frames, vae.config.latent_channels, height, width)
        latents = latents[:, frames - wish.latent_frames :]
        video = vae.decode(1 / 0.7 * latents.permute(0, 2, 1, 3, 4)).sample
    assert video.shape[2:] == (wish.num_frames, wish.height, wish.width)
    found["decode"] = (trace.peak(), trace.operations)
    if wish.model.task == "i2v":
        with traced(vae) as trace:
            held += [empty(2, *prompt[1:]), empty(1, 3, 1, wish.height, wish.width)]
            held += [empty(prompt), empty(prompt)]
            vae.encode(held[3]).latent_dist.sample()
        found["encode_image"] = (trace.peak(), trace.operations)
    return {
        phase: (Peak(peak.peak, peak.leaf_peak + buffers), operations)
        for phase, (peak, operations) in found.items()
    }


if __name__ == "__main__":
    main()
