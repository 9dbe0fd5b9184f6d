"""Score the image-to-video model on unseen pairs of first frame and prompt.

    python docs/embedded-model/evaluate_i2v.py --model build/tiny-i2v --device cpu

Prints, and writes as JSON: the measure's score on the rendered clips whose first frames are used,
the PSNR that the autoencoder alone leaves of those frames, and the scores of clips generated for
held-out combinations of colour, shape and direction: whether the first frame is kept (a PSNR of
at least 25 dB), whether the direction is the prompt's and colour and shape are the frame's. The
contradicting prompts name another colour and shape than the frame shows. VAE tiling and slicing
are on throughout.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
import transformers
from diffusers import CogVideoXImageToVideoPipeline, CogVideoXTransformer3DModel
from PIL import Image

from clips import FRAMES, SIZE, render
from evaluate import chance, contact_sheet, to_uint8
from measure import Reading, read_clip, score
from pictures import scenes_of
from tokenizer import MAX_LENGTH

HERE = Path(__file__).parent
TINY = HERE.parents[1] / "cogmagic" / "models" / "tiny"
STEPS, GUIDANCE = 20, 2.5
MIN_PSNR = 25.0
Pairs = dict[str, tuple[list[dict], np.ndarray]]


def load(
    base: str | Path, transformer: CogVideoXTransformer3DModel
) -> CogVideoXImageToVideoPipeline:
    """The image-to-video pipeline of a transformer on a text-to-video pipeline's other parts."""
    pipe = CogVideoXImageToVideoPipeline.from_pretrained(
        base, transformer=transformer, dtype=torch.float32
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def first_frames(table: dict) -> Pairs:
    """Each group's entries with their rendered first frames, uint8 [N, H, W, 3]."""
    groups = ("agreeing", "contradicting")
    return {g: (table[g], to_uint8(render(scenes_of(table[g]), frames=1))[:, 0]) for g in groups}


@torch.no_grad()
def generate(
    pipe: CogVideoXImageToVideoPipeline,
    entries: list[dict],
    pictures: np.ndarray,
    steps: int,
    guidance: float,
) -> np.ndarray:
    """Clips of some pairs, uint8 [N, F, H, W, 3], from CPU generators on every device."""
    height, width = pictures.shape[1:3]
    frames = pipe(
        [Image.fromarray(p) for p in pictures],
        [e["prompt"] for e in entries],
        height=height,
        width=width,
        num_frames=FRAMES,
        num_inference_steps=steps,
        guidance_scale=guidance,
        max_sequence_length=MAX_LENGTH,
        generator=[torch.Generator().manual_seed(e["seed"]) for e in entries],
        output_type="np",
    ).frames
    return (frames * 255).round().astype(np.uint8)


def decibels(frames: np.ndarray, pictures: np.ndarray) -> np.ndarray:
    """PSNR of each frame against its picture; both uint8 [N, H, W, 3]."""
    error = np.square(frames.astype(float) - pictures).mean(axis=(1, 2, 3))
    return 10 * np.log10(255**2 / np.maximum(error, 1e-6))


def score_pairs(entries: list[dict], pictures: np.ndarray, clips: np.ndarray) -> dict:
    """Scores of generated clips against their pictures and prompts."""
    psnr = decibels(clips[:, 0], pictures)
    readings = [read_clip(clip) for clip in clips]
    expected = [(e["colour"], e["shape"], e["direction"]) for e in entries]
    named = [tuple(e["named"]) for e in entries]
    right = np.array([r.direction == e[2] for r, e in zip(readings, expected, strict=True)])
    return {
        "pairs": len(entries),
        "frame_psnr_db": {
            "mean": round(float(psnr.mean()), 2),
            "worst": round(float(psnr.min()), 2),
        },
        "frame_kept": _share(psnr >= MIN_PSNR),
        "direction": _share(right),
        "frame_kept_and_direction": _share((psnr >= MIN_PSNR) & right),
        "as_the_frame": score(readings, expected),
        "as_the_prompt": score(readings, named),
        "shuffled": chance(readings, expected),
        "misses": [
            {"prompt": e["prompt"], "seed": e["seed"], "wanted": w, "read": tuple(r), "psnr": p}
            for e, w, r, p in zip(entries, expected, readings, psnr.round(2).tolist(), strict=True)
            if tuple(r) != w or p < MIN_PSNR
        ],
    }


def _share(hits: np.ndarray) -> float:
    return round(float(hits.mean()), 4)


def scores_of(
    pipe: CogVideoXImageToVideoPipeline,
    pairs: Pairs,
    steps: int,
    guidance: float,
    batch: int,
    every: int = 1,
) -> dict:
    """Scores of each group on one pair in `every`, without the list of misses."""
    scores = {}
    for group, (entries, pictures) in pairs.items():
        some = entries[::every], pictures[::every]
        clips = [
            generate(pipe, some[0][i : i + batch], some[1][i : i + batch], steps, guidance)
            for i in range(0, len(some[0]), batch)
        ]
        scores[group] = score_pairs(*some, np.concatenate(clips))
        for name in ("misses", "shuffled"):
            del scores[group][name]
    return scores


@torch.no_grad()
def score_rendered(
    pipe: CogVideoXImageToVideoPipeline, entries: list[dict], pictures: np.ndarray
) -> dict:
    """The measure on the rendered clips, and the autoencoder's round trip of their first frames."""
    clips = to_uint8(render(scenes_of(entries)))
    readings: list[Reading] = [read_clip(clip) for clip in clips]
    pixels = torch.from_numpy(pictures).permute(0, 3, 1, 2)[:, :, None] / 127.5 - 1
    returned = [
        pipe.vae.decode(pipe.vae.encode(p.to(pipe.device)).latent_dist.mode()).sample
        for p in pixels.split(1)
    ]
    psnr = decibels(to_uint8(torch.cat(returned))[:, 0], pictures)
    return {
        "rendered": score(readings, [(e["colour"], e["shape"], e["direction"]) for e in entries]),
        "frame_round_trip_psnr_db": {
            "mean": round(float(psnr.mean()), 2),
            "worst": round(float(psnr.min()), 2),
        },
    }


def described(args: argparse.Namespace, pipe: CogVideoXImageToVideoPipeline) -> dict:
    """The command, versions, hardware, weights and settings of an evaluation."""
    weights = Path(args.model) / "transformer" / "diffusion_pytorch_model.safetensors"
    return {
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
        "weights_sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "settings": {
            "size": f"{SIZE}x{SIZE}",
            "num_frames": FRAMES,
            "num_inference_steps": args.steps,
            "guidance_scale": args.guidance,
            "scheduler": type(pipe.scheduler).__name__,
        },
    }


def arguments(doc: str, model: str, cases: str, shown: str) -> argparse.Namespace:
    """The command line of an evaluation.

    Args:
        doc: the script's docstring.
        model: the embedded model that it evaluates by default.
        cases: what it evaluates, such as ``pairs``.
        shown: what the contact sheet has.
    """
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument(
        "--model", default=f"cogmagic/models/{model}", help="folder of transformer/"
    )
    parser.add_argument("--base", default=str(TINY), help="pipeline of the other parts")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--limit", type=int, help=f"evaluate about N {cases} of each group")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--guidance", type=float, default=GUIDANCE)
    parser.add_argument("--batch", type=int, default=1, help=f"{cases} generated at once")
    parser.add_argument("--out", help="results file (JSON)")
    parser.add_argument("--sheet", help=f"contact sheet of some {shown} (PNG)")
    return parser.parse_args()


def evaluated(args: argparse.Namespace, load: Callable[..., Any]) -> Any:
    """The pipeline with the transformer to evaluate, as `load` makes it."""
    transformer = CogVideoXTransformer3DModel.from_pretrained(args.model, subfolder="transformer")
    pipe = load(args.base, transformer.float()).to(args.device)
    pipe.vae.enable_tiling()
    pipe.vae.enable_slicing()
    return pipe


def main() -> None:
    """Parse the command line, evaluate, print and save."""
    args = arguments(__doc__, "tiny-i2v", "pairs", "clips of both groups")
    pipe = evaluated(args, load)
    results = described(args, pipe)
    table = json.loads((HERE / "heldout_i2v.json").read_text())
    sheet = []
    # On a CPU the process's time, which other processes don't lengthen.
    clock = time.process_time if args.device == "cpu" else time.perf_counter
    for group, (all_entries, all_pictures) in first_frames(table).items():
        every = max(len(all_entries) // (args.limit or len(all_entries)), 1)
        entries, pictures = all_entries[::every], all_pictures[::every]
        results[group] = score_rendered(pipe, entries, pictures)
        clips, seconds = [], []
        for i in range(0, len(entries), args.batch):
            some = entries[i : i + args.batch], pictures[i : i + args.batch]
            started = clock()
            clips.append(generate(pipe, *some, args.steps, args.guidance))
            seconds.append((clock() - started) / len(some[0]))
        made = np.concatenate(clips)
        results[group]["seconds_per_clip"] = round(float(np.median(seconds)), 2)
        results[group] |= score_pairs(entries, pictures, made)
        print(json.dumps({group: results[group]}, indent=1), flush=True)
        sheet += list(made[:: max(len(made) // 12, 1)][:12])
    if args.sheet:
        contact_sheet(sheet).save(args.sheet, optimize=True)
    if args.out:
        Path(args.out).write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
