"""Compare ways to skip denoising steps by what they do to the embedded model's clips.

    python docs/embedded-model/step_caches.py --prompts 16

Each way is tried with several thresholds, and each row has the steps that it skipped and how its
clips differ from those of all steps: the latents' signal-to-noise ratio, PSNR and SSIM of the
frames, and the score on the held-out prompts.

`first-block` is cogmagic's step cache (First Block Cache); `first-4` is the same with four blocks
that always run (as cache-dit's DBCache, F4B0); `first-block+8` always computes the first eight
steps (cache-dit's warm-up); `timestep` accumulates the relative change of the timestep's embedding
(as TeaCache, without its polynomial, which is fitted for each model); `every` skips evenly.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from clips import FRAMES, SIZE
from cogmagic._pipeline.step_cache import ReusedSteps, StepCache, caching_steps
from evaluate import GUIDANCE, load, to_uint8
from measure import read_clip, score
from tokenizer import MAX_LENGTH

HERE = Path(__file__).parent
THRESHOLDS = {
    "first-block": (0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.1, 0.15, 0.2),
    "first-block+8": (0.02, 0.04, 0.06, 0.08, 0.1, 0.15, 0.2),
    "first-4": (0.02, 0.04, 0.06, 0.08, 0.1, 0.15, 0.2),
    "timestep": (0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8),
    "every": (2, 3, 4, 6, 10),
}


class Skipped:
    """The count of skipped steps."""

    steps = 0


@contextmanager
def skipping(pipe, way: str, threshold: float) -> Iterator[Skipped]:
    """Skip steps of `pipe` in a way; `lead` blocks run in every step."""
    blocks, skipped = pipe.transformer.transformer_blocks, Skipped()
    original, lead = type(blocks), {"first-4": 4, "first-block+8": 1}.get(way, 0)
    warmup = 8 if way == "first-block+8" else 1
    state: dict = {"step": 0, "summed": 0.0}

    def changed(signal: torch.Tensor) -> float:
        old = state["signal"]
        return ((signal - old).abs().mean() / old.abs().mean()).item()

    def run(modules: list[nn.Module], hidden_states, encoder_hidden_states, **rest):
        h, e, step = hidden_states, encoder_hidden_states, state["step"]
        state["step"] += 1
        for block in modules[:lead]:
            h, e = block(hidden_states=h, encoder_hidden_states=e, **rest)
        signal = h - hidden_states if lead else rest["temb"]
        skip = step >= warmup
        if way == "every":
            skip = skip and step % threshold != 0
        elif way == "timestep":
            state["summed"] += changed(signal) if skip else 0.0
            state["signal"] = signal
            skip = skip and state["summed"] < threshold
        else:
            skip = skip and changed(signal) < threshold
        if skip:
            skipped.steps += 1
            return h + state["rest"], e
        state["summed"], state["signal"], head = 0.0, signal, h
        for block in modules[lead:]:
            h, e = block(hidden_states=h, encoder_hidden_states=e, **rest)
        state["rest"] = h - head
        return h, e

    class AtOnce(original):
        def __iter__(self):
            yield partial(run, list(super().__iter__()))

    blocks.__class__ = AtOnce
    try:
        yield skipped
    finally:
        blocks.__class__ = original


@contextmanager
def first_block(pipe, threshold: float) -> Iterator[ReusedSteps]:
    """The step cache of cogmagic."""
    reused = ReusedSteps(StepCache("first-block", threshold))
    with caching_steps(pipe.transformer, reused):
        yield reused


def psnr(clip: np.ndarray, other: np.ndarray) -> float:
    """Decibels over uint8 frames; 99 for equal ones."""
    error = np.square(clip.astype(np.float64) - other).mean()
    return float(10 * np.log10(255**2 / error)) if error else 99.0


def ssim(clip: np.ndarray, other: np.ndarray) -> float:
    """Mean structural similarity of the frames' luma, in windows of 8 × 8 pixels."""
    weights = np.array([0.299, 0.587, 0.114])
    a, b = (torch.from_numpy(c @ weights)[:, None] for c in (clip, other))
    mean = partial(torch.nn.functional.avg_pool2d, kernel_size=8, stride=4)
    ma, mb = mean(a), mean(b)
    va, vb, both = mean(a * a) - ma**2, mean(b * b) - mb**2, mean(a * b) - ma * mb
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    top = (2 * ma * mb + c1) * (2 * both + c2)
    return float((top / ((ma**2 + mb**2 + c1) * (va + vb + c2))).mean())


def snr(latents: torch.Tensor, other: torch.Tensor) -> float:
    """Decibels of the signal `other` over the difference; 99 for equal ones."""
    error = (latents - other).square().mean()
    return float(10 * torch.log10(other.square().mean() / error)) if error else 99.0


def main() -> None:
    """Parse the command line, generate, and print and append a row for each threshold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="cogmagic/models/tiny")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--prompts", type=int, default=16)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--guidance", type=float, default=GUIDANCE)
    parser.add_argument("--ways", nargs="+", default=list(THRESHOLDS))
    parser.add_argument("--latents", action="store_true", help="decode nothing")
    parser.add_argument("--out", type=Path, default=HERE / "step_caches.jsonl")
    args = parser.parse_args()
    bench = Bench(args)
    bench.row("none", 0.0, nullcontext)
    for way in args.ways:
        for threshold in THRESHOLDS[way]:
            context = partial(skipping, bench.pipe, way, threshold)
            if way == "first-block":
                context = partial(first_block, bench.pipe, threshold)
            bench.row(way, threshold, context)


class Bench:
    """Generates the clips of each way, and compares them with those of all steps."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args, self.pipe = args, load(args.model, args.device)
        prompts = json.loads((HERE / "heldout.json").read_text())["prompts"]
        self.entries = prompts[: args.prompts]
        self.wanted = [(e["colour"], e["shape"], e["direction"]) for e in self.entries]
        self.base: list = []

    def row(self, way: str, threshold: float, context) -> None:
        """Print and append the row of one way and threshold."""
        args, skipped, made, began = self.args, 0, [], time.monotonic()
        for entry in self.entries:
            with context() as count:
                made.append(self.latents(entry))
            skipped += count.steps if count else 0
        row = {"way": way, "threshold": threshold, "steps": args.steps, "clips": len(made)}
        row |= {"skipped": round(skipped / len(made), 2)}
        row |= {"seconds": round(time.monotonic() - began, 2)}
        clips = [] if args.latents else [self.decoded(each) for each in made]
        if way == "none":
            self.base = list(zip(made, clips or made, strict=True))
        else:
            row |= {"snr": mean(snr(a, b) for a, (b, _) in zip(made, self.base, strict=True))}
        if clips:
            pairs = [(clip, whole) for clip, (_, whole) in zip(clips, self.base, strict=True)]
            row |= {"psnr": mean(psnr(*p) for p in pairs), "ssim": mean(ssim(*p) for p in pairs)}
            row |= {"score": score([read_clip(c) for c in clips], self.wanted)}
        print(json.dumps(row), flush=True)
        with args.out.open("a") as file:
            file.write(json.dumps(row) + "\n")

    def latents(self, entry: dict) -> torch.Tensor:
        """The denoised latents of one prompt."""
        return self.pipe(
            entry["prompt"], height=SIZE, width=SIZE, num_frames=FRAMES,
            num_inference_steps=self.args.steps, guidance_scale=self.args.guidance,
            max_sequence_length=MAX_LENGTH, output_type="latent",
            generator=torch.Generator().manual_seed(entry["seed"]),
        ).frames  # fmt: skip

    @torch.no_grad()
    def decoded(self, latents: torch.Tensor) -> np.ndarray:
        """The frames of latents, uint8 [frames, height, width, 3]."""
        return to_uint8(self.pipe.decode_latents(latents))[0]


def mean(values) -> float:
    """The mean, rounded."""
    return round(float(np.mean(list(values))), 3)


if __name__ == "__main__":
    main()
