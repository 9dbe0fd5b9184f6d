"""One video on two GPUs by other engines: cache-dit and xDiT, in their own documented ways.

    run="torchrun --nproc_per_node 2 docs/benchmarks/engines.py --model /scratch/5b"
    torchrun --nproc_per_node 1 docs/benchmarks/engines.py --model /scratch/5b --engine diffusers
    $run --engine cache-dit; $run --engine xdit-guidance; $run --engine xdit-tokens

Each is launched by torchrun, holds the whole pipeline on every GPU, and makes two clips in a row,
of which the second is measured. `clip` is the difference of its frames, of 255, to those of
``diffusers``, which is run first. `parallel.py` measures cogmagic with the same prompt, seed and
sizes. Needs cache-dit 1.5 or xfuser 0.7; a row that fails has its error. Rows that are in the file
are not made again.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from common import HERE, PROMPT, append, differences, facts, rows, say

FRAMES = Path(tempfile.gettempdir()) / "engines_frames.npy"
"""The frames of diffusers' own pipeline, which others are compared with."""


def main() -> None:
    import torch

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", required=True)
    parser.add_argument("--engine", choices=tuple(ENGINES), required=True)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--out", type=Path, default=HERE / "engines.jsonl")
    args = parser.parse_args()
    done = {(r["model"], r["engine"], r["steps"]) for r in rows(args.out) if "error" not in r}
    about = Path(args.model).name, args.engine, args.steps
    if about in done and args.engine != "diffusers":
        return
    rank, count = int(os.environ["LOCAL_RANK"]), int(os.environ["WORLD_SIZE"])
    torch.cuda.set_device(rank)
    row: dict[str, Any] = dict(zip(("model", "engine", "steps"), about, strict=True))
    row |= {"count": count}
    try:
        pipe = ENGINES[args.engine](args.model, args.steps)
        measured = [clip(pipe, steps) for steps in (2, args.steps)][-1]
    except Exception as error:  # the row says why an engine does not run
        measured = None, {"error": f"{type(error).__name__}: {error}"[:300]}
    frames, values = measured
    if rank == (count - 1 if args.engine.startswith("xdit") else 0):  # which has the frames
        if args.engine == "diffusers":
            np.save(FRAMES, frames)
        elif frames is not None and FRAMES.exists():
            values["clip"] = differences(frames, np.load(FRAMES))
        if about not in done:
            append(args.out, row | values | facts("cache-dit", "xfuser"))
        say(str({k: v for k, v in (row | values).items() if k != "step_all"}))
    sys.stdout.flush()
    with suppress(Exception):
        torch.distributed.destroy_process_group()
    os._exit(0)  # engines leave threads behind


def clip(pipe: Any, steps: int) -> tuple[Any, dict[str, Any]]:
    """The frames, where this rank has them, and the seconds of one call."""
    import torch

    ends: list[float] = []

    def end(_pipe: Any, _step: int, _timestep: Any, values: dict[str, Any]) -> dict[str, Any]:
        torch.cuda.synchronize()
        ends.append(time.monotonic())
        return values

    torch.cuda.reset_peak_memory_stats()
    torch.cuda.synchronize()
    began = time.monotonic()
    config = pipe.transformer.config
    output = pipe(
        prompt=PROMPT, num_inference_steps=steps, guidance_scale=6.0, output_type="np",
        height=config.sample_height * 8, width=config.sample_width * 8,
        num_frames=config.sample_frames,
        generator=torch.Generator("cpu").manual_seed(42), callback_on_step_end=end,
    ).frames[0]  # fmt: skip
    torch.cuda.synchronize()
    wall = time.monotonic() - began
    each = np.diff(ends)
    frames = None if output is None else np.round(output * 255).astype(np.uint8)
    return frames, {
        "step_seconds": float(np.median(each)),
        "step_all": [float(x) for x in each],
        "after": wall - (ends[-1] - began),
        "wall": wall,
        "peak": torch.cuda.max_memory_allocated(),
    }


def prepared(pipe: Any) -> Any:
    """With VAE slicing and tiling, on this rank's GPU."""
    pipe.vae.enable_slicing()
    pipe.vae.enable_tiling()
    pipe.set_progress_bar_config(disable=True)
    return pipe


def diffusers_pipe(model: str, steps: int) -> Any:
    """The pipeline of diffusers on one GPU."""
    import torch
    from diffusers import CogVideoXPipeline

    del steps
    pipe = CogVideoXPipeline.from_pretrained(model, torch_dtype=torch.bfloat16)
    return prepared(pipe.to(f"cuda:{os.environ['LOCAL_RANK']}"))


def cache_dit_pipe(model: str, steps: int) -> Any:
    """Ulysses attention by cache-dit, without its cache."""
    import torch

    torch.distributed.init_process_group("nccl")
    import cache_dit

    pipe = diffusers_pipe(model, steps)
    config = cache_dit.ParallelismConfig(ulysses_size=int(os.environ["WORLD_SIZE"]))
    cache_dit.enable_cache(pipe, parallelism_config=config)
    return pipe


def xdit_pipe(model: str, steps: int, *, guidance: bool) -> Any:
    """The pipeline of xDiT: guidance halves, or Ulysses attention."""
    import torch
    from xfuser import xFuserArgs, xFuserCogVideoXPipeline

    count = int(os.environ["WORLD_SIZE"])
    arguments = xFuserArgs(
        model=model, height=480, width=720, num_frames=49, prompt=[PROMPT],
        num_inference_steps=steps, guidance_scale=6.0, warmup_steps=0,
        use_cfg_parallel=guidance, ulysses_degree=1 if guidance else count,
    )  # fmt: skip
    config, _ = arguments.create_config()
    pipe = xFuserCogVideoXPipeline.from_pretrained(
        model, engine_config=config, torch_dtype=torch.bfloat16
    )
    return prepared(pipe.to(f"cuda:{os.environ['LOCAL_RANK']}"))


ENGINES: dict[str, Any] = {
    "diffusers": diffusers_pipe,
    "cache-dit": cache_dit_pipe,
    "xdit-guidance": lambda model, steps: xdit_pipe(model, steps, guidance=True),
    "xdit-tokens": lambda model, steps: xdit_pipe(model, steps, guidance=False),
}


if __name__ == "__main__":
    main()
