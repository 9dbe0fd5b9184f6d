"""The speeds beside plain diffusers with everything on the GPU, in one process on one card.

    python docs/benchmarks/make_checkpoint.py 5b --out /scratch/5b
    python docs/benchmarks/speeds.py --model /scratch/5b
    python docs/benchmarks/speeds.py --model /scratch/5b --size 720x480x9 --runs \
        plain,exact:none,exact:model,exact:stream,exact:staged,exact:sequential

A run is `plain`, or SPEED:TIER[:LIMIT]. A limit of so many GiB is that of a card, of which the
CUDA context takes 0.7: 5.7 is a cap of 5.0 GiB on torch's allocator. A row's `ratio` is of its
seconds a step to those of the `plain` run next before it, since a card's pace drifts by a per cent
or two. The second run of a kind is a warm call: weights in RAM, code compiled, its prompt not
cached.

`latents` is the difference to plain's latents relative to their norm, `clip` the difference of the
frames, of 255; `identical` says whether all frames are the same to the bit. Rows that are in the
file already are not run again, nor is a run begun after `--seconds`.
"""

from __future__ import annotations

import argparse
import hashlib
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from common import (
    HERE,
    PROMPT,
    Outputs,
    Runs,
    append,
    differences,
    facts,
    fresh_cache,
    relative,
    rows,
    say,
    shown,
    size_options,
)

from cogmagic._machine.allocator import use_expandable_segments

RUNS = (
    "plain,exact:none,exact:none,plain,exact:stream:5.7,fast:none,fast:none,fast:stream:5.7,plain,"
    "faster:none,faster:none,faster:stream:5.7"
)
KEY = ("model", "asked", "steps", "run", "nth")
"""What a row is known by."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", required=True)
    parser.add_argument("--runs", default=RUNS)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--size", default="", help="WIDTHxHEIGHTxFRAMES (default: the model's)")
    parser.add_argument("--seconds", type=float, default=1e9, help="after which no run begins")
    parser.add_argument("--out", type=Path, default=HERE / "speeds.jsonl")
    args = parser.parse_args()
    fresh_cache()
    use_expandable_segments()  # before plain diffusers allocates anything
    bench = Bench(args)
    todo, count = [], Counter[str]()
    for run in args.runs.split(","):
        todo.append((run, count[run]))
        count[run] += 1
    # A second run is a warm one only after a first in this process.
    left = {run for run, nth in todo if run != "plain" and not bench.is_done(run, nth)}
    last = max((i for i, (run, _) in enumerate(todo) if run in left), default=-1)
    began = time.monotonic()
    for run, nth in todo[: last + 1]:
        if time.monotonic() - began > args.seconds:
            break
        if run == "plain" or run in left:
            bench.run(run, nth)


class Bench:
    """Runs of one request, each compared with plain diffusers."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args, self.runs = args, Runs(args.model)
        self.outputs, self.process = Outputs(), round(time.time())
        self.done = {tuple(r.get(k) for k in KEY) for r in rows(args.out) if "error" not in r}
        self.options: dict[str, Any] = size_options(args.size)
        self.options |= {"num_inference_steps": args.steps}
        self.plain: Plain | None = None

    def is_done(self, run: str, nth: int) -> bool:
        return (*self._about(), run, nth) in self.done

    def _about(self) -> tuple[Any, ...]:
        return self.runs.name, self.args.size, self.args.steps

    def run(self, run: str, nth: int) -> None:
        row = dict(zip(KEY, (*self._about(), run, nth), strict=True)) | {"process": self.process}
        if run == "plain":
            self.plain = self.plain or Plain(self.args.model, self.options)
            row |= self.plain.measure()
        else:
            speed, tier, *limit = run.split(":")
            limits = {"vram_limit": float(limit[0])} if limit else {}
            row |= {"speed": speed, "limit": limits.get("vram_limit")}
            row |= self.runs.measure(speed=speed, tier=tier, **limits, **self.options)
            row |= self._compared(row)
        append(self.args.out, row | facts())
        about = {k: row[k] for k in ("ratio", "latents", "identical") if k in row}
        say(f"{row['model']} {run}: {shown(row)} {about} {row.get('seconds')}")

    def _compared(self, row: dict[str, Any]) -> dict[str, Any]:
        if self.plain is None or "error" in row:
            return {}
        plain, step = self.plain, row["step_seconds"]
        found: dict[str, Any] = {"plain_step": plain.step_seconds}
        found["ratio"] = step / plain.step_seconds if step and plain.step_seconds else None
        found["latents"] = relative(self.outputs.latents, plain.latents)
        found["clip"] = differences(self.outputs.frames, plain.frames)
        return found | {"identical": row["frames"] == plain.digest}


class Plain:
    """Plain diffusers: the whole pipeline on the GPU, as the authors' script calls it."""

    def __init__(self, name: str, options: dict[str, Any]) -> None:
        import torch
        from diffusers import CogVideoXPipeline

        import cogmagic
        from cogmagic._models.find import find_model, local_folder
        from cogmagic._pipeline.load import scheduler_for
        from cogmagic._tiers.host_copy import HostCopy

        self.request = cogmagic.Request.of(PROMPT, name, seed=42, **options)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.dtype = cogmagic.plan(model=name, tier="none", **options).dtype
        began = time.monotonic()
        self.pipe = CogVideoXPipeline.from_pretrained(
            local_folder(find_model(name)), dtype=getattr(torch, self.dtype), use_safetensors=True,
            local_files_only=True,
        )  # fmt: skip
        self.loading = time.monotonic() - began
        self.pipe.vae.enable_slicing()
        self.pipe.vae.enable_tiling()
        self.pipe.set_progress_bar_config(disable=True)
        self.pipe.scheduler = scheduler_for(self.pipe, self.request)
        parts = (self.pipe.text_encoder, self.pipe.transformer, self.pipe.vae)
        self.home = HostCopy(list(parts))
        self.step_seconds: float | None = None
        self.latents: Any = None
        self.frames: Any = None
        self.digest = ""

    def measure(self) -> dict[str, Any]:
        """One run on the GPU, from which the weights go afterwards; only the first decodes."""
        import torch

        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
            self.home.onload(self.device)
        try:
            with torch.no_grad():
                row = self._run()
        finally:
            self.home.restore()
        if self.device.type == "cuda":
            row["allocated"] = torch.cuda.max_memory_allocated()
            torch.cuda.empty_cache()
        return row | {"dtype": self.dtype, "loading": self.loading}

    def _run(self) -> dict[str, Any]:
        import torch

        r, ends = self.request, [time.monotonic()]

        def stepped(_: Any, __: int, ___: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            self._synchronize()  # a step counts when the GPU has done it
            ends.append(time.monotonic())
            return tensors

        latents = self.pipe(
            r.prompt, height=r.height, width=r.width, num_frames=r.num_frames,
            num_inference_steps=r.num_inference_steps, guidance_scale=r.guidance_scale,
            use_dynamic_cfg=r.use_dynamic_cfg, generator=torch.Generator("cpu").manual_seed(42),
            max_sequence_length=r.model.max_tokens, callback_on_step_end=stepped,
            output_type="latent",
        ).frames  # fmt: skip
        latents = latents[:, latents.shape[1] - r.latent_frames :]
        steps = [b - a for a, b in pairwise(ends)]
        self.step_seconds = median(steps[1:]) if len(steps) > 1 else None
        seconds = {"encode and denoise": ends[-1] - ends[0]}
        if self.frames is None:
            self._synchronize()
            began = time.monotonic()
            video = self.pipe.decode_latents(latents)[0]
            self._synchronize()
            seconds["decode"] = time.monotonic() - began
            self.latents = latents.float().cpu()
            self.frames = pixels(video)
            self.digest = hashlib.sha256(self.frames.tobytes()).hexdigest()
        row = {"step_seconds": self.step_seconds, "steps_seconds": steps, "seconds": seconds}
        return row | {"frames": self.digest, "size": f"{r.width}x{r.height}x{r.num_frames}"}

    def _synchronize(self) -> None:
        import torch

        if self.device.type == "cuda":
            torch.cuda.synchronize()


def pixels(video: Any) -> Any:
    """uint8 RGB, frames × height × width × 3, of a clip [3, frames, height, width] in -1..1."""
    import numpy as np
    import torch

    frames = []
    for i in range(video.shape[1]):  # in float32 and all at once it would take gigabytes
        frame = (video[:, i].float() / 2 + 0.5).clamp(0, 1).mul(255).round().to(torch.uint8)
        frames.append(frame.permute(1, 2, 0).cpu().numpy())
    return np.stack(frames)


if __name__ == "__main__":
    main()
