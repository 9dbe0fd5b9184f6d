"""What the check for NaN and infinity costs, and how soon it ends a run.

    python docs/benchmarks/finite.py --out docs/benchmarks/finite.jsonl

The cost is measured on the GPU with a transformer and a VAE of real size and random weights; runs
with and without the check alternate in one process. Then the same transformer runs in float16 with
weights that overflow from a later step on, and the steps until the run ends are counted. Finally
the embedded model runs with such weights in each tier, through `cogmagic.generate`: each run must
end with this error and leave no file, and the next one must make its video. Adds one JSON row.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import torch
from make_checkpoint import MODELS, SCHEDULER, TRANSFORMER, VAE

import cogmagic
from cogmagic._models.find import embedded_folder
from cogmagic._pipeline.finite import FiniteCheck
from cogmagic._pipeline.generate import generate_frames
from cogmagic._pipeline.libraries import import_libraries
from cogmagic._pipeline.load import prepared
from cogmagic._progress import Clock, silent

TIERS = ("none", "model", "stream", "staged", "sequential")
BAD_STEP = 3


class Unchecked(FiniteCheck):
    """Checks nothing."""

    def __call__(self, tensor: torch.Tensor, source: str) -> None:
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", choices=("2b", "5b"), default="5b")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--size", default="720x480")
    parser.add_argument("--frames", type=int, default=49)
    parser.add_argument("--layers", type=int, help="fewer, to try the script")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--out", type=Path, help="a file that takes the row")
    args = parser.parse_args()
    began = time.monotonic()
    import_libraries("t2v")
    torch.set_grad_enabled(False)
    bench = Bench(args)
    row: dict[str, Any] = {"model": args.model, "size": args.size, "frames": args.frames}
    row |= bench.cost()
    row |= bench.flag()
    row |= bench.overflow()
    row["tiers"] = tiers()
    row |= {
        "card": torch.cuda.get_device_name() if args.device == "cuda" else "CPU",
        "torch": torch.__version__,
        "wall": round(time.monotonic() - began, 1),
        "date": datetime.now(UTC).date().isoformat(),
        "command": shlex.join(sys.argv),
    }
    line = json.dumps(row)
    print(line)
    if args.out:
        with args.out.open("a") as file:
            file.write(line + "\n")


class Bench:
    """A pipeline of real size without a text encoder."""

    def __init__(self, args: argparse.Namespace) -> None:
        from diffusers import (
            AutoencoderKLCogVideoX,
            CogVideoXDDIMScheduler,
            CogVideoXPipeline,
            CogVideoXTransformer3DModel,
        )

        self.args, self.device = args, torch.device(args.device)
        config = {**TRANSFORMER, **MODELS[args.model]}
        if args.layers:
            config["num_layers"] = args.layers
        torch.manual_seed(0)
        torch.set_default_dtype(torch.bfloat16)
        with self.device:
            transformer, vae = CogVideoXTransformer3DModel(**config), AutoencoderKLCogVideoX(**VAE)
        torch.set_default_dtype(torch.float32)
        for module in (transformer, vae):  # buffers, too, as the loaders have them
            module.to(torch.bfloat16).eval()
        scheduler = CogVideoXDDIMScheduler(**SCHEDULER)
        self.pipe = prepared(CogVideoXPipeline(None, None, vae, transformer, scheduler))
        self.request = cogmagic.Request.of(
            "any",
            model=args.model,
            size=args.size,
            num_inference_steps=args.steps,
            num_frames=args.frames,
            seed=1,
        )

    def run(self, finite: FiniteCheck, clock: Clock) -> Any:
        dtype, shape = self.pipe.transformer.dtype, (1, 226, 4096)
        generator = torch.Generator().manual_seed(2)
        texts = tuple(torch.randn(shape, generator=generator).to(dtype) for _ in range(2))
        return generate_frames(self.pipe, self.request, clock, finite, embeddings=texts)

    def cost(self) -> dict[str, Any]:
        """Seconds of steps and of decoding, with and without the check in alternation."""
        steps: dict[str, list[float]] = {"with": [], "without": []}
        decode: dict[str, list[float]] = {"with": [], "without": []}
        digests, peaks = set(), {}
        self.run(Unchecked(""), Clock(silent))  # warms up
        for pair in range(self.args.pairs):
            kinds = ("with", "without") if pair % 2 else ("without", "with")
            for kind in kinds:
                clock = Clock(silent)
                if self.device.type == "cuda":
                    torch.cuda.reset_peak_memory_stats()
                frames = self.run((FiniteCheck if kind == "with" else Unchecked)(""), clock)
                clock.end()
                ends = clock.step_ends["denoise"]
                steps[kind] += [b - a for a, b in pairwise(ends)]
                decode[kind].append(clock.seconds["decode"])
                digests.add(hashlib.sha256(frames.tobytes()).hexdigest())
                if self.device.type == "cuda":
                    peaks[kind] = torch.cuda.max_memory_allocated()
        return {
            "step": {kind: round(median(of), 5) for kind, of in steps.items()},
            "step_ratio": round(median(steps["with"]) / median(steps["without"]), 5),
            "decode": {kind: round(median(of), 3) for kind, of in decode.items()},
            "peak": peaks,
            "same_frames": len(digests) == 1,
            "steps_timed": len(steps["with"]),
        }

    def flag(self, times: int = 200) -> dict[str, Any]:
        """Seconds of a flag by itself, written and read, on latents of the request's size."""
        r = self.request
        latents = torch.randn(1, r.latent_frames, 16, r.height // 8, r.width // 8)
        latents = latents.to(self.device, torch.bfloat16)
        finite = FiniteCheck("")
        for _ in range(10):
            finite(latents, "warming up")
        finite.read()
        began = time.perf_counter()
        for _ in range(times):
            finite(latents, "timed")
        finite.read()
        return {"flag_seconds": round((time.perf_counter() - began) / times, 7)}

    def overflow(self) -> dict[str, Any]:
        """Calls of the transformer in float16 until a run ends whose step `BAD_STEP` overflows."""
        transformer, calls = self.pipe.transformer.half(), 0
        self.pipe.vae.half()

        def count(*_: Any) -> None:
            nonlocal calls
            calls += 1
            if calls == BAD_STEP:
                transformer.proj_out.weight.mul_(1e6)

        handle = transformer.register_forward_pre_hook(count)
        error = failure(lambda: self.run(FiniteCheck("Advice."), Clock(silent)))
        handle.remove()
        assert "the transformer computed" in error, error
        assert calls <= BAD_STEP + 2, calls
        return {"bad_step": BAD_STEP, "calls": calls, "error": error.partition(" computed ")[0]}


def tiers() -> dict[str, str]:
    """The errors of the embedded model in float16 with weights that overflow, tier by tier."""
    from safetensors.torch import load_file, save_file

    errors = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder, out = Path(scratch) / "large", Path(scratch) / "out"
        shutil.copytree(embedded_folder(), folder)
        out.mkdir()
        os.environ["COGMAGIC_CACHE"] = scratch  # nothing is learned from these runs
        (file,) = (folder / "transformer").glob("*.safetensors")
        tensors = load_file(file)
        # As large as float16 stores them; the product is larger.
        weight = tensors["proj_out.weight"]
        weight.mul_(30000 / weight.abs().max())
        save_file(tensors, file, metadata={"format": "pt"})
        options: dict[str, Any] = {"num_inference_steps": 3, "seed": 1, "save": out}
        for tier in TIERS:
            for halves in (False, True):
                made: dict[str, Any] = {"tier": tier, "guidance_halves": halves, **options}
                error = failure(
                    lambda made=made: cogmagic.generate(
                        "a red circle", model=str(folder), dtype="float16", **made
                    )
                )
                assert list(out.iterdir()) == [], "something was saved"
                errors[f"{tier}{' halves' if halves else ''}"] = error.partition(" computed ")[0]
            video = cogmagic.generate("a red circle", tier=tier, **options)
            assert video.path.is_file()
            video.path.unlink()
    return errors


def failure(run: Callable[[], Any]) -> str:
    """The message of the run's `NonFiniteError`."""
    try:
        run()
    except cogmagic.NonFiniteError as error:
        return str(error)
    raise AssertionError("the run did not notice")


if __name__ == "__main__":
    main()
