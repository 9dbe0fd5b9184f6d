"""Seconds, memory and difference of exact, lean and fast decoding, with random weights.

    python docs/benchmarks/decode.py --out docs/benchmarks/decode.jsonl

One JSON row a way of decoding, in about 100 s on an H200: 5b's clip against the same in float32 as
well, then 161 frames of 1360×768. `--toy` checks the script on a CPU.
"""

from __future__ import annotations

import argparse
import gc
import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from common import append, facts, say
from make_checkpoint import VAE

from cogmagic import Request
from cogmagic._footprint.configs import table
from cogmagic._footprint.footprint import footprint
from cogmagic._pipeline.decoding.fast import fast_decoding
from cogmagic._pipeline.decoding.lean import lean_decoding
from cogmagic._tiers.needs import workspace

WAYS: dict[str, tuple[dict[str, bool], Any]] = {
    "exact": ({}, nullcontext),
    "fast": ({"fast": True}, fast_decoding),
    "lean": ({"lean": True}, lean_decoding),
    "fast and lean": ({"fast": True, "lean": True}, lambda vae: fast_decoding(vae, lean=True)),
}
"""What a plan takes into account, and the context to decode in."""


@dataclass(frozen=True)
class Clip:
    model: str
    width: int
    height: int
    frames: int
    repeats: int
    compared: bool
    """Whether it is decoded in float32, too."""


CLIPS = (
    Clip("5b", 720, 480, 49, repeats=3, compared=True),
    Clip("1.5-5b", 1360, 768, 161, repeats=1, compared=False),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, help="a file that takes a row a measurement")
    parser.add_argument("--toy", action="store_true", help="a narrow VAE on the CPU")
    args = parser.parse_args()
    torch.set_grad_enabled(False)
    torch.backends.cudnn.allow_tf32 = False
    same = facts()
    for clip in CLIPS:
        for row in measured(clip, toy=args.toy):
            say(str(row))
            if args.out:
                append(args.out, {"model": clip.model, "frames": clip.frames} | row | same)


def measured(clip: Clip, *, toy: bool) -> Any:
    """A row for each way: seconds, of the first call as well, GiB and differences."""
    device = "cpu" if toy else "cuda"
    vae = built(device, toy=toy)
    size = (5, clip.height // 120, clip.width // 120) if toy else latents_of(clip)
    z = torch.randn(1, 16, *size, generator=torch.Generator().manual_seed(1)).to(device, vae.dtype)
    truth = exact = None
    used = clip is not CLIPS[0]
    """Whether this process has cuBLAS's workspace, which fast decoding is the first to need."""
    if clip.compared:
        truth = decoded(vae.float(), z.float())[0]
        vae = vae.to(z.dtype)  # random weights in 16 bits, so they are the same again
    request = Request.of("a fox", clip.model, width=clip.width, height=clip.height,
                         num_frames=clip.frames)  # fmt: skip
    weights = sum(p.nbytes for p in vae.parameters())
    for name, (planned, way) in WAYS.items():
        with way(vae):
            first = decoded(vae, z)[1] if clip.compared else None
            picture, seconds, peak, reserved = decoded(vae, z, clip.repeats)
        exact = exact or (picture, seconds)
        used = used or "fast" in planned
        expected = footprint(request, "bfloat16", **planned).decode.peak + weights - beside(clip)
        expected += workspace(torch.cuda.get_device_capability()) if used and not toy else 0
        yield {
            "decoding": name,
            "seconds": seconds,
            "of_exact": round(seconds / exact[1], 4),
            "first_seconds": first,
            "peak": peak,
            "reserved": reserved,
            "predicted": expected,
            "from_exact": difference(picture, exact[0]),
            "from_float32": difference(picture, truth),
            "greatest": exact[0].abs().max().item(),
        }


def beside(clip: Clip) -> int:
    """Bytes that a run has on the GPU and this script has not: prompt embeddings, plain latents.

    The plain latents are padded to whole patches, of two frames for 1.5.
    """
    configs = table()["models"][clip.model]["configs"]
    transformer, (frames, height, width) = configs["transformer"], latents_of(clip)
    text = transformer["max_text_seq_length"] * transformer["text_embed_dim"]
    padded = frames + frames % (transformer.get("patch_size_t") or 1)
    return 2 * (2 * text + 16 * padded * height * width)


def latents_of(clip: Clip) -> tuple[int, int, int]:
    return (clip.frames - 1) // 4 + 1, clip.height // 8, clip.width // 8


def built(device: str, *, toy: bool) -> Any:
    from diffusers import AutoencoderKLCogVideoX

    narrow = {"block_out_channels": (16, 32, 32, 64), "norm_num_groups": 8, "layers_per_block": 1,
              "sample_height": 32, "sample_width": 48}  # fmt: skip
    torch.manual_seed(0)
    with torch.device(device):
        vae = AutoencoderKLCogVideoX.from_config(VAE | (narrow if toy else {}))
    vae.enable_slicing()
    vae.enable_tiling()
    return vae.to(torch.bfloat16).eval()


def decoded(vae: Any, z: torch.Tensor, repeats: int = 1) -> tuple[torch.Tensor, float, int, int]:
    """The picture in float32 in host memory, the seconds, and the peak in bytes."""
    gc.collect()
    if z.is_cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(repeats):
        picture = None  # frees the one before
        picture = vae.decode(z).sample
        if z.is_cuda:
            torch.cuda.synchronize()
    seconds = (time.perf_counter() - start) / repeats
    peaks = (
        (torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved())
        if z.is_cuda
        else (0, 0)
    )
    assert picture is not None
    return picture.cpu().float(), round(seconds, 4), *peaks


def difference(picture: torch.Tensor, other: torch.Tensor | None) -> dict[str, float] | None:
    """The greatest and the root mean square."""
    if other is None:
        return None
    off = picture - other
    return {"max": off.abs().max().item(), "rms": off.pow(2).mean().sqrt().item()}


if __name__ == "__main__":
    main()
