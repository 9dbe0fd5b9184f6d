"""Score a trained pipeline on the held-out prompts, and the measure itself.

    python docs/embedded-model/evaluate.py --model cogmagic/models/tiny --device cpu

Prints, and writes as JSON: the measure's score on rendered clips and on their round trips through
the autoencoder (with PSNR), the score on clips generated for prompts whose combination of colour,
shape and direction was never trained on, and the same readings against shuffled prompts. VAE
tiling and slicing are on throughout.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import sys
import time
from pathlib import Path

import diffusers
import numpy as np
import torch
import transformers
from diffusers import CogVideoXPipeline
from PIL import Image

from clips import FRAMES, SIZE, place, render, sample_attributes
from measure import Reading, read_clip, score
from tokenizer import MAX_LENGTH

HERE = Path(__file__).parent
STEPS = 20
GUIDANCE = 2.5
Wanted = list[tuple[str, str, str]]


def load(folder: str, device: str) -> CogVideoXPipeline:
    """The pipeline in float32 with VAE tiling and slicing on."""
    pipe = CogVideoXPipeline.from_pretrained(folder, torch_dtype=torch.float32).to(device)
    pipe.vae.enable_tiling()
    pipe.vae.enable_slicing()
    pipe.set_progress_bar_config(disable=True)
    return pipe


def to_uint8(video: torch.Tensor) -> np.ndarray:
    """[B, 3, F, H, W] in -1..1 to [B, F, H, W, 3] in 0..255."""
    pixels = ((video.float().clamp(-1, 1) + 1) * 127.5).round().byte()
    return pixels.permute(0, 2, 3, 4, 1).cpu().numpy()


@torch.no_grad()
def score_rendered(pipe: CogVideoXPipeline, count: int) -> dict:
    """Score unseen rendered clips of the held-out combinations before and after the autoencoder."""
    table = json.loads((HERE / "heldout.json").read_text())
    choices = [tuple(c) for c in table["combinations"]]
    attributes = sample_attributes(count, choices, random.Random(8))
    clips = render(place(attributes, torch.Generator().manual_seed(8)))
    wanted = [a[0] for a in attributes]
    returned = torch.cat(
        [
            pipe.vae.decode(pipe.vae.encode(clip.to(pipe.device)).latent_dist.mode()).sample.cpu()
            for clip in clips.split(1)
        ]
    )
    errors = (returned.clamp(-1, 1) - clips).square().mean(dim=(1, 2, 3, 4))
    decibels = 10 * torch.log10(4 / errors)
    return {
        "clips": count,
        "rendered": score([read_clip(c) for c in to_uint8(clips)], wanted),
        "round_trip": score([read_clip(c) for c in to_uint8(returned)], wanted),
        "round_trip_psnr_db": {
            "mean": round(decibels.mean().item(), 2),
            "worst": round(decibels.min().item(), 2),
        },
    }


def generate(
    pipe: CogVideoXPipeline, entry: dict, steps: int, guidance: float, size: tuple[int, int]
) -> np.ndarray:
    """One clip, uint8 [F, H, W, 3], with a CPU generator so that every device starts alike."""
    height, width = size
    frames = pipe(
        entry["prompt"],
        height=height,
        width=width,
        num_frames=FRAMES,
        num_inference_steps=steps,
        guidance_scale=guidance,
        max_sequence_length=MAX_LENGTH,
        generator=torch.Generator().manual_seed(entry["seed"]),
        output_type="np",
    ).frames[0]
    return (frames * 255).round().astype(np.uint8)


def chance(readings: list[Reading], wanted: Wanted, rounds: int = 200) -> dict[str, float]:
    """Mean score of the readings against prompts in random order."""
    rng = random.Random(0)
    totals: dict[str, float] = {}
    for _ in range(rounds):
        for name, value in score(readings, rng.sample(wanted, len(wanted))).items():
            totals[name] = totals.get(name, 0.0) + value / rounds
    return {name: round(value, 4) for name, value in totals.items()}


def contact_sheet(clips: list[np.ndarray], columns: int = 2, shown: int = 6) -> Image.Image:
    """Frames of several clips side by side, one clip a row."""
    picks = np.linspace(0, FRAMES - 1, shown).round().astype(int)
    strips = [np.concatenate(list(clip[picks]), axis=1) for clip in clips]
    strips = [np.pad(s, ((1, 1), (2, 2), (0, 0)), constant_values=255) for s in strips]
    rows = [
        np.concatenate(strips[i : i + columns], axis=1)
        for i in range(0, len(strips) - columns + 1, columns)
    ]
    return Image.fromarray(np.concatenate(rows))


def main() -> None:
    """Parse the command line, evaluate, print and save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="cogmagic/models/tiny")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--limit", type=int, help="evaluate only the first N prompts")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--guidance", type=float, default=GUIDANCE)
    parser.add_argument("--size", default=f"{SIZE}x{SIZE}", help="width x height, pixels")
    parser.add_argument("--rendered", type=int, default=100, help="rendered clips to measure")
    parser.add_argument("--out", help="results file (JSON)")
    parser.add_argument("--sheet", help="contact sheet of the first clips (PNG)")
    args = parser.parse_args()

    pipe = load(args.model, args.device)
    width, height = (int(n) for n in args.size.split("x"))
    entries = json.loads((HERE / "heldout.json").read_text())["prompts"][: args.limit]
    wanted = [(e["colour"], e["shape"], e["direction"]) for e in entries]
    results: dict = {
        "command": "python " + " ".join(sys.argv),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "diffusers": diffusers.__version__,
            "transformers": transformers.__version__,
        },
        "hardware": torch.cuda.get_device_name()
        if args.device.startswith("cuda")
        else f"CPU, {torch.get_num_threads()} threads",
        "settings": {
            "size": args.size,
            "num_frames": FRAMES,
            "num_inference_steps": args.steps,
            "guidance_scale": args.guidance,
            "scheduler": type(pipe.scheduler).__name__,
        },
    }
    if args.rendered:
        results["measure"] = score_rendered(pipe, args.rendered)
        print(json.dumps(results["measure"], indent=1), flush=True)

    clips, seconds = [], []
    for entry in entries:
        start = time.perf_counter()
        clips.append(generate(pipe, entry, args.steps, args.guidance, (height, width)))
        seconds.append(time.perf_counter() - start)
    readings = [read_clip(clip) for clip in clips]
    results["generated"] = {
        "prompts": len(entries),
        "heldout": score(readings, wanted),
        "shuffled": chance(readings, wanted),
        "seconds_per_clip": round(float(np.median(seconds)), 2),
        "same_seed_same_clip": bool(
            np.array_equal(
                clips[0], generate(pipe, entries[0], args.steps, args.guidance, (height, width))
            )
        ),
        "misses": [
            {"prompt": e["prompt"], "seed": e["seed"], "wanted": w, "read": tuple(r)}
            for e, w, r in zip(entries, wanted, readings, strict=True)
            if tuple(r) != w
        ],
    }
    print(json.dumps(results["generated"], indent=1), flush=True)
    if args.sheet:
        contact_sheet(clips[::5][:24]).save(args.sheet, optimize=True)
    if args.out:
        Path(args.out).write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
