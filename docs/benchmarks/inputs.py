"""What a clip or a first frame to begin from takes: each phase's memory, beside the plan, and time.

    python docs/benchmarks/make_checkpoint.py 5b-i2v --out /scratch/5b-i2v --share /scratch/5b
    python docs/benchmarks/inputs.py --folder /scratch
    python docs/benchmarks/inputs.py --plans "H200"    # the plans alone, without a GPU or weights

Video-to-video with the text-to-video models, image-to-video with the others, at native sizes. A run
is TIER, or TIER:LIMIT, the GiB of a card, so that `stream` does not hold every block. Rows that are
in the file already are not run again, nor is a run begun after `--seconds`; a model without a
checkpoint in `--folder` is left out. In a row `phases` has the peak of each phase and `planned` the
plan's. A first frame is encoded as denoising begins; here `encode image` is a phase of its own.
tests/measured/test_inputs.py has the limits.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from common import HERE, PROMPT, Runs, append, facts, fresh_cache, rows, say, size_options

import cogmagic

MODELS = ("2b", "5b", "5b-i2v", "1.5-5b", "1.5-5b-i2v")
LIMITS = {"2b": 5.7, "5b": 12, "5b-i2v": 12, "1.5-5b": 16, "1.5-5b-i2v": 16}
"""GiB of a card on which `stream` holds some of the model's blocks."""
STRENGTH = 0.5
"""With a clip, half of the steps are denoised."""


@dataclass(frozen=True)
class Case:
    """One measurement."""

    model: str
    run: str

    @property
    def tier(self) -> str:
        return self.run.partition(":")[0]

    @property
    def i2v(self) -> bool:
        return self.model.endswith("i2v")

    def options(self, size: str, steps: int) -> dict[str, Any]:
        """The options of the request and of the run.

        Args:
            size: another one than the model's, or empty.
            steps: that are denoised.
        """
        width, height, frames = (size_options(size) or native(self.model)).values()
        limit = self.run.partition(":")[2]
        options: dict[str, Any] = {"tier": self.tier, **size_options(size)}
        options |= {"vram_limit": float(limit)} if limit else {}
        if self.i2v:
            return options | {"image": clip(width, height, 1)[0], "num_inference_steps": steps}
        options |= {"num_inference_steps": round(steps / STRENGTH), "strength": STRENGTH}
        return options | {"video": clip(width, height, frames)}


def cases(runs: str) -> list[Case]:
    """Every run of every model; `stream` under the model's limit unless `runs` names others."""
    given = runs.split(",") if runs else []
    return [
        Case(model, run) for model in MODELS for run in given or (f"stream:{LIMITS[model]}", "none")
    ]


def native(model: str) -> dict[str, int]:
    from cogmagic._models.catalog import catalogued

    known = catalogued(model)
    return {"width": known.width, "height": known.height, "num_frames": known.frames.default}


@cache
def clip(width: int, height: int, frames: int) -> np.ndarray[Any, Any]:
    """A gradient that moves: uint8 RGB, frames × height × width × 3."""
    x = np.linspace(0, 255, width, dtype=np.float32)[None, :]
    y = np.linspace(0, 255, height, dtype=np.float32)[:, None]
    made = np.empty((frames, height, width, 3), np.uint8)
    for i in range(frames):
        made[i] = np.stack([(x + y * 0 + 3 * i) % 256, (y + x * 0) % 256, (x + y) / 2], -1)
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--folder", type=Path, help="of the checkpoints, named as the models")
    parser.add_argument("--models", default=",".join(MODELS), help="only these")
    parser.add_argument("--runs", default="", help="TIER or TIER:LIMIT (default: both tiers)")
    parser.add_argument("--size", default="", help="WIDTHxHEIGHTxFRAMES (default: the model's)")
    parser.add_argument("--steps", type=int, default=2, help="that are denoised")
    parser.add_argument("--seconds", type=float, default=1e9, help="after which no run begins")
    parser.add_argument("--plans", metavar="GPU", help="print the plans for a described GPU")
    parser.add_argument("--out", type=Path, default=HERE / "inputs.jsonl")
    args = parser.parse_args()
    fresh_cache()
    selected = [c for c in cases(args.runs) if c.model in args.models.split(",")]
    if args.plans:
        listed(selected, args)
        return
    done = {(r["model"], r["run"], r["asked"]) for r in rows(args.out) if "error" not in r}
    began = time.monotonic()
    for case in selected:
        if (case.model, case.run, args.size) in done or not (args.folder / case.model).is_dir():
            continue
        if time.monotonic() - began > args.seconds:
            break
        row = {"model": case.model, "run": case.run, "asked": args.size} | measured(case, args)
        append(args.out, row | facts())
        say(f"{case.model} {case.run}: {row.get('error') or compared(row)}, {row['wall']:.0f} s")


def measured(case: Case, args: argparse.Namespace) -> dict[str, Any]:
    """The plan and the run."""
    from cogmagic._pipeline.prompt_cache import PromptCache

    PromptCache.clear()  # else neither plan nor run would have the text encoder
    options, name = case.options(args.size, args.steps), str(args.folder / case.model)
    plan = cogmagic.plan(PROMPT, model=name, **options)
    with image_encoding() as image:
        row = Runs(name).measure(**options)
    if case.i2v and image.seconds:
        row.setdefault("seconds", {})["encode image"] = image.seconds
    if case.i2v and image.peak:  # a measured run on a GPU
        row.setdefault("phases", {})["encode image"] = image.peak
        row["allocated"] = max(row.get("allocated") or 0, image.peak)
    return row | {"planned": planned(plan), "steps": plan.request.denoising_steps}


def planned(plan: cogmagic.Plan) -> dict[str, int]:
    """The plan's peak of each phase, that of encoding a first frame apart from denoising."""
    from cogmagic._footprint.footprint import footprint

    if plan.chosen is None:
        return {}
    needs = plan.chosen.traced  # without what past runs correct
    phases = dict(needs.gpus[0])
    f, vae = footprint(plan.request, plan.dtype), phases["decode"]
    phases["decode"] = max(vae, phases.pop("before decode", 0))
    if f.encode_image is None:
        return phases
    others = f.text_encoder.weights + f.transformer.weights if needs.tier == "none" else 0
    overhead = vae - others - f.vae.weights - f.decode.peak
    alone = plan.placement.phases(replace(f, encode_image=None), overhead, needs.variant)[0]
    phases["denoise"] = alone["denoise"]
    return phases | {"encode image": others + f.vae.weights + f.encode_image.peak + overhead}


@dataclass
class ImageEncoding:
    """Seconds and peak of encoding a first frame."""

    seconds: float = 0.0
    peak: int = 0


@contextmanager
def image_encoding() -> Iterator[ImageEncoding]:
    """Measure the encoding of a first frame, after which the allocator's peak is reset.

    The phase that encodes a clip is measured by cogmagic itself, so its calls are left alone.
    """
    import torch
    from diffusers import CogVideoXImageToVideoPipeline as Pipeline

    measured, prepare, gpu = ImageEncoding(), Pipeline.prepare_latents, torch.cuda.is_available()

    def prepare_latents(*args: Any, **options: Any) -> Any:
        began = time.monotonic()
        latents = prepare(*args, **options)
        if gpu:
            torch.cuda.synchronize()
            measured.peak = torch.cuda.max_memory_allocated()
            torch.cuda.reset_peak_memory_stats()
        measured.seconds = time.monotonic() - began
        return latents

    Pipeline.prepare_latents = prepare_latents
    try:
        yield measured
    finally:
        Pipeline.prepare_latents = prepare


def compared(row: Mapping[str, Any]) -> str:
    """Each phase's peak in GiB and how far the plan's is off, and its seconds."""
    parts = []
    for phase, seconds in row["seconds"].items():
        peak, expected = row["phases"].get(phase), row["planned"].get(phase)
        text = f"{phase} {seconds:.1f} s"
        if peak:
            text += f" {peak / 2**30:.2f} GiB"
        if peak and expected:
            text += f" ({expected / peak - 1:+.2%})"
        parts.append(text)
    return ", ".join(parts)


def listed(selected: list[Case], args: argparse.Namespace) -> None:
    machine, total = cogmagic.Machine.of(args.plans), 0.0
    for case in selected:
        plan = cogmagic.plan(
            PROMPT, model=case.model, machine=machine, **case.options(args.size, args.steps)
        )
        total += plan.seconds or 0.0
        peaks = ", ".join(f"{k} {v / 2**30:.2f}" for k, v in planned(plan).items())
        blocks = plan.variant.resident_blocks if case.tier == "stream" else "all"
        say(
            f"{case.model} {case.run}: GiB {peaks}; blocks {blocks};"
            f" {plan.step_seconds or 0:.2f} s a step, {plan.seconds or 0:.0f} s"
            f"{'' if plan.fits else '; does not fit'}"
        )
    say(f"{total:.0f} s in all")


if __name__ == "__main__":
    main()
