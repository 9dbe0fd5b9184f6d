"""Runs with LoRA adapters on a GPU: peaks against the plan's, and seconds against none.

    python docs/benchmarks/make_checkpoint.py 5b --out /scratch/5b
    python docs/benchmarks/lora.py --model /scratch/5b

The adapters are drawn at random: memory and time do not depend on their values. In each tier the
first run has no adapter, and the ratio of a row is of its seconds a step to that run's. The last
run of a tier has none again, and its frames must be those of the first. A row that is in the file
already is not run again.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from itertools import product
from pathlib import Path
from typing import Any

import torch
from common import facts
from safetensors.torch import save_file

import cogmagic
from cogmagic._footprint.configs import configs_of
from cogmagic._models.adapters.modules import module_shapes
from cogmagic._pipeline.prompt_cache import PromptCache
from cogmagic._units import GIB

HERE = Path(__file__).parent
ATTENTION = ("attn1.to_q", "attn1.to_k", "attn1.to_v", "attn1.to_out.0")
LINEARS = (*ATTENTION, "ff.net.0.proj", "ff.net.2", "norm1.linear", "norm2.linear")
LORAS: dict[str, tuple[tuple[int, tuple[str, ...]], ...]] = {
    "none": (),
    "attention 128": ((128, ATTENTION),),
    "linears 128": ((128, LINEARS),),
    "attention 64 and 128": ((64, ATTENTION), (128, ATTENTION)),
    "none again": (),
}
RUNS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("none", {}),
    ("stream", {}),
    ("stream", {"vram_limit": 6.0}),
    ("none", {"compile": True}),
    ("model", {}),
    ("staged", {}),
    ("none", {"fp8": True}),
    ("stream", {"fp8": True}),
    ("none", {"guidance_halves": True}),
    ("sequential", {}),
    ("stream", {"compile": True}),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", required=True, type=Path)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--only", default="", help="numbers of the runs, such as 0,1,3")
    parser.add_argument("--out", type=Path, default=HERE / "lora.jsonl")
    args = parser.parse_args()
    scratch = Path(tempfile.mkdtemp())
    files = {name: written(args.model, scratch, parts) for name, parts in LORAS.items()}
    rows = [json.loads(x) for x in args.out.read_text().splitlines()] if args.out.is_file() else []
    have = {(r["model"], r["tier"], json.dumps(r["options"]), r["lora"]) for r in rows}
    numbers = [int(n) for n in args.only.split(",") if n] or range(len(RUNS))
    for (tier, options), lora in product((RUNS[n] for n in numbers), LORAS):
        key = args.model.name, tier, json.dumps(options), lora
        if key not in have:
            rows.append(row(args, scratch, tier, options, lora, files[lora], rows))


def written(
    model: Path, folder: Path, parts: tuple[tuple[int, tuple[str, ...]], ...]
) -> list[Path]:
    """Random adapters for the model's transformer, in bfloat16."""
    shapes, paths = module_shapes(configs_of(model)["transformer"]), []
    for rank, kinds in parts:
        tensors = {}
        for name, (out, width, *_) in shapes.items():
            if name.startswith("transformer_blocks.") and name.endswith(kinds):
                key = f"transformer.{name}.lora"
                tensors[f"{key}_A.weight"] = torch.randn(rank, width) / width**0.5
                tensors[f"{key}_B.weight"] = torch.randn(out, rank) * 0.01
        paths.append(folder / f"rank{rank}-{len(kinds)}-kinds.safetensors")
        save_file({k: t.bfloat16() for k, t in tensors.items()}, paths[-1])
    return paths


def row(
    args: argparse.Namespace, scratch: Path, tier: str, options: dict[str, Any], lora: str,
    files: list[Path], rows: list[dict[str, Any]],
) -> dict[str, Any]:  # fmt: skip
    facts_of_run: dict[str, Any] = {"model": args.model.name, "tier": tier, "options": options}
    facts_of_run |= {"lora": lora, "files": [f.stat().st_size for f in files]}
    PromptCache.clear()
    began, runs = time.monotonic(), 2 if options.get("compile") else 1
    try:
        for _ in range(runs):  # the first compiles
            video = cogmagic.generate(
                "a red circle moves", model=str(args.model), tier=tier, lora=files, seed=42,
                save=scratch / "clip.mp4", overwrite=True, num_inference_steps=args.steps,
                **options,
            )  # fmt: skip
        report = video.report
        same = [
            r for r in rows if (r["tier"], r["options"]) == (tier, options) and "error" not in r
        ]
        base = next((r["step_seconds"] for r in same if r["lora"] == "none"), report.step_seconds)
        facts_of_run |= {
            "allocated": report.peak_vram, "phases": dict(report.peak_phases),
            "predicted": dict(report.predicted), "step_seconds": report.step_seconds,
            "ratio": report.step_seconds / base, "ram": report.peak_ram,
            "seconds": dict(report.seconds), "frames": report.frames_sha256,
            "reserved": max(report.peak_reserved.values()), "reason": report.reason,
        }  # fmt: skip
        off = report.peak_vram / report.predicted["peak_allocated"] - 1
        shown = f"{report.peak_vram / GIB:.3f} GiB ({off:+.2%}), x{facts_of_run['ratio']:.3f}"
    except cogmagic.CogMagicError as error:
        facts_of_run |= {"error": str(error)[:300]}
        shown = str(error)[:200]
    facts_of_run |= {"wall": time.monotonic() - began} | facts()
    with args.out.open("a") as file:
        file.write(json.dumps(facts_of_run) + "\n")
    sys.stdout.write(f"{tier} {options} {lora}: {shown}, {facts_of_run['wall']:.0f} s\n")
    sys.stdout.flush()
    return facts_of_run


if __name__ == "__main__":
    main()
